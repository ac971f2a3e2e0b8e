"""Draw the random change of a photograph: one affine matrix and one colour matrix, from a seeded generator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from retinalab.config import AugmentConfig, PrincipalColours

__all__ = ["IDENTITY_COLOUR", "draw_colours", "draw_warps", "evaluation_warp", "generator"]

IDENTITY_COLOUR = np.eye(3, 4, dtype=np.float32)

_LUMA = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def generator(*key: int) -> np.random.Generator:
    """A generator that depends on the key alone, such as (seed, epoch, position): no state, any order, any worker."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def draw_warps(
    augment: AugmentConfig, size: int, crop: int, view: str, rngs: Sequence[np.random.Generator]
) -> np.ndarray:
    """Draw the affine maps of training photographs.

    Crop, aspect, zoom, stretch, rotation, shift and flips are composed into one map, so that pixels are interpolated
    once.

    Args:
        augment: ranges to draw from.
        size: side of the working image, pixels.
        crop: side of the network's input, pixels.
        view: ``whole`` or ``centre``: what is seen where ``crop_area`` is not given.
        rngs: generator of each photograph and epoch.

    Shape:
        - Returns: ``(B, 2, 3)``, float32: input pixel (x, y, 1) -> working-image pixel, pixel centres at integers.
    """
    cropped, stretched = augment.crop_area is not None, augment.stretch != (1.0, 1.0)
    drawn = iter(_uniform(rngs, 6 + 4 * cropped + 2 * stretched))
    extent = np.full((len(rngs), 2), float(size if view == "whole" else crop))
    offset = np.zeros((len(rngs), 2))
    if augment.crop_area is not None:
        area = _between(augment.crop_area, next(drawn)) * size * size
        aspect = np.exp(_between(np.log(augment.crop_aspect), next(drawn)))
        extent = np.minimum(size, np.sqrt(np.stack([area * aspect, area / aspect], axis=1)))
        place = np.stack([next(drawn), next(drawn)], axis=1)
        offset = _between((-0.5, 0.5), place) * (size - extent)
    zoom = np.exp(_between(np.log(augment.zoom), next(drawn)))
    angle = np.radians(_between((-augment.rotation, augment.rotation), next(drawn)))
    shift = np.stack([next(drawn), next(drawn)], axis=1)
    offset = offset + _between((-augment.shift, augment.shift), shift) * size
    flips = 1 - 2 * (
        np.stack([next(drawn), next(drawn)], axis=1) < (augment.flip_horizontal, augment.flip_vertical)
    )
    zooms = np.stack([zoom, zoom], axis=1)
    if stretched:
        zooms = zooms * np.exp(
            _between(np.log(augment.stretch), np.stack([next(drawn), next(drawn)], axis=1))
        )
    return _warps(extent / zooms, angle, flips, offset, size, crop)


def evaluation_warp(size: int, crop: int, view: str) -> np.ndarray:
    """The map used for validation and test: the whole working image, or its central crop.

    Shape:
        - Returns: ``(2, 3)``, float32, as :func:`draw_warp`.

    Example:
        >>> evaluation_warp(4, 4, "whole").tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    side = np.full((1, 2), float(size if view == "whole" else crop))
    return np.asarray(_warps(side, np.zeros(1), np.ones((1, 2)), np.zeros((1, 2)), size, crop)[0])


def draw_colours(augment: AugmentConfig, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Draw the colour maps of training photographs: brightness, contrast, saturation and hue as one linear map.

    An offset along the principal components of colour comes last.

    Shape:
        - Returns: ``(B, 3, 4)``, float32: output = matrix[:, :3] · RGB + matrix[:, 3], RGB in [0, 1]; clamp once
          afterwards.

    Differs from torchvision: hue turns the chroma plane of YIQ instead of HSV's angle, so that the whole is linear.
    """
    ranges = (augment.brightness, augment.contrast, augment.saturation, augment.hue)
    drawn = [_between((-most, most), one) for most, one in zip(ranges, _uniform(rngs, 4), strict=True)]
    brightness, contrast, saturation = (1 + one for one in drawn[:3])
    turn = 2 * math.pi * drawn[3]
    yiq = np.zeros((len(rngs), 3, 3))
    yiq[:, 0, 0] = 1
    yiq[:, 1, 1] = yiq[:, 2, 2] = saturation * np.cos(turn)
    yiq[:, 2, 1] = saturation * np.sin(turn)
    yiq[:, 1, 2] = -yiq[:, 2, 1]
    matrices = np.empty((len(rngs), 3, 4))
    matrices[:, :, :3] = (brightness * contrast)[:, None, None] * (_FROM_YIQ @ yiq @ _TO_YIQ)
    matrices[:, :, 3] = (brightness * 0.5 * (1 - contrast))[:, None]
    if augment.principal is not None:
        matrices[:, :, 3] += [_principal_offset(augment.principal, rng) for rng in rngs]
    return matrices.astype(np.float32)


def _principal_offset(colours: PrincipalColours, rng: np.random.Generator) -> np.ndarray:
    """``(3,)`` float64, added to RGB in [0, 1]: what shifts standardised pixels along their components."""
    amounts = rng.normal(0.0, colours.deviation, 3) * colours.lengths
    offset: np.ndarray = np.asarray(colours.scale) * (amounts @ np.asarray(colours.components))
    return offset


def _uniform(rngs: Sequence[np.random.Generator], count: int) -> np.ndarray:
    """So many numbers in [0, 1) from each generator, ``(count, B)``."""
    return np.array([rng.random(count) for rng in rngs]).reshape(len(rngs), count).T


def _between(ends: Sequence[float] | np.ndarray, share: np.ndarray) -> np.ndarray:
    low, high = ends
    return np.asarray(low + (high - low) * share)


def _warps(
    extent: np.ndarray, angle: np.ndarray, flips: np.ndarray, offset: np.ndarray, size: int, crop: int
) -> np.ndarray:
    across, down = (extent / crop * flips).T
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = np.stack([cosine * across, -sine * down, sine * across, cosine * down], axis=1).reshape(-1, 2, 2)
    centre_in = (size - 1) / 2 + offset
    moved = centre_in - linear.sum(axis=2) * ((crop - 1) / 2)
    return np.concatenate([linear, moved[:, :, None]], axis=2).astype(np.float32)
