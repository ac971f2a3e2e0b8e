"""The window table: crops, patches and tiles of working images, whatever a paper calls them.

One row a window: ``photograph`` (row of the records), ``x`` and ``y`` (its centre, pixels of the working image, pixel
centres at integers) and ``label``. A window of side s covers the pixels from x - s//2 to x - s//2 + s - 1.
Near the border
it is not moved, so that its centre stays in its lesion: what lies outside the photograph is black there.
"""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd

from retinalab.config import WindowConfig
from retinalab.data.cache import Prepared
from retinalab.records import LESIONS
from retinalab.transforms.draw import generator

__all__ = ["cut", "grid_windows", "lesion_windows", "window_table"]

_NEGATIVES = 0x9E6A


def window_table(config: WindowConfig, cache: Prepared, rows: np.ndarray, seed: int) -> pd.DataFrame:
    """The windows of the given photographs; those of one photograph follow one another.

    Shape:
        - ``rows``: ``(n,)`` int, rows of the cache.
        - Returns: columns ``photograph`` (position in ``rows``), ``x``, ``y``, ``label`` (-1 where the kind has none).
    """
    if config.kind == "grid":
        return grid_windows(len(rows), cache.size, config.size, config.stride or config.size)
    tables = [lesion_windows(cache.planes(np.array([row]))[0], config, seed, int(row)) for row in rows]
    table = pd.concat([t.assign(photograph=i) for i, t in enumerate(tables)], ignore_index=True)
    return table[["photograph", "x", "y", "label"]]


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


def lesion_windows(planes: np.ndarray, config: WindowConfig, seed: int, row: int) -> pd.DataFrame:
    """One window for each connected lesion, and negatives whose whole window is known to be free of lesions.

    A window is labelled by the lesion at its centre, the earlier of ``config.classes`` first.

    Shape:
        - ``planes``: ``(2, S, S)`` uint8, as :meth:`retinalab.data.cache.Cache.planes`.
    """
    bits = {lesion: 1 << LESIONS.index(lesion) for lesion in config.classes}
    found: list[tuple[int, int, int]] = []
    for lesion in config.classes:
        count, labels = cv2.connectedComponents(
            ((planes[0] & bits[lesion]) > 0).astype(np.uint8), connectivity=8
        )
        for component in range(1, count):
            y, x = _inner_point(labels == component)
            found.append((x, y, _label(int(planes[0, y, x]), config.classes, bits)))
    found.extend(_negatives(planes, config, seed, row))
    return pd.DataFrame(found, columns=["x", "y", "label"]).drop_duplicates(["x", "y"], ignore_index=True)


def cut(image: np.ndarray, x: int, y: int, size: int) -> np.ndarray:
    """Cut one window; black (0) where it leaves the image.

    Shape:
        - ``image``: ``(S, S)`` or ``(S, S, C)``. Returns: ``(size, size)`` or ``(size, size, C)``.
    """
    out = np.zeros((size, size, *image.shape[2:]), image.dtype)
    top, left = y - size // 2, x - size // 2
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


def _negatives(planes: np.ndarray, config: WindowConfig, seed: int, row: int) -> list[tuple[int, int, int]]:
    side, half = planes.shape[1], config.size // 2
    rng = generator(seed, row, _NEGATIVES)
    asked = sum(1 << LESIONS.index(lesion) for lesion in config.classes)
    summed = cv2.integral(((planes[0] > 0) | ((planes[1] & asked) > 0)).astype(np.uint8))
    chosen: list[tuple[int, int, int]] = []
    for x, y in rng.integers(half, max(side - half, half + 1), (20 * config.negatives, 2)):
        top, left = max(y - half, 0), max(x - half, 0)
        bottom, right = min(y - half + config.size, side), min(x - half + config.size, side)
        inside = summed[bottom, right] - summed[top, right] - summed[bottom, left] + summed[top, left]
        in_circle = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 2 - half / 2) ** 2
        if len(chosen) < config.negatives and inside == 0 and in_circle:
            chosen.append((int(x), int(y), 0))
    return chosen
