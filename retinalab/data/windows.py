"""The window table: crops, patches and tiles of working images, whatever a paper calls them.

One row a window: ``photograph`` (row of the records), ``x`` and ``y`` (its centre, pixels of the working image, pixel
centres at integers) and ``label``. A window of side s covers the pixels from x - s//2 to x - s//2 + s - 1.
Near the border it is not moved, so that its centre stays in its lesion: what lies outside the photograph is black
there, and of its masks not to be judged.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from retinalab.config import WindowConfig
from retinalab.records import LESIONS
from retinalab.transforms.draw import generator

__all__ = ["Lesion", "cut", "cut_at", "find_lesions", "free_windows", "grid_windows"]

_NEGATIVES = 0x9E6A
_TRIES = 20


@dataclass(frozen=True)
class Lesion:
    """What one window is cut round: a connected lesion, or several that share a centre.

    Attributes:
        x, y: the centre, in the lesion.
        label: class of the lesion there, from 1.
        pieces: of each connected component its bit, the rows and columns of its box, and its pixels in it.
    """

    x: int
    y: int
    label: int
    pieces: tuple[tuple[int, slice, slice, np.ndarray], ...]

    def erased(self, marked: np.ndarray) -> None:
        """Take its annotation out of a plane of lesion bits, in place."""
        for bit, rows, columns, pixels in self.pieces:
            marked[rows, columns][pixels] &= np.uint8(~bit & 0xFF)


def grid_windows(photographs: int, side: int, size: int, stride: int) -> pd.DataFrame:
    """Tiles from the upper left corner; the last row and column are moved inwards, so that no pixel is left out."""
    starts = sorted({*range(0, max(side - size, 0) + 1, stride), max(side - size, 0)})
    centres = np.array([(x + size // 2, y + size // 2) for y in starts for x in starts])
    return pd.DataFrame(
        {
            "photograph": np.repeat(np.arange(photographs), len(centres)),
            "x": np.tile(centres[:, 0], photographs),
            "y": np.tile(centres[:, 1], photographs),
            "label": -1,
        }
    )


def find_lesions(marked: np.ndarray, classes: tuple[str, ...]) -> list[Lesion]:
    """The connected lesions of some classes, each with the pixel of it nearest its centroid.

    Lesions of several classes whose windows would coincide are one.

    Shape:
        - ``marked``: ``(S, S)`` uint8, bit i of a pixel is lesion i.
    """
    bits = {lesion: 1 << LESIONS.index(lesion) for lesion in classes}
    found: dict[tuple[int, int], Lesion] = {}
    for bit in bits.values():
        mask = ((marked & bit) > 0).astype(np.uint8)
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for component in range(1, count):
            left, top, width, height = (int(value) for value in boxes[component][:4])
            rows, columns = slice(top, top + height), slice(left, left + width)
            pixels = labels[rows, columns] == component
            y, x = _inner_point(pixels)
            centre, piece = (left + x, top + y), (bit, rows, columns, pixels)
            label = _label(int(marked[top + y, left + x]), classes, bits)
            before = found[centre].pieces if centre in found else ()
            found[centre] = Lesion(*centre, label, (*before, piece))
    return list(found.values())


def free_windows(
    planes: np.ndarray, config: WindowConfig, count: int, seed: int, row: int, healthy: bool = False
) -> list[tuple[int, int]]:
    """Centres of random windows that lie in the photograph and hold no pixel of a lesion, whatever its class.

    They lie anywhere in the square, also beyond the field of view, which a network that was trained on windows
    sees as well. A mark that is not to be judged counts as a lesion. Where a lesion asked for was not annotated at
    all, nothing is known to be free of it, unless the photograph is ``healthy``.

    Args:
        planes: lesion planes of the photograph.
        config: size and classes.
        count: how many are wanted; fewer are found where there is little room.
        seed, row: what their places follow from.
        healthy: whether the photograph is known to show no lesion.

    Shape:
        - ``planes``: ``(2, S, S)`` uint8.
    """
    side, half = planes.shape[1], config.size // 2
    if side < config.size:
        return []
    never = int(np.bitwise_and.reduce(planes[1], axis=None))
    asked = 0 if healthy else sum(1 << LESIONS.index(lesion) for lesion in config.classes)
    unsure = np.uint8(~never & 0xFF | asked)
    centres = generator(seed, row, _NEGATIVES).integers(
        half, side - config.size + half + 1, (_TRIES * count, 2)
    )
    summed = cv2.integral(((planes[0] > 0) | ((planes[1] & unsure) > 0)).astype(np.uint8))
    left, top = centres[:, 0] - half, centres[:, 1] - half
    right, bottom = left + config.size, top + config.size
    inside = summed[bottom, right] - summed[top, right] - summed[bottom, left] + summed[top, left]
    free = dict.fromkeys((int(x), int(y)) for x, y in centres[inside == 0])
    return list(free)[:count]


def cut(image: np.ndarray, x: int, y: int, size: int) -> np.ndarray:
    """Cut one window about its centre; black (0) where it leaves the image.

    Shape:
        - ``image``: ``(S, S)`` or ``(S, S, C)``. Returns: ``(size, size)`` or ``(size, size, C)``.
    """
    return cut_at(image, x - size // 2, y - size // 2, size)


def cut_at(image: np.ndarray, left: int, top: int, size: int) -> np.ndarray:
    """Cut one window from its upper left corner; black (0) where it leaves the image.

    Shape:
        - as :func:`cut`.
    """
    out = np.zeros((size, size, *image.shape[2:]), image.dtype)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + size, image.shape[0]), min(left + size, image.shape[1])
    if y1 > y0 and x1 > x0:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return out


def _inner_point(component: np.ndarray) -> tuple[int, int]:
    """The component's pixel nearest its centroid: the centroid itself may lie outside a crescent."""
    ys, xs = np.nonzero(component)
    nearest = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    return int(ys[nearest]), int(xs[nearest])


def _label(present: int, classes: tuple[str, ...], bits: dict[str, int]) -> int:
    return next(number for number, lesion in enumerate(classes, start=1) if present & bits[lesion])
