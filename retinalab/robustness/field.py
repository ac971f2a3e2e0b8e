"""The field of view of a working image, as faults of optics and lighting need it: where it is, and how large."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from retinalab.errors import RetinalabError
from retinalab.explain.photographs import field_mask

__all__ = ["Field"]

_DARK = 10
"""Levels of 255; as in :func:`retinalab.explain.photographs.field_mask`."""


@dataclass(frozen=True)
class Field:
    """A field of view in the pixels of a working image.

    Attributes:
        inside: ``(S, S)`` bool.
        x, y: its centre.
        radius: half of its larger extent, so that a field cut off at top and bottom keeps its radius.
    """

    inside: np.ndarray
    x: float
    y: float
    radius: float

    @classmethod
    def of(cls, inside: np.ndarray) -> Field:
        """From a mask.

        Raises:
            RetinalabError: nothing is inside.
        """
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not len(rows):
            raise RetinalabError(
                "The field of view is empty. Give a photograph that differs from its background."
            )
        height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        x, y = (columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2
        return cls(inside, float(x), float(y), max(height, width) / 2)

    @classmethod
    def seen(cls, working: np.ndarray) -> Field:
        """Of a working image; where no outline fits, the convex hull of what is not black.

        Shape:
            - ``working``: ``(S, S, 3)`` uint8 RGB, black beyond the field.
        """
        inside = field_mask(working)
        if inside.all():
            points = cv2.findNonZero((working.max(2) > _DARK).astype(np.uint8))
            hull = np.zeros(inside.shape, np.uint8)
            cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
            inside = hull.astype(bool)
        return cls.of(inside)

    def polar(self) -> tuple[np.ndarray, np.ndarray]:
        """``(S, S)`` float32 each: right and down of the centre, in radii."""
        height, width = self.inside.shape
        across = (np.arange(width, dtype=np.float32) - self.x) / self.radius
        down = (np.arange(height, dtype=np.float32) - self.y) / self.radius
        return np.broadcast_to(across, (height, width)), np.broadcast_to(down[:, None], (height, width))

    def towards(self, angle: float) -> np.ndarray:
        """``(S, S)`` float32: position along a direction, -1 at one rim and 1 at the other."""
        across, down = self.polar()
        return np.asarray(across * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle)))
