"""DANet: position and channel attention over the dilated contracting path. No Lightning here."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.records import LESIONS
from retinalab_sian.contracting import ContractingPath
from retinalab_sian.lnet import begin_at, enlarged

__all__ = ["ChannelAttention", "DANet", "PositionAttention"]


class PositionAttention(nn.Module):
    """Each place takes up the features of the places that resemble it: ``a softmax(q kᵀ) v + x``, a beginning at 0.

    Reference: Fu et al., Dual attention network for scene segmentation, CVPR 2019, section 3.2.

    Shape:
        - ``features``: ``(B, C, H, W)``. Returns: the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, max(1, channels // 8), 1)
        self.key = nn.Conv2d(channels, max(1, channels // 8), 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Attend over places."""
        query, key, value = (
            part(features).flatten(2).mT for part in (self.query, self.key, self.value)
        )  # (B, HW, ·)
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return self.scale * attended.mT.reshape_as(features) + features


class ChannelAttention(nn.Module):
    """Each channel takes up the channels that resemble it least: ``b softmax(max(e) - e) x + x`` with ``e = x xᵀ``.

    Subtracting from the largest of a row is what the authors' code does.

    Reference: Fu et al., section 3.3.

    Shape:
        - ``features``: ``(B, C, H, W)``. Returns: the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Attend over channels."""
        flat = features.flatten(2)
        energy = flat @ flat.mT
        weights = (energy.amax(-1, keepdim=True) - energy).softmax(-1)
        return self.scale * (weights @ flat).view_as(features) + features


class DANet(nn.Module):
    """Both attentions beside each other, summed; compared with in Tables 3 and 5.

    Reference: Fu et al., Figure 2.

    Differs from its paper: the last features have a sixteenth of the side, where its ResNet has an eighth; only the sum
    is trained, without the two auxiliary outputs of the authors' code, since here Dice alone trains every network.

    Args:
        backbone, weights, prior: as :class:`~retinalab_sian.lnet.LNet`.

    Shape:
        - as :class:`~retinalab_sian.lnet.LNet`.
    """

    def __init__(self, backbone: str = "inception_v3", weights: str = "none", prior: float = 0.01) -> None:
        super().__init__()
        self.contracting = ContractingPath(backbone, weights, (32,), dilated=True)
        channels = self.contracting.channels[32]
        width = max(8, channels // 4)
        self.position = nn.Sequential(
            *_block(channels, width), PositionAttention(width), *_block(width, width)
        )
        self.channel = nn.Sequential(*_block(channels, width), ChannelAttention(), *_block(width, width))
        self.dropout = nn.Dropout2d(0.1)
        self.head = nn.Conv2d(width, len(LESIONS), 1)
        begin_at(self.head, prior)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each lesion at every pixel."""
        features = self.contracting(images)[32]
        both = self.position(features) + self.channel(features)
        return enlarged(self.head(self.dropout(both)), 16)


def _block(given: int, width: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(given, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
