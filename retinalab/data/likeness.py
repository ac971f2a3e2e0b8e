"""Is this the same picture? Perceptual hashes of working images, near pairs of them, and a closer look at each.

Draft docstring: thresholds to be calibrated.
"""

from __future__ import annotations

import cv2
import imagehash
import numpy as np
from PIL import Image

from retinalab.data.fov import field_of_view
from retinalab.errors import RetinalabError

__all__ = ["NEAR", "SAME", "likeness", "likeness_hash", "near_pairs", "same_picture"]

NEAR = 64
"""Hashes that differ in at most so many of 256 bits are candidates."""

SAME = 0.75
"""Two photographs are one picture from this correlation of their detail on."""

_HASHED = 128
_COMPARED = 256
_INSCRIBED = 0.7
_FIELD = 12
_CHUNK = 4_000_000


def likeness_hash(image: np.ndarray) -> np.ndarray:
    """A perceptual hash of 256 bits: the signs of the lowest spatial frequencies of the retina's detail.

    The outline of the field is laid onto a fixed circle, the green channel's local mean and contrast are taken
    out, and the square inside the circle is hashed (:func:`imagehash.phash`), so that neither the black outside,
    nor exposure, nor where the field was cut off decides.

    Shape:
        - ``image``: ``(S, S, 3)``, uint8, RGB, cropped to the field of view.
        - Returns: ``(4,)``, uint64; all 0 where the image shows no field of view.
    """
    found = _detail(image, _HASHED)
    if found is None:
        return np.zeros(4, np.uint64)
    grey = Image.fromarray(np.clip(128 + 40 * _square(found), 0, 255).astype(np.uint8))
    bits = imagehash.phash(grey, hash_size=16).hash.ravel()
    return np.packbits(bits).view(">u8").astype(np.uint64)


def near_pairs(
    first: np.ndarray, second: np.ndarray | None = None, within: int = NEAR
) -> list[tuple[int, int, int]]:
    """Pairs of hashes that differ in few bits: candidates, to be looked at closely (:func:`same_picture`).

    Args:
        first: hashes. second: others; None: the first among themselves, each pair once.
        within: the most bits in which they may differ.

    Shape:
        - ``first``: ``(n, 4)``, uint64. ``second``: ``(m, 4)``. A hash that is all 0 resembles nothing.
        - Returns: (row of first, row of second, differing bits), nearest first.

    Example:
        >>> near_pairs(np.array([[1, 2, 3, 4]], np.uint64), np.array([[1, 2, 3, 5]], np.uint64))
        [(0, 0, 1)]
    """
    other = first if second is None else second
    known = np.flatnonzero(other.any(1))
    words = np.ascontiguousarray(other[known].T)
    found: list[tuple[int, int, int]] = []
    step = max(1, _CHUNK // max(1, len(known)))
    for begin in range(0, len(first), step):
        rows = first[begin : begin + step]
        distance = np.zeros((len(rows), len(known)), np.uint16)
        for word in range(4):
            distance += np.bitwise_count(rows[:, word, None] ^ words[word])
        distance[~rows.any(1)] = np.iinfo(np.uint16).max
        for row, column in zip(*np.nonzero(distance <= within), strict=True):
            pair = begin + int(row), int(known[column])
            if second is not None or pair[0] < pair[1]:
                found.append((*pair, int(distance[row, column])))
    return sorted(found, key=lambda pair: (pair[2], pair[0], pair[1]))


def same_picture(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two working images show one photograph, whatever its size, quality, brightness or exact crop.

    Shape:
        - ``first``, ``second``: ``(S, S, 3)``, uint8, RGB, of any two sizes.
    """
    return likeness(first, second) >= SAME


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two photographs' detail after the best small shift and change of scale, -1 to 1.

    Shape:
        - ``first``, ``second``: ``(S, S, 3)``, uint8, RGB, of any two sizes.
    """
    details = _detail(first, _COMPARED), _detail(second, _COMPARED)
    if details[0] is None or details[1] is None:
        return 0.0
    still = _square(details[0])
    window = cv2.createHanningWindow(still.shape[::-1], cv2.CV_32F)
    best = -1.0
    for scale in (1.0, 0.98, 1.02):
        other = _square(_scaled(details[1], scale))
        (x, y), _ = cv2.phaseCorrelate(still, other, window)
        moved = cv2.warpAffine(other, np.float32([[1, 0, -x], [0, 1, -y]]), other.shape[::-1])
        best = max(best, _correlation(still, moved))
    return best


def _detail(image: np.ndarray, side: int) -> np.ndarray | None:
    """The green channel without local mean and contrast, the field's outline laid onto the inscribed circle."""
    laid = _laid(image, side)
    if laid is None:
        return None
    green, inside = laid
    sigma = side * 6 / 128
    weight = cv2.GaussianBlur(inside, (0, 0), sigma) + 1e-3
    high = (green - cv2.GaussianBlur(green * inside, (0, 0), sigma) / weight) * inside
    spread = np.sqrt(cv2.GaussianBlur(high * high, (0, 0), 2 * sigma) / weight)
    detail: np.ndarray = high / (spread + 1)
    return detail


def _laid(image: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray] | None:
    if image.shape[0] > side:
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    try:
        ellipse = field_of_view(image).ellipse
    except RetinalabError:
        return None
    size = image.shape[0]
    cx, cy, rx, ry = (
        (ellipse.cx, ellipse.cy, ellipse.rx, ellipse.ry)
        if ellipse
        else (size / 2, size / 2, size / 2, size / 2)
    )
    fx, fy = side / (2 * rx), side / (2 * ry)
    matrix = np.array([[fx, 0, side / 2 - cx * fx], [0, fy, side / 2 - cy * fy]])
    green = image[..., 1].astype(np.float32)
    inside = (image.max(-1) > _FIELD).astype(np.float32)
    return cv2.warpAffine(green, matrix, (side, side)), cv2.warpAffine(inside, matrix, (side, side))


def _square(detail: np.ndarray) -> np.ndarray:
    half, centre = round(detail.shape[0] * _INSCRIBED / 2), detail.shape[0] // 2
    return np.ascontiguousarray(detail[centre - half : centre + half, centre - half : centre + half])


def _scaled(detail: np.ndarray, factor: float) -> np.ndarray:
    if factor == 1:
        return detail
    centre = detail.shape[0] / 2 - 0.5
    scaled = cv2.warpAffine(detail, cv2.getRotationMatrix2D((centre, centre), 0, factor), detail.shape[::-1])
    return np.asarray(scaled)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    edge = first.shape[0] // 16
    one, other = (part[edge:-edge, edge:-edge].ravel() for part in (first, second))
    if one.std() < 1e-6 or other.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
