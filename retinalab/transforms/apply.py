"""Apply a drawn change once: by OpenCV on uint8 photographs, or by kornia on a whole batch on the device."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from kornia.geometry.transform import remap
from torch import Tensor

from retinalab.config import NormaliseConfig
from retinalab.transforms.draw import IDENTITY_COLOUR

__all__ = [
    "affine_grid",
    "apply_batch",
    "apply_colour",
    "apply_image",
    "apply_mask",
    "colour_of",
    "normalise",
]

_BLACK = 0.5 / 255
_IMAGENET = NormaliseConfig(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))


def apply_image(
    image: np.ndarray, warp: np.ndarray, colour: np.ndarray, crop: int, out: np.ndarray | None = None
) -> np.ndarray:
    """Change one photograph on the CPU.

    Shape:
        - ``image``: ``(S, S, 3)``, uint8 RGB.
        - ``warp``: ``(2, 3)``; ``colour``: ``(3, 4)``, as :mod:`retinalab.transforms.draw` makes them.
        - Returns: ``(crop, crop, 3)``, uint8; black where the map leaves the photograph. It is ``out``, if given.
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if out is None:
        out = np.empty((crop, crop, 3), np.uint8)
    if np.array_equal(colour, IDENTITY_COLOUR):
        cv2.warpAffine(image, warp, (crop, crop), out, flags, cv2.BORDER_CONSTANT, (0, 0, 0))
        return out
    moved = cv2.warpAffine(
        image, warp, (crop, crop), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0)
    )
    shifted = colour.copy()
    shifted[:, 3] *= 255
    cv2.transform(moved, shifted, out)
    if (shifted[:, 3] > 0).any():  # black would not stay black
        black = cv2.inRange(moved, (0, 0, 0), (0, 0, 0))
        cv2.subtract(out, cv2.cvtColor(black, cv2.COLOR_GRAY2RGB), out)
    return out


def apply_mask(planes: np.ndarray, warp: np.ndarray, crop: int, outside: int = 0) -> np.ndarray:
    """Move one plane of bits with its photograph, by the nearest pixel.

    Shape:
        - ``planes``: ``(S, S)``, uint8.
        - Returns: ``(crop, crop)``, uint8; ``outside`` where the map leaves the photograph.
    """
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        planes, warp, (crop, crop), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=outside
    )


def apply_batch(images: Tensor, warp: Tensor, crop: int, mode: str = "bilinear") -> Tensor:
    """Warp a batch on its device, in one call.

    Shape:
        - ``images``: ``(B, C, S, S)``, float32. ``warp``: ``(B, 2, 3)``, float32, input pixel -> working pixel.
        - Returns: ``(B, C, crop, crop)``, float32, zero where the map leaves the photograph.
    """
    # kornia's own warp of a matrix inverts it twice, and each inversion waits for the device
    x, y = affine_grid(warp, crop, crop)
    if mode == "nearest":  # as OpenCV, which halfway takes the even pixel; scaled first, chance decides
        x, y = x.round(), y.round()
    height, width = images.shape[2:]
    x, y = x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1
    return remap(images, x, y, mode=mode, align_corners=True, normalized_coordinates=True)


def affine_grid(warp: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where affine maps carry each pixel of a picture.

    Shape:
        - ``warp``: ``(B, 2, 3)``, pixel centres at integers. Returns: x and y, each ``(B, height, width)``.
    """
    y, x = torch.meshgrid(
        torch.arange(height, dtype=warp.dtype, device=warp.device),
        torch.arange(width, dtype=warp.dtype, device=warp.device),
        indexing="ij",
    )
    mapped = [
        row[:, 0, None, None] * x + row[:, 1, None, None] * y + row[:, 2, None, None]
        for row in warp.unbind(1)
    ]
    return mapped[0], mapped[1]


def apply_colour(images: Tensor, colour: Tensor) -> Tensor:
    """Apply each photograph's colour matrix and clamp once; what lies outside the photograph stays black.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32 in [0, 1]. ``colour``: ``(B, 3, 4)``. Returns: as ``images``.
    """
    mixed = colour_of(images, colour)
    return torch.where(images.amax(1, keepdim=True) < _BLACK, torch.zeros_like(mixed), mixed)


def colour_of(pixels: Tensor, colour: Tensor) -> Tensor:
    """Apply each photograph's colour matrix to every pixel, black ones too, and clamp once.

    Shape:
        - as :func:`apply_colour`.
    """
    mixed = torch.einsum("bij,bjhw->bihw", colour[:, :, :3], pixels) + colour[:, :, 3, None, None]
    return mixed.clamp(0, 1)


def normalise(images: Tensor, how: str | NormaliseConfig) -> Tensor:
    """Scale RGB in [0, 1] for the network.

    Args:
        images: as below.
        how: ``unit`` as it is, ``none`` [0, 255], ``imagenet`` or a mean and deviation to standardise by.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32. Returns: as ``images``.
    """
    if how == "unit":
        return images
    if how == "none":
        return images * 255
    by = _IMAGENET if isinstance(how, str) else how
    return (images - _of_channels(by.mean, images)) / _of_channels(by.deviation, images)


def _of_channels(values: tuple[float, float, float], images: Tensor) -> Tensor:
    """``(1, 3, 1, 1)``, filled on the device: a tensor made of a list would wait for it."""
    return torch.stack([images.new_full((), value) for value in values]).view(1, 3, 1, 1)
