"""Local averages of photographs on a processor, by OpenCV: the same as on a device, within 1e-5."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

__all__ = ["enlarged", "gaussian_average", "halved_median"]


def gaussian_average(images: Tensor, sigma: float, reach: int, reduction: int, dark: float) -> Tensor:
    """Gaussian over the pixels of the field of view, from means of blocks.

    Args:
        images: as below; both sides multiples of the reduction.
        sigma: deviation of the Gaussian among the blocks.
        reach: blocks at which it is cut off.
        reduction: side of the blocks, pixels.
        dark: what is no brighter in any channel lies outside the field.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32. Returns: ``(B, 3, h, w)``, float32.
    """
    height, width = (side // reduction for side in images.shape[2:])
    out = np.empty((len(images), 3, height, width), np.float32)
    kernel = cv2.getGaussianKernel(2 * reach + 1, sigma, cv2.CV_32F)

    def blurred(plane: np.ndarray) -> np.ndarray:
        small = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
        return cv2.sepFilter2D(small, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)

    for averages, channels in zip(out, _channels(images), strict=True):
        red, green, blue = channels
        brightest = cv2.max(cv2.max(red, green), blue)
        inside = cv2.threshold(brightest, dark, 1.0, cv2.THRESH_BINARY)[1]
        weight = np.maximum(blurred(inside), np.float32(1e-3))
        for average, channel in zip(averages, channels, strict=True):
            cv2.divide(blurred(cv2.multiply(channel, inside)), weight, average)
    return torch.from_numpy(out)


def halved_median(images: Tensor, reach: int) -> Tensor:
    """Median over squares of 2·reach + 1 pixels of photographs at half their size, in whole levels.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32 in [0, 1], both sides even. Returns: ``(B, 3, h, w)``, uint8.
    """
    height, width = (side // 2 for side in images.shape[2:])
    out = np.empty((len(images), 3, height, width), np.uint8)
    for medians, channels in zip(out, _channels(images), strict=True):
        for median, channel in zip(medians, channels, strict=True):
            levels = cv2.convertScaleAbs(channel, alpha=255)
            small = cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA)
            cv2.medianBlur(small, 2 * reach + 1, median)
    return torch.from_numpy(out)


def enlarged(average: Tensor, height: int, width: int) -> Tensor:
    """Bilinear enlargement.

    Shape:
        - ``average``: ``(B, 3, h, w)``, float32. Returns: ``(B, 3, height, width)``.
    """
    out = np.empty((len(average), 3, height, width), np.float32)
    for large, channels in zip(out, average.numpy(), strict=True):
        for one, channel in zip(large, channels, strict=True):
            cv2.resize(channel, (width, height), one, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(out)


def _channels(images: Tensor) -> Iterator[list[np.ndarray]]:
    """Red, green and blue of each photograph, each without gaps between its pixels."""
    for image in images.numpy():
        if image[0].flags.c_contiguous:
            yield list(image)
        else:
            yield list(cv2.split(np.ascontiguousarray(image.transpose(1, 2, 0))))
