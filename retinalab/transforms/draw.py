"""Draw the random change of a photograph: one affine matrix and one colour matrix, from a seeded generator."""

from __future__ import annotations

import math

import numpy as np

from retinalab.config import AugmentConfig, PrincipalColours

__all__ = ["IDENTITY_COLOUR", "draw_colour", "draw_warp", "evaluation_warp", "generator"]

IDENTITY_COLOUR = np.eye(3, 4, dtype=np.float32)

_LUMA = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


def generator(*key: int) -> np.random.Generator:
    """A generator that depends on the key alone, such as (seed, epoch, position): no state, any order, any worker."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def draw_warp(
    augment: AugmentConfig, size: int, crop: int, view: str, rng: np.random.Generator
) -> np.ndarray:
    """Draw the affine map of one training photograph.

    Crop, aspect, zoom, stretch, rotation, shift and flips are composed into one map, so that pixels are interpolated
    once.

    Args:
        augment: ranges to draw from.
        size: side of the working image, pixels.
        crop: side of the network's input, pixels.
        view: ``whole`` or ``centre``: what is seen where ``crop_area`` is not given.
        rng: generator of this photograph and epoch.

    Shape:
        - Returns: ``(2, 3)``, float32: input pixel (x, y, 1) -> working-image pixel, pixel centres at integers.
    """
    width = height = float(size if view == "whole" else crop)
    offset = np.zeros(2)
    if augment.crop_area is not None:
        area = rng.uniform(*augment.crop_area) * size * size
        aspect = math.exp(rng.uniform(*np.log(augment.crop_aspect)))
        width, height = min(size, math.sqrt(area * aspect)), min(size, math.sqrt(area / aspect))
        offset = rng.uniform(-0.5, 0.5, 2) * (size - np.array([width, height]))
    zoom = math.exp(rng.uniform(*np.log(augment.zoom)))
    angle = math.radians(rng.uniform(-augment.rotation, augment.rotation))
    offset = offset + rng.uniform(-augment.shift, augment.shift, 2) * size
    flips = 1 - 2 * (rng.random(2) < (augment.flip_horizontal, augment.flip_vertical))
    zooms = np.full(2, zoom)
    if augment.stretch != (1.0, 1.0):
        low, high = np.log(augment.stretch)
        zooms = zooms * np.exp(rng.uniform(low, high, 2))
    return _warp((width / zooms[0], height / zooms[1]), angle, flips, offset, size, crop)


def evaluation_warp(size: int, crop: int, view: str) -> np.ndarray:
    """The map used for validation and test: the whole working image, or its central crop.

    Shape:
        - Returns: ``(2, 3)``, float32, as :func:`draw_warp`.

    Example:
        >>> evaluation_warp(4, 4, "whole").tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    side = float(size if view == "whole" else crop)
    return _warp((side, side), 0.0, np.ones(2), np.zeros(2), size, crop)


def draw_colour(augment: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Draw the colour map of one training photograph: brightness, contrast, saturation and hue as one linear map.

    An offset along the principal components of colour comes last.

    Shape:
        - Returns: ``(3, 4)``, float32: output = matrix[:, :3] · RGB + matrix[:, 3], RGB in [0, 1]; clamp once
          afterwards.

    Differs from torchvision: hue turns the chroma plane of YIQ instead of HSV's angle, so that the whole is linear.
    """
    brightness = 1 + rng.uniform(-augment.brightness, augment.brightness)
    contrast = 1 + rng.uniform(-augment.contrast, augment.contrast)
    saturation = 1 + rng.uniform(-augment.saturation, augment.saturation)
    turn = 2 * math.pi * rng.uniform(-augment.hue, augment.hue)
    chroma = saturation * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    yiq = np.eye(3)
    yiq[1:, 1:] = chroma
    matrix = np.empty((3, 4))
    matrix[:, :3] = brightness * contrast * (np.linalg.inv(_TO_YIQ) @ yiq @ _TO_YIQ)
    matrix[:, 3] = brightness * 0.5 * (1 - contrast)
    if augment.principal is not None:
        matrix[:, 3] += _principal_offset(augment.principal, rng)
    return matrix.astype(np.float32)


def _principal_offset(colours: PrincipalColours, rng: np.random.Generator) -> np.ndarray:
    """``(3,)`` float64, added to RGB in [0, 1]: what shifts standardised pixels along their components."""
    amounts = rng.normal(0.0, colours.deviation, 3) * colours.lengths
    offset: np.ndarray = np.asarray(colours.scale) * (amounts @ np.asarray(colours.components))
    return offset


def _warp(
    extent: tuple[float, float], angle: float, flips: np.ndarray, offset: np.ndarray, size: int, crop: int
) -> np.ndarray:
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = rotation @ np.diag(np.array(extent) / crop * flips)
    centre_in = np.full(2, (size - 1) / 2) + offset
    centre_out = np.full(2, (crop - 1) / 2)
    return np.column_stack([linear, centre_in - linear @ centre_out]).astype(np.float32)
