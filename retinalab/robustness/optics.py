"""Faults between lamp, eye and film: defocus, haze, uneven light."""

from __future__ import annotations

import math

import cv2
import numpy as np

from retinalab.robustness.field import Field

__all__ = ["defocus", "haze", "smooth_step", "uneven_light"]

_GAMMA = 2.2
_TO_LIGHT = ((np.arange(256) / 255) ** _GAMMA).astype(np.float32)
_RINGS = 12
_VEIL = np.array([246, 226, 198], np.float32)
"""Colour of lamp light that the media of an eye scatter back: white with the yellow of a lens."""


def defocus(image: np.ndarray, field: Field, level: float, rng: np.random.Generator) -> np.ndarray:
    """Spread every point over the circle of confusion, in linear light; beyond the field nothing is counted.

    Args:
        image: the photograph.
        field: its field of view.
        level: radius of the circle in shares of the field's diameter.
        rng: not used: the fault has no place.

    Shape:
        - ``image``: ``(S, S, 3)`` uint8 RGB. Returns: ``(S, S, 3)`` float32, levels of 255.
    """
    kernel = _circle(level * 2 * field.radius)
    inside = field.inside.astype(np.float32)
    light = _TO_LIGHT[image] * inside[..., None]
    spread = cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    counted = cv2.filter2D(inside, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    mean = spread / np.maximum(counted, 1e-3)[..., None]
    return np.asarray(np.maximum(mean, 0) ** (1 / _GAMMA) * 255)


def _circle(radius: float) -> np.ndarray:
    """A disc of any radius in pixels as a kernel of sum 1: many points of it, each shared among four pixels."""
    reach = math.ceil(radius) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    steps = max(_RINGS, math.ceil(2 * radius))
    grid = (np.arange(-steps, steps + 1)) / steps * radius
    x, y = (values.ravel() for values in np.meshgrid(grid, grid))
    x, y = (values[np.hypot(x, y) <= radius * (1 + 1e-9)] + reach for values in (x, y))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for right, low in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.abs(1 - right - (x - left)) * np.abs(1 - low - (y - top))
        np.add.at(kernel, (top + low, left + right), share)
    return np.asarray(kernel / kernel.sum(), np.float32)


def haze(image: np.ndarray, field: Field, level: float, rng: np.random.Generator) -> np.ndarray:
    """Lay a veil of scattered light over the retina: ``(1 - t) · blurred image + t · veil``.

    The veil is densest at a drawn place and a third thinner at the far rim.

    Reference: the clear and cloudy parts follow the degradation of cataract in Li et al., An annotation-free
        restoration network for cataractous fundus images, IEEE Transactions on Medical Imaging 2022, in outline.

    Args:
        image: the photograph.
        field: its field of view.
        level: share t of the veil where it is densest.
        rng: draws where that is.

    Shape:
        - as :func:`defocus`.
    """
    across, down = field.polar()
    angle, out = rng.uniform(0, 2 * math.pi), 0.5 * math.sqrt(rng.uniform())
    distance = np.hypot(across - out * math.cos(angle), down - out * math.sin(angle))
    veil = (level * (1 - 0.33 * smooth_step(distance / 1.4)))[..., None].astype(np.float32)
    inside = field.inside.astype(np.float32)
    sigma = 0.008 * level * 2 * field.radius
    counted = np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-3)[..., None]
    blurred = cv2.GaussianBlur(image.astype(np.float32) * inside[..., None], (0, 0), sigma) / counted
    bright = np.percentile(image[field.inside], 95, axis=0).astype(np.float32)
    return np.asarray((1 - veil) * blurred + veil * (bright + _VEIL) / 2)


def uneven_light(image: np.ndarray, field: Field, level: float, rng: np.random.Generator) -> np.ndarray:
    """Darken towards one side and brighten a crescent at the other, as a camera out of line with the pupil does.

    Args:
        image: the photograph.
        field: its field of view.
        level: share of the light that is lost at the dark rim.
        rng: draws the side.

    Shape:
        - as :func:`defocus`.
    """
    along = field.towards(rng.uniform(0, 2 * math.pi))
    dark = level * smooth_step((along + 0.7) / 1.7)
    crescent = 0.35 * level * smooth_step((-along - 0.35) / 0.65)
    return np.asarray(image * ((1 - dark) * (1 + crescent))[..., None].astype(np.float32))


def smooth_step(values: np.ndarray) -> np.ndarray:
    """From 0 at 0 to 1 at 1 without a kink: 3 v² - 2 v³, flat beyond both.

    Example:
        >>> smooth_step(np.array([-1.0, 0.5, 2.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    clipped = np.clip(values, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped))
