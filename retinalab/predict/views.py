"""The eight views of a square photograph: turned by quarters, and mirrored; no pixel is interpolated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["PLAIN", "VIEWS", "View"]


@dataclass(frozen=True)
class View:
    """One way to look at a square.

    Attributes:
        turns: quarters counter-clockwise.
        mirrored: whether left and right are exchanged before it is turned.
    """

    turns: int
    mirrored: bool

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """Working images in this view.

        Shape:
            - ``pixels``: ``(B, S, S, 3)`` uint8.
            - Returns: the same, contiguous.
        """
        seen = pixels[:, :, ::-1] if self.mirrored else pixels
        return np.ascontiguousarray(np.rot90(seen, self.turns, axes=(1, 2)))

    def back(self, maps: np.ndarray) -> np.ndarray:
        """Maps over the view as they lie in the plain photograph.

        Shape:
            - ``maps``: ``(..., S, S)``.

        Example:
            >>> corner = np.array([[[1, 0], [0, 0]]])
            >>> View(1, True).back(View(1, True).of(corner[..., None])[..., 0]).tolist()
            [[[1, 0], [0, 0]]]
        """
        upright = np.rot90(maps, -self.turns, axes=(-2, -1))
        return np.ascontiguousarray(upright[..., ::-1] if self.mirrored else upright)


PLAIN = View(0, False)
VIEWS = tuple(View(turns, mirrored) for mirrored in (False, True) for turns in range(4))
"""All eight, the plain one first: the symmetries of the square."""
