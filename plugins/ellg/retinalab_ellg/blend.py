"""Blend lesions into a photograph where a mask says, and severities with them (equations 5 and 6)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["blended", "blended_severity"]


def blended(
    photographs: Tensor, lesions: Tensor, photograph: Tensor, row: Tensor, column: Tensor, ratios: Tensor
) -> Tensor:
    """Equation 5 at listed pixels: ``r · lesion + (1 - r) · photograph``, to the nearest level; elsewhere unchanged.

    Differs from the paper: it takes a pixel as part of a lesion where the lesion image is not 0, so that a black pixel
    of a haemorrhage would be lost; here the list says which pixels are lesions.

    Shape:
        - ``photographs``: ``(B, 3, H, W)``, uint8, what is blended into.
        - ``lesions``: ``(n, 3)``, float32, colours of the lesions' pixels in [0, 255]; clipped to it.
        - ``photograph``, ``row``, ``column``: ``(n,)``, int64: where each goes, no place twice.
        - ``ratios``: ``(B,)``, r of each photograph in [0, 1].
        - Returns: ``(B, 3, H, W)``, uint8.
    """
    ratio = ratios.to(lesions)[photograph][:, None]
    result = photographs.clone()
    below = result[photograph, :, row, column].to(lesions)
    mixed = lesions.clamp(0, 255) * ratio + below * (1 - ratio)
    result[photograph, :, row, column] = (mixed + 0.5).floor_().clamp_(0, 255).to(torch.uint8)
    return result


def blended_severity(ratios: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """What equation 6 classifies: ``r · l_s + (1 - r) · l_o``, so written that two equal severities stay as they are.

    Its classify is :func:`retinalab.tasks.severity.severity_grades`.

    Example:
        >>> blended_severity(torch.tensor([0.25]), torch.tensor([4.0]), torch.tensor([0.0])).tolist()
        [1.0]
    """
    return target + ratios * (source - target)
