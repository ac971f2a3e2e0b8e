"""Subtract the local average colour, so that pigmentation, illumination and camera weigh less than lesions do."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["subtract_background"]

_REDUCTION = 4
_FIELD = 0.04


def subtract_background(images: Tensor, sigma: float, gain: float = 4.0) -> Tensor:
    """Four times the difference from the local average colour, about mid grey; 0.5 outside the field of view.

    The average is a Gaussian over the pixels inside the field of view, computed at a quarter of the size,
    where a wide blur
    changes nothing that could be seen.

    Reference: B. Graham, Kaggle Diabetic Retinopathy Detection competition report, 2015 (there with sigma =
        radius / 30).

    Differs from the source: pixels outside the field take no part in the average, so that the border shows no
    bright ring.

    Args:
        images: photographs on a black background.
        sigma: standard deviation of the Gaussian, pixels of the given images.
        gain: factor on the difference.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32 in [0, 1]. Returns: the same.
    """
    inside = (images.amax(1, keepdim=True) > _FIELD).float()
    small = F.avg_pool2d(
        torch.cat([images * inside, inside], 1), _REDUCTION, ceil_mode=True, count_include_pad=False
    )
    # averaging blocks of n pixels already is a blur of variance (n² - 1) / 12
    variance = max((sigma / _REDUCTION) ** 2 - (1 - 1 / _REDUCTION**2) / 12, 0.25)
    blurred = _blur(small, math.sqrt(variance))
    average = blurred[:, :3] / blurred[:, 3:].clamp(min=1e-3)
    average = F.interpolate(average, images.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(
        inside > 0, (gain * (images - average) + 0.5).clamp(0, 1), torch.full_like(images, 0.5)
    )


def _blur(images: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian, cut at three deviations; beyond the border nothing is counted."""
    reach = max(1, min(math.ceil(3 * sigma), min(images.shape[2:]) - 1))
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(images.shape[1], 1, 1, 1)
    across = F.conv2d(images, kernel, padding=(0, reach), groups=images.shape[1])
    return F.conv2d(across, kernel.transpose(2, 3), padding=(reach, 0), groups=images.shape[1])
