"""The attention of CANet: channel and spatial gates, and the two modules of Figure 4."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = [
    "ChannelGate",
    "DiseaseDependentAttention",
    "DiseaseSpecificAttention",
    "SpatialGate",
    "bottleneck",
]


def bottleneck(width: int, reduction: int, bias: bool) -> nn.Sequential:
    """W1 ReLU(W0 x) of equations 1 and 5: ``width`` -> ``width / reduction`` -> ``width``."""
    hidden = max(1, width // reduction)
    return nn.Sequential(nn.Linear(width, hidden, bias=bias), nn.ReLU(), nn.Linear(hidden, width, bias=bias))


class ChannelGate(nn.Module):
    """Weigh the channels: A_c = sigmoid(MLP(avg F) + MLP(max F)), returned A_c * F.

    Reference: equations 1 and 2, Table I.

    Differs from the paper: biases in the MLP unless ``bias=False``, as in the authors' code; r is 16
    (Table I and code), not the 0.5 of the text.

    Shape:
        - ``features``: ``(B, C, H, W)``, float32.
        - Returns: the same.
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = True) -> None:
        super().__init__()
        self.mlp = bottleneck(channels, reduction, bias)

    def weights(self, features: Tensor) -> Tensor:
        """A_c, ``(B, C, 1, 1)``, in [0, 1]."""
        summed: Tensor = self.mlp(features.mean((2, 3))) + self.mlp(features.amax((2, 3)))
        return summed.sigmoid()[:, :, None, None]

    def forward(self, features: Tensor) -> Tensor:
        """Weigh the channels."""
        return features * self.weights(features)


class SpatialGate(nn.Module):
    """Weigh the places: A_s = sigmoid(BN(Conv7x7([max_c F; mean_c F]))), returned A_s * F.

    Reference: equations 3 and 4, Table I.

    Differs from the paper: the authors' code puts the maximum before the mean and normalises the
    convolution's output (momentum 0.01) instead of giving it a bias; equation 3 has no normalisation.

    Shape:
        - ``features``: ``(B, C, H, W)``, float32.
        - Returns: the same.
    """

    def __init__(self, norm: bool = True, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=bias)
        self.norm = nn.BatchNorm2d(1, momentum=0.01) if norm else nn.Identity()

    def weights(self, features: Tensor) -> Tensor:
        """A_s, ``(B, 1, H, W)``, in [0, 1]."""
        pooled = torch.cat([features.amax(1, keepdim=True), features.mean(1, keepdim=True)], dim=1)
        weights: Tensor = self.norm(self.conv(pooled)).sigmoid()
        return weights

    def forward(self, features: Tensor) -> Tensor:
        """Weigh the places."""
        return features * self.weights(features)


class DiseaseSpecificAttention(nn.Module):
    """Select what one disease needs of the shared features: F' = A_s * (A_c * F).

    Reference: section III-B, Figure 4 (a).

    Shape:
        - ``features``: ``(B, C, H, W)``, float32.
        - Returns: the same.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        mlp_bias: bool = True,
        spatial_norm: bool = True,
        spatial_bias: bool = False,
    ) -> None:
        super().__init__()
        self.channel = ChannelGate(channels, reduction, mlp_bias)
        self.spatial = SpatialGate(spatial_norm, spatial_bias)

    def forward(self, features: Tensor) -> Tensor:
        """Weigh the channels, then the places."""
        selected: Tensor = self.spatial(self.channel(features))
        return selected


class DiseaseDependentAttention(nn.Module):
    """Select what another disease can use of this one's features: A * G, A = sigmoid(gain * MLP(G)).

    Reference: section III-C, equations 5 and 6, Figure 4 (b). The sum of equation 6 is the network's.

    Differs from the paper: ``gain`` is 2 by default, 1 in equation 5. The authors' code applies its channel
    gate to G as a 1x1 map, where the average and the maximum are both G, so that its two terms double.

    Shape:
        - ``features``: ``(B, D)``, float32: G of the helping disease.
        - Returns: the same.
    """

    def __init__(self, features: int, reduction: int = 16, mlp_bias: bool = True, gain: float = 2.0) -> None:
        super().__init__()
        self.mlp = bottleneck(features, reduction, mlp_bias)
        self.gain = gain

    def weights(self, features: Tensor) -> Tensor:
        """A, ``(B, D)``, in [0, 1]."""
        return torch.sigmoid(self.gain * self.mlp(features))

    def forward(self, features: Tensor) -> Tensor:
        """Weigh the features."""
        return features * self.weights(features)
