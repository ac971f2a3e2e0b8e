"""Retinal coordinates, and how a view of them falls on pixels.

Retinal coordinates are measured in disc diameters: the fovea is the origin, x grows towards the nose, y
downwards. They are the same for both eyes; a photograph of a left eye is mirrored: its disc lies on the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["Canvas", "Pose", "generator"]

_SHIFT = 4
_ONE = 1 << _SHIFT


def generator(seed: int, *keys: int) -> np.random.Generator:
    """A random generator that depends on the seed and the keys only."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *keys])))


@dataclass(frozen=True)
class Pose:
    """Where the camera looks: the field's centre in retinal coordinates, roll in radians, the eye's side."""

    x: float
    y: float
    roll: float
    left: bool

    def matrix(self, scale: float, centre: tuple[float, float]) -> np.ndarray:
        """``(2, 3)`` affine map from retinal coordinates to pixels.

        Args:
            scale: pixels per disc diameter.
            centre: pixel (x, y) of the field's centre.
        """
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        turn = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if self.left else 1.0, 1.0])
        shift = np.asarray(centre) - turn @ np.array([self.x, self.y])
        return np.hstack([turn, shift[:, None]])


class Canvas:
    """Draws shapes given in retinal coordinates as coverage of pixels.

    Shapes are filled at ``factor`` times the size and reduced by area, so that a spot smaller than a pixel
    covers a part of it, as on a sensor.

    Args:
        matrix: ``(2, 3)`` from retinal coordinates to pixels.
        width: of the result in pixels.
        height: of the result in pixels.
        factor: sub-pixels per pixel and axis.
    """

    def __init__(self, matrix: np.ndarray, width: int, height: int, factor: int) -> None:
        self.matrix, self.width, self.height, self.factor = matrix, width, height, factor
        self._fine = matrix * factor
        self._fine[:, 2] += (factor - 1) / 2
        self.scale = float(np.hypot(*matrix[:, 0]))

    def plane(self) -> np.ndarray:
        """An empty plane at the fine size."""
        return np.zeros((self.height * self.factor, self.width * self.factor), np.uint8)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Retinal coordinates ``(..., 2)`` to pixels ``(..., 2)``."""
        moved: np.ndarray = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return moved

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        fine: np.ndarray = points @ self._fine[:, :2].T + self._fine[:, 2]
        return np.asarray(np.round(np.clip(fine, -30000, 30000) * _ONE), np.int32)

    def fill(self, plane: np.ndarray, polygons: Sequence[np.ndarray], values: Sequence[float]) -> None:
        """Fill polygons ``(n, 2)`` one over the other, each with its value in [0, 1]."""
        if not polygons:
            return
        corners = self._fixed(np.concatenate(polygons))
        ends = np.cumsum([len(polygon) for polygon in polygons]).tolist()
        for first, last, value in zip([0, *ends], ends, values, strict=False):
            cv2.fillPoly(plane, [corners[first:last]], round(255 * value), cv2.LINE_8, _SHIFT)

    def stroke(self, plane: np.ndarray, line: np.ndarray, diameter: float, value: float) -> None:
        """Draw a line ``(n, 2)``, its diameter in disc diameters; thinner than a sub-pixel means fainter."""
        wide = diameter * self.scale * self.factor
        thickness = max(1, round(wide))
        value = value * min(1.0, wide)
        cv2.polylines(
            plane, [self._fixed(line)], False, max(1, round(255 * value)), thickness, cv2.LINE_8, _SHIFT
        )

    def coverage(self, plane: np.ndarray) -> np.ndarray:
        """``(H, W)`` uint8: the fine plane averaged over each pixel."""
        if self.factor == 1:
            return plane
        return cv2.resize(plane, (self.width, self.height), interpolation=cv2.INTER_AREA)
