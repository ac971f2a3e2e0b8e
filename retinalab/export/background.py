"""Local average colours by operators that every graph has: what OpenCV computes elsewhere on a processor."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab.config import BackgroundConfig
from retinalab.transforms.background import average_side

__all__ = ["average_everywhere", "counted_median", "field_average"]

_FIELD = 0.04
_LEVELS = 256
_AT_ONCE = 15
"""Levels counted together: more take memory, fewer make the graph longer. It divides 255."""


def average_everywhere(images: Tensor, background: BackgroundConfig) -> Tensor:
    """The average that is subtracted, at every pixel.

    Shape:
        - ``images`` and what is returned: ``(B, 3, S, S)``, float32 in [0, 1].
    """
    side = images.shape[-1]
    reduction = _reduction(side, background)
    reach = background.scale * side
    if background.kind == "gaussian":
        small = field_average(images, reach, reduction)
    else:
        small = counted_median(images, int(reach + 1e-6), reduction)
    return F.interpolate(small, images.shape[2:], mode="bilinear", align_corners=False)


def _reduction(side: int, background: BackgroundConfig) -> int:
    """By how much photographs are reduced for the average: the least that gives its side."""
    small = average_side(side, background)
    return next(step for step in range(1, side + 1) if -(-side // step) == small)


def field_average(images: Tensor, sigma: float, reduction: int) -> Tensor:
    """Gaussian over the pixels inside the field of view, cut off at three deviations.

    Args:
        images: photographs.
        sigma: deviation, pixels of the photograph.
        reduction: side of the blocks whose means are blurred.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32 in [0, 1]. Returns: ``(B, 3, h, w)``.
    """
    inside = (images.amax(1, keepdim=True) > _FIELD).to(images.dtype)
    both = torch.cat([images * inside, inside], 1)
    small = F.avg_pool2d(both, reduction, ceil_mode=True, count_include_pad=False)
    # averaging blocks of n pixels already is a blur of variance (n² - 1) / 12
    deviation = math.sqrt(max((sigma / reduction) ** 2 - (1 - 1 / reduction**2) / 12, 0.25))
    reach = max(1, min(math.ceil(3 * deviation), min(small.shape[2:]) - 1))
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-(offsets**2) / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).repeat(4, 1, 1, 1)
    across = F.conv2d(small, kernel, padding=(0, reach), groups=4)
    blurred = F.conv2d(across, kernel.transpose(2, 3), padding=(reach, 0), groups=4)
    return blurred[:, :3] / blurred[:, 3:].clamp(min=1e-3)


def counted_median(images: Tensor, half: int, reduction: int) -> Tensor:
    """Median over squares of ``2 · half + 1`` pixels at a reduced size, by counting, for a batch of any number.

    The median is how many levels more than half of the square exceeds; a square's count is a difference of running
    sums, so that the cost does not depend on its side. Sums are whole numbers below 2^24, exact in float32. The border
    is repeated beyond itself.

    Args:
        images: photographs.
        half: of the square's side, pixels of the photograph.
        reduction: by which the photograph is reduced first, to whole levels.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32 in [0, 1]. Returns: ``(B, 3, h, w)``, float32 in [0, 1].
    """
    reach = max(1, half // reduction)
    size = 2 * reach + 1
    levels = (images * 255).round().clamp(0, 255)
    small = (
        F.avg_pool2d(levels, reduction, ceil_mode=True, count_include_pad=False) + 0.5
    ).floor()  # blocks of whole levels, halves upwards
    padded = F.pad(small, (reach,) * 4, mode="replicate").unsqueeze(2)
    median = torch.zeros_like(small)
    for first in range(0, _LEVELS - 1, _AT_ONCE):
        steps = torch.arange(first, first + _AT_ONCE, dtype=images.dtype, device=images.device)
        counts = (padded <= steps.view(1, 1, -1, 1, 1)).to(images.dtype)
        for axis in (3, 4):
            counts = _running_sum(counts, size, axis)
        median = median + (counts <= size * size // 2).to(images.dtype).sum(2)
    return median / 255


def _running_sum(values: Tensor, size: int, axis: int) -> Tensor:
    """Sums over ``size`` neighbours along an axis."""
    total = values.cumsum(axis)
    length = values.shape[axis] - size + 1
    whole = total.narrow(axis, size - 1, length)
    before = F.pad(total.narrow(axis, 0, length - 1), (0, 0) * (4 - axis) + (1, 0))
    return whole - before
