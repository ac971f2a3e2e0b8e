"""What a network must be made of for a plain class activation map."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

__all__ = ["CamLayers"]


class CamLayers(NamedTuple):
    """The last feature map of a network and the linear layer that reads its mean.

    Attributes:
        features: ``(B, 3, H, W)`` normalised photographs -> ``(B, C, h, w)``, what global average pooling takes.
        linear: from the C pooled features to the logits of one disease, or to its severity.
    """

    features: Callable[[Tensor], Tensor]
    linear: nn.Linear
