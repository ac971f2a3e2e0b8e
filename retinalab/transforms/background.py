"""Subtract the local average colour, so that pigmentation, illumination and camera weigh less than lesions do."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab.config import BackgroundConfig
from retinalab.transforms import on_processor
from retinalab.transforms.apply import affine_grid

__all__ = ["average_side", "even_out", "local_average", "place_average"]

_REDUCTION = 4
_FIELD = 0.04
_REACH = 40
_LEVELS = 256
_AT_ONCE = 32
_MID = {"gaussian": 0.5, "median": 128 / 255}


def even_out(
    images: Tensor,
    background: BackgroundConfig,
    average: Tensor | None = None,
    place: Tensor | None = None,
    side: int | None = None,
) -> Tensor:
    """Subtract the local average colour as a data section says.

    ``gaussian`` is gain · (image - average) + 0.5. The average is a Gaussian over the pixels inside the field of view,
    its deviation a share of the width, computed at a quarter of the size, where a wide blur changes nothing that could
    be seen. ``median`` is gain · (image - median) + 128 of 255; pixels outside the field of view count in the median as
    any other, and inside the kept circle nothing else is blackened.

    Reference: B. Graham, Kaggle Diabetic Retinopathy Detection competition report, 2015 (there a Gaussian with sigma =
        radius / 30).

    Differs from the source: pixels outside the field take no part in the Gaussian, so that the border shows no bright
    ring.

    Args:
        images: whole photographs, or windows of photographs.
        background: which average, how strong and what is kept.
        average: the local average at each pixel; default: of the images themselves. Windows need that of the
            photograph they are cut from.
        place: affine maps from pixels of the images to pixels of the working images, for the circle; default:
            the images are the working images.
        side: of the working images, pixels; default: the width of the images.

    Shape:
        - ``images``, ``average``: ``(B, 3, H, W)``, float32 in [0, 1]. ``place``: ``(B, 2, 3)``.
        - Returns: ``(B, 3, H, W)``, float32 in [0, 1].
    """
    if average is None:
        average = local_average(images, background)
        average = _enlarged(average, images)
    mid = _MID[background.kind]
    difference = images - average
    difference.mul_(background.gain).add_(mid).clamp_(0, 1)
    outside = _kept(images, background, place, side or images.shape[-1]).logical_not_()
    return difference.masked_fill_(outside, mid if background.outside == "mid" else 0.0)


def local_average(images: Tensor, background: BackgroundConfig) -> Tensor:
    """The average that :func:`even_out` subtracts, at the reduced size where it is computed.

    Bilinear enlargement gives it at every pixel. The median is that of the photograph at half its size (less, where
    the square is wide), in whole levels of 255, computed exactly.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32 in [0, 1]. Returns: ``(B, 3, h, w)``, float32 in [0, 1].
    """
    reach, reduction = background.scale * images.shape[-1], _reduction(background, images.shape[-1])
    if background.kind == "gaussian":
        return _gaussian_average(images, reach)
    return _median(images, int(reach + 1e-6), reduction)


def _reduction(background: BackgroundConfig, side: int) -> int:
    if background.kind == "gaussian":
        return _REDUCTION
    reduction = 2
    while background.scale * side / reduction > _REACH:
        reduction *= 2
    return reduction


def average_side(side: int, background: BackgroundConfig) -> int:
    """Side of what :func:`local_average` gives for photographs of a side, pixels."""
    return -(-side // _reduction(background, side))


def place_average(average: Tensor, warp: Tensor, crop: int) -> Tensor:
    """Read a reduced average at the pixels of windows; beyond its border the border's value.

    Shape:
        - ``average``: ``(B, 3, h, w)``, float32, the whole or pieces that hold all that is read.
        - ``warp``: ``(B, 2, 3)``, float32: pixel of the window -> pixel of ``average``, pixel centres at integers.
        - Returns: ``(B, 3, crop, crop)``, float32.
    """
    x, y = affine_grid(warp, crop, crop)
    height, width = average.shape[2:]
    scaled = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], dim=3)
    return F.grid_sample(average, scaled, mode="bilinear", padding_mode="border", align_corners=True)


def _field(images: Tensor) -> Tensor:
    return images.amax(1, keepdim=True) > _FIELD


def _kept(images: Tensor, background: BackgroundConfig, place: Tensor | None, side: int) -> Tensor:
    """``(B, 1, H, W)`` bool: inside the field of view, the circle, or both."""
    if background.circle is None:
        return _field(images)
    if place is None:
        place = torch.eye(2, 3, dtype=images.dtype, device=images.device)[None].expand(len(images), 2, 3)
    x, y = affine_grid(place, *images.shape[2:])
    centre = (side - 1) / 2
    circle = ((x - centre) ** 2 + (y - centre) ** 2 <= (background.circle * side / 2) ** 2)[:, None]
    return circle if background.kind == "median" else circle & _field(images)


def _enlarged(average: Tensor, images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    if images.device.type == "cpu":
        return on_processor.enlarged(average, height, width)
    return F.interpolate(average, (height, width), mode="bilinear", align_corners=False)


def _gaussian_average(images: Tensor, sigma: float) -> Tensor:
    # averaging blocks of n pixels already is a blur of variance (n² - 1) / 12
    variance = max((sigma / _REDUCTION) ** 2 - (1 - 1 / _REDUCTION**2) / 12, 0.25)
    deviation = math.sqrt(variance)
    sides = [-(-side // _REDUCTION) for side in images.shape[2:]]
    reach = max(1, min(math.ceil(3 * deviation), min(sides) - 1))
    whole = all(side % _REDUCTION == 0 for side in images.shape[2:])
    if images.device.type == "cpu" and whole:
        return on_processor.gaussian_average(images, deviation, reach, _REDUCTION, _FIELD)
    inside = _field(images).float()
    both = torch.cat([images * inside, inside], 1)
    small = F.avg_pool2d(both, _REDUCTION, ceil_mode=True, count_include_pad=False)
    blurred = _blur(small, deviation, reach)
    return blurred[:, :3] / blurred[:, 3:].clamp(min=1e-3)


def _blur(images: Tensor, sigma: float, reach: int) -> Tensor:
    """Separable Gaussian, cut off at a reach; beyond the border nothing is counted."""
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(images.shape[1], 1, 1, 1)
    across = F.conv2d(images, kernel, padding=(0, reach), groups=images.shape[1])
    return F.conv2d(across, kernel.transpose(2, 3), padding=(reach, 0), groups=images.shape[1])


def _median(images: Tensor, half: int, reduction: int) -> Tensor:
    """Median over squares of 2·half + 1 pixels, at a reduced size; the border is repeated beyond itself."""
    reach = max(1, half // reduction)
    even = all(side % 2 == 0 for side in images.shape[2:])
    if images.device.type == "cpu" and reduction == 2 and even:  # OpenCV's own rounding is the same there
        return on_processor.halved_median(images, reach).to(images.dtype) / 255
    levels = (images * 255).round_().clamp_(0, 255)
    median = _sorted_median if images.device.type == "cpu" else _counted_median
    return median(levels, reach, reduction).to(images.dtype) / 255


def _reduced(levels: Tensor, reduction: int) -> Tensor:
    """Means of blocks as whole levels, halves upwards: the sums are whole numbers, the same on every device."""
    small = F.avg_pool2d(levels, reduction, ceil_mode=True, count_include_pad=False)
    return (small + 0.5).floor_().to(torch.uint8)


def _sorted_median(levels: Tensor, reach: int, reduction: int) -> Tensor:
    """OpenCV's median, whose cost does not depend on the square."""
    pictures = _reduced(levels, reduction).permute(0, 2, 3, 1).numpy()
    medians = [cv2.medianBlur(np.ascontiguousarray(picture), 2 * reach + 1) for picture in pictures]
    return torch.from_numpy(np.stack(medians)).permute(0, 3, 1, 2)


