"""The lesion attention generator: probabilities of lesions for every patch of a photograph in one pass."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

__all__ = ["CLASSES", "FIELD", "LESION_CLASSES", "STRIDE", "LesionAttentionGenerator", "Widths"]

LESION_CLASSES = ("EX", "HE", "MA")
"""The lesions told apart, the gravest first: a patch with several at its centre counts as the first (section IV-A)."""

CLASSES = ("none", *LESION_CLASSES)
"""The four probabilities of a unit, in the order of the channels."""

FIELD = 68
"""Side of the square that one unit sees, pixels of the photograph."""

STRIDE = 64
"""Pixels from one unit's square to the next."""

Widths = Literal["paper", "code", "small"]

_FIRST = {"paper": 32, "code": 32, "small": 8}
_HALVING = {
    "paper": (64, 128, 256, 512, 1024, 1024),
    "code": (32, 64, 128, 256, 512, 1024),
    "small": (16, 32, 64, 128, 256, 256),
}
_POINTWISE = {"paper": (1024,), "code": (1024, 1024), "small": (256,)}
_PADDING = 2


class LesionAttentionGenerator(nn.Module):
    """A fully convolutional network whose output unit (i, j) sees rows 64i-2 to 64i+65 and columns 64j-2 to 64j+65.

    A 5×5 convolution, six 2×2 convolutions of stride 2, 1×1 convolutions; no biases; batch normalisation and Mish
    after each but the last.

    Reference: section III-A, Table II, Figure 3.

    Differs from the paper: nothing with ``widths="paper"`` (8,050,976 parameters); ``code`` are the widths of the
    released inference code (4,909,408), ``small`` a quarter of Table II's, for processors (505,928). The paper says
    that training on patches of 68×68 pixels equals training on photographs. That holds only if the first convolution is
    not padded on a patch (``padded=False``): with padding a patch would see two rows of zeros that the same place of
    the photograph has not.

    Args:
        widths: ``paper``, ``code`` or ``small``.
        classes: number of lesion classes including none.

    Shape:
        - ``images``: ``(B, 3, 64h, 64w)``, float32; or patches ``(B, 3, 68, 68)`` with ``padded=False``.
        - Returns: ``(B, classes, h, w)`` float32 logits; of a patch ``(B, classes, 1, 1)``.

    Example:
        >>> import torch
        >>> generator = LesionAttentionGenerator()
        >>> tuple(generator(torch.zeros(1, 3, 256, 256)).shape)
        (1, 4, 4, 4)
        >>> tuple(generator(torch.zeros(2, 3, 68, 68), padded=False).shape)
        (2, 4, 1, 1)
    """

    def __init__(self, widths: Widths = "paper", classes: int = len(CLASSES)) -> None:
        super().__init__()
        channels = _FIRST[widths]
        self.first = nn.Conv2d(3, channels, 5, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(channels), nn.Mish()]
        for width in _HALVING[widths]:
            layers += [nn.Conv2d(channels, width, 2, 2, bias=False), nn.BatchNorm2d(width), nn.Mish()]
            channels = width
        for width in _POINTWISE[widths]:
            layers += [nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.Mish()]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.prediction = nn.Conv2d(channels, classes, 1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.normal_(self.prediction.weight, std=0.01)

    def forward(self, images: Tensor, padded: bool = True) -> Tensor:
        """Logits of every unit; probabilities are their softmax over the channels."""
        if padded:
            images = nn.functional.pad(images, (_PADDING,) * 4)
        logits: Tensor = self.prediction(self.layers(self.first(images)))
        return logits
