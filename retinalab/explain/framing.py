"""How a network's input lies in the photograph that it was cut from."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from retinalab.data.fov import Fov
from retinalab.transforms.draw import evaluation_warp

__all__ = ["Framing"]


@dataclass(frozen=True)
class Framing:
    """The way from a photograph's pixels to the pixels of the network's input.

    Attributes:
        fov: field of view, in pixels of the photograph as it was decoded.
        size: side of the working image that was cut from it.
        side: of the network's input.
        view: ``whole`` or ``centre``, as in the data section.
    """

    fov: Fov
    size: int
    side: int
    view: str

    @classmethod
    def of_working(cls, size: int, extent: float = 1.0) -> Framing:
        """A working image taken as the photograph.

        Args:
            size: its side in pixels.
            extent: side of the network's input, in its centre, as a share of its own.
        """
        whole = Fov(size, size, 0.0, 0.0, float(size), None, "none")
        return cls(whole, size, max(1, round(extent * size)), "centre")

    def matrix(self, height: int, width: int) -> np.ndarray:
        """The affine map from pixels of the photograph, at the given size, to pixels of the input.

        Shape:
            - Returns: ``(2, 3)``, float64, acting on ``(x, y, 1)``, pixel centres at whole numbers.
        """
        fx, fy = self.fov.width / width, self.fov.height / height
        decoded = np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]])
        working = np.vstack([self.fov.affine(self.size), [0, 0, 1]])
        from_input = np.vstack([evaluation_warp(self.size, self.side, self.view), [0, 0, 1]]).astype(
            np.float64
        )
        return np.asarray((np.linalg.inv(from_input) @ working @ decoded)[:2])

    def on_photograph(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """Carry a map over the input back onto the photograph, at any size.

        Shape:
            - ``values``: ``(side, side)`` float32.
            - Returns: ``(height, width)`` float32; 0 where the network saw nothing.
        """
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = (width, height)
        return np.asarray(
            cv2.warpAffine(values.astype(np.float32), self.matrix(height, width), seen, flags=flags)
        )

    def cells(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """Carry a coarse map onto the photograph in its own cells: each pixel takes the value of the one it lies in.

        Shape:
            - ``values``: ``(h, w)``, covering the input evenly.
            - Returns: ``(height, width)`` float32; 0 where the network saw nothing.
        """
        matrix = self.matrix(height, width)
        rows, columns = np.indices((height, width))
        x, y = np.tensordot(matrix, np.stack([columns, rows, np.ones_like(rows)]), 1)
        down = np.floor((y + 0.5) * values.shape[0] / self.side).astype(np.int64)
        right = np.floor((x + 0.5) * values.shape[1] / self.side).astype(np.int64)
        inside = (down >= 0) & (down < values.shape[0]) & (right >= 0) & (right < values.shape[1])
        found = values[down.clip(0, values.shape[0] - 1), right.clip(0, values.shape[1] - 1)]
        return np.where(inside, found, 0).astype(np.float32)

    def seen(self, height: int, width: int) -> np.ndarray:
        """``(height, width)`` bool: the part of the photograph that the network saw, inside the field of view."""
        square = self.on_photograph(np.ones((self.side, self.side), np.float32), height, width) > 0.5
        ellipse = self.fov.rescale(height, width).ellipse
        return square if ellipse is None else square & (ellipse.draw(height, width) > 0)
