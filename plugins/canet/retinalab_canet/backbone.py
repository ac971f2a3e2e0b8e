"""Any timm network as the shared feature extractor."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from retinalab.tasks.network import timm_model

__all__ = ["Backbone", "initialise"]


class Backbone(nn.Module):
    """The feature map before a network's pooling and classifier: F of section III-A.

    Args:
        name: a timm network. Without stored weights its convolutions start as in :func:`initialise`.
        weights: ``none``, ``timm`` (its hub), or the path of a ``.pth`` or ``.safetensors`` file.

    Attributes:
        channels: C, the channels of the feature map.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32, normalised.
        - Returns: ``(B, C, H/32, W/32)``, float32, for most networks; a transformer's tokens become a grid.

    Raises:
        RetinalabError: unknown name, or weights that cannot be loaded.

    Example:
        >>> import torch
        >>> tuple(Backbone("resnet18")(torch.zeros(1, 3, 64, 64)).shape)
        (1, 512, 2, 2)
    """

    def __init__(self, name: str, weights: str = "none") -> None:
        super().__init__()
        net: Any = timm_model(name, weights, num_classes=0, global_pool="")
        self.net: nn.Module = net
        self.channels = int(getattr(net, "head_hidden_size", None) or net.num_features)
        self._tokens = hasattr(net, "num_prefix_tokens")
        self._channels_last = getattr(net, "output_fmt", "NCHW") == "NHWC"
        if weights == "none" and not self._tokens:
            initialise(net)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the feature map."""
        if self._tokens:
            return self._grid(images)
        features: Tensor = self.net(images)
        return features.permute(0, 3, 1, 2) if self._channels_last else features

    def _grid(self, images: Tensor) -> Tensor:
        net: Any = self.net
        grid: Tensor = net.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)[-1]
        return grid


def initialise(module: nn.Module) -> None:
    """Kaiming's normal initialisation by fan-out for convolutions, 1 and 0 for batch and group normalisation.

    Differs from the paper: the paper says nothing; this is the authors' code. A grouped convolution's fan-out
    counts the outputs of one group, which leaves ResNets and DenseNets as they are in that code.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            fan_out = part.out_channels * math.prod(part.kernel_size) / part.groups
            nn.init.normal_(part.weight, 0.0, math.sqrt(2.0 / fan_out))
        elif isinstance(part, nn.BatchNorm2d | nn.GroupNorm) and part.weight is not None:
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
