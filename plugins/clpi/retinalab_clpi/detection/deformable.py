"""Deformable convolution in the 3×3 convolutions of a residual network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import DeformConv2d

__all__ = ["DeformableConv2d", "deform"]

_STAGES = ("layer2", "layer3", "layer4")


class DeformableConv2d(nn.Module):
    """A convolution whose samples are moved by offsets that a convolution beside it predicts.

    The offsets begin at zero, where it equals the convolution that it replaces.

    Reference: Dai et al., "Deformable convolutional networks", ICCV 2017 (without the modulation of the second
        version).

    Args:
        plain: the convolution whose weights and geometry it takes over.

    Shape:
        - as the convolution replaced.
    """

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__()
        height, width = plain.kernel_size
        geometry = (plain.kernel_size, plain.stride, plain.padding, plain.dilation)
        self.offset = nn.Conv2d(plain.in_channels, 2 * height * width, *geometry)  # type: ignore[arg-type]
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]
        self.sampled = DeformConv2d(
            plain.in_channels, plain.out_channels, *geometry, groups=plain.groups, bias=plain.bias is not None
        )
        self.sampled.load_state_dict(plain.state_dict())

    def forward(self, features: Tensor) -> Tensor:
        """Sample in float32: positions of eight bits would be off by pixels."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.float().contiguous()
            moved: Tensor = self.sampled(features, self.offset(features))
        return moved


def deform(network: ResNet, stages: Sequence[str] = _STAGES) -> ResNet:
    """Replace, in place, the 3×3 convolution of every bottleneck of the given stages; by default stages 3 to 5."""
    for stage in stages:
        for block in getattr(network, stage):
            if isinstance(block, Bottleneck):
                block.conv2 = DeformableConv2d(block.conv2)
    return network
