"""Any timm network as the shared feature extractor."""

from __future__ import annotations

import math

from torch import nn

from retinalab.tasks.network import FeatureMap

__all__ = ["Backbone", "initialise"]


class Backbone(FeatureMap):
    """The feature map before a network's pooling and classifier: F of section III-A.

    Without stored weights its convolutions start as in :func:`initialise`; a transformer's start as timm has them.

    Args:
        name: a timm network.
        weights: ``none``, ``timm`` (its hub), or the path of a ``.pth`` or ``.safetensors`` file.

    Shape:
        - as :class:`retinalab.tasks.network.FeatureMap`.
    """

    def __init__(self, name: str, weights: str = "none") -> None:
        super().__init__(name, weights)
        if weights == "none" and not self.tokens:
            initialise(self.net)


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