def _counted_median(levels: Tensor, reach: int, reduction: int) -> Tensor:
    """The same by counting, without leaving the device: how many levels half of the square exceeds.

    Shape:
        - ``levels``: ``(B, 3, H, W)``, whole numbers. Returns: ``(B, 3, h, w)``, uint8.
    """
    size = 2 * reach + 1
    small = _reduced(levels, reduction)
    padded = F.pad(small.float(), (reach,) * 4, mode="replicate").to(torch.uint8)
    steps = torch.arange(_LEVELS - 1, dtype=torch.uint8, device=levels.device)
    medians = torch.zeros_like(small)
    for row, picture in enumerate(
        padded
    ):  # one after the other, since the counts of a batch would fill the memory
        for step in torch.split(steps, _AT_ONCE):
            counts = (picture <= step[:, None, None, None]).to(torch.int16)
            for axis in (2, 3):
                counts = _running_sum(counts, size, axis)
            medians[row] += (counts <= size * size // 2).sum(0).to(torch.uint8)
    return medians


def _running_sum(values: Tensor, size: int, axis: int) -> Tensor:
    """Sums over ``size`` neighbours along an axis; sums from the border on may overflow, their differences do not."""
    total = F.pad(values.cumsum(axis, dtype=torch.int16), (0, 0) * (3 - axis) + (1, 0))
    length = values.shape[axis] - size + 1
    return total.narrow(axis, size, length) - total.narrow(axis, 0, length)
