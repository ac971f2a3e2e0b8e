"""Is this the same picture? Perceptual hashes of working images, near pairs of them, and a closer look at each.

A hash of 256 bits finds candidates among tens of thousands of photographs; :func:`same_picture` then looks at each.
Both see the retina alone: the outline of the field of view is laid onto a fixed circle, so that neither the black
outside nor where a copy was cut off matters, and local mean and contrast are taken out.

Thresholds were chosen on photographs of DeepDRiD, dr600 and HEI-MED (working size 256) and tried on 52 photographs of
other patients, of which copies were made:

=======================================  ===================  ==========
copy                                     bits (median, most)  recognised
=======================================  ===================  ==========
saved again as PNG, or at half the size  0 or 4, 12           104 of 104
JPEG quality 95, 60, 45                  2, 10, 12; 32        156 of 156
JPEG quality 30 of 512 pixels            16, 46               50 of 52
2 % cut off all round                    2, 14                52 of 52
5 % cut off all round, on two sides      4, 14                104 of 104
darker (0.7), brighter (1.25)            4, 24                104 of 104
contrast 1.3                             10, 62               48 of 52
half size, cut, darker and quality 50    22, 52               48 of 52
=======================================  ===================  ==========

At a working size of 128 the same but for 47 of 52 after a cut of 5 % all round. The twenty originals of dr600 (3872 x
2592) lie within 10 bits of their reduced copies. All pairs of different pictures were seen while the thresholds were
chosen; of the copies above, those cut by 5 % were seen once, and the outline is looked for at 256 pixels since. Of
prepared photographs the outline is the one that they were cut out by: on 60 other photographs, of copies cut by 5 %
all round 60 lie within 20 bits, where an outline looked for in the working image leaves 40 within 40; all else is the
same.

Of the 1,600 photographs of DeepDRiD, 26 eyes have one picture as both views (at most 12 bits). The other 774 pairs of
views have 24 to 146 bits; one of them, taken in one fixation, is called the same. The two eyes of one person differ in
58 bits and more. Of all 2.4 million pairs of the three sets, 34 are candidates (40 bits) and 27 are called the same.

Bits alone would not do: two photographs of one eye in one position have 24 and more. What tells them from copies is
that an eye turns and a copy does not: 0.65 of the patches (11 of 16) must lie in their places to half a pixel of 256,
where the most of any other candidate is 0.56 and a copy at JPEG quality 45 has 0.69. A reflex that sticks to the lens,
for which correlation alone calls different patients of DeepDRiD alike, moves with nothing. Patches alone would not do
either: of the people whom dr600 lists twice, one eye lies in place at both visits, with 56 bits between them.

Mirrored copies do not count: a mirrored left eye is what a right eye looks like, no owner publishes mirrored pictures,
and whoever mirrors for training does so after the split.
"""

from __future__ import annotations

import cv2
import imagehash
import numpy as np
from PIL import Image

from retinalab.data.fov import Fov, field_of_view
from retinalab.errors import RetinalabError

__all__ = ["NEAR", "SAME", "likeness", "likeness_hash", "near_pairs", "same_picture"]

NEAR = 40
"""Hashes that differ in at most so many of 256 bits are candidates."""

SAME = 0.65
"""Two photographs are one picture where at least this share of their patches lies in place."""

_HASHED = 128
_COMPARED = 256
_INSCRIBED = 0.7
_FIELD = 12
_TILE = 16, 1024
"""Pairs whose halves are compared at once: they stay near the processor."""
_PATCH, _PATCHES = 80, 4
_STILL = 0.5
_FAR = 6.0
_FAINT = 0.8


def likeness_hash(image: np.ndarray, field: Fov | None = None) -> np.ndarray:
    """A perceptual hash of 256 bits: the signs of the lowest spatial frequencies of the retina's detail.

    The outline of the field is laid onto a fixed circle, the green channel's local mean and contrast are taken
    out, and the square inside the circle is hashed (:func:`imagehash.phash`), so that neither the black outside,
    nor exposure, nor where the field was cut off decides.

    Args:
        image: as below.
        field: the field of view that the image was cut out by; None: it is looked for in the image.

    Shape:
        - ``image``: ``(S, S, 3)``, uint8, RGB, cropped to the field of view.
        - Returns: ``(4,)``, uint64; all 0 where the image shows no field of view.
    """
    found = _hashable(image, field)
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
    rows, columns = np.flatnonzero(first.any(1)), np.flatnonzero(other.any(1))
    one, two = np.ascontiguousarray(first[rows].T), np.ascontiguousarray(other[columns].T)
    found = [np.empty((0, 3), np.int64)]
    for begin in range(0, len(rows), _TILE[0]):
        for start in range(begin if second is None else 0, len(columns), _TILE[1]):
            i, k = _near_halves(one[:2, begin : begin + _TILE[0]], two[:2, start : start + _TILE[1]], within)
            bits = np.bitwise_count(one[:, begin + i] ^ two[:, start + k]).sum(0, dtype=np.int64)
            pairs = np.stack([rows[begin + i], columns[start + k], bits], 1)
            found.append(pairs[(bits <= within) & ((pairs[:, 0] < pairs[:, 1]) | (second is not None))])
    pairs = np.concatenate(found)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], pairs[:, 2]))
    return [(row, column, bits) for row, column, bits in pairs[order].tolist()]


def _near_halves(first: np.ndarray, second: np.ndarray, within: int) -> tuple[np.ndarray, np.ndarray]:
    """Where half of the bits differ in few already, which few pairs do; ``(2, n)`` and ``(2, m)`` words."""
    shape = first.shape[1], second.shape[1]
    words, bits, other = np.empty(shape, np.uint64), np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    np.bitwise_count(np.bitwise_xor(first[0, :, None], second[0], out=words), out=bits)
    np.bitwise_count(np.bitwise_xor(first[1, :, None], second[1], out=words), out=other)
    rows, columns = np.nonzero(np.add(bits, other, out=bits) <= within)
    return rows, columns


def same_picture(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two working images show one photograph, whatever its size, quality, brightness or exact crop.

    Shape:
        - ``first``, ``second``: ``(S, S, 3)``, uint8, RGB, of any two sizes.
    """
    return likeness(first, second) >= SAME


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the retina that lies where a copy would have it, 0 to 1.

    One photograph is laid onto the other by shift and scale; then each of 16 patches is looked for near its
    place. In a copy all of them are found there to a quarter of a percent of the field's width; between two
    photographs of one eye the eye has turned, and what sticks to the lens alone stays. A patch that shows nothing
    (less than 0.8 grey levels; the blurred photographs of DeepDRiD have 1.2 and more) counts as not found.

    Shape:
        - ``first``, ``second``: ``(S, S, 3)``, uint8, RGB, of any two sizes.
    """
    one, other = _vessels(first), _vessels(second)
    if one is None or other is None:
        return 0.0
    still = _square(one[0])
    places, moves = _moves(still, _aligned(still, other[0]))
    moves[_faint(one[1]) | _faint(other[1])] = np.inf
    near = np.hypot(*moves.T) < _FAR
    if near.sum() < _PATCHES:
        return 0.0
    shift = np.median(moves[near], axis=0)
    growth = np.median(((moves[near] - shift) * places[near]).sum(1) / (places[near] ** 2).sum(1))
    left = np.hypot(*(moves - shift - growth * places).T)
    return float((left < _STILL).mean())


def _aligned(still: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The inner square of ``other``, shifted and scaled by up to 2 % so that it resembles ``still`` most."""
    window = cv2.createHanningWindow(still.shape[::-1], cv2.CV_32F)
    best, chosen = -2.0, still
    for scale in (1.0, 0.99, 1.01, 0.98, 1.02):
        square = _square(_scaled(other, scale))
        # phaseCorrelate lays the window onto its arguments where no padding is needed
        (x, y), _ = cv2.phaseCorrelate(still.copy(), square.copy(), window)
        moved = cv2.warpAffine(square, np.array([[1, 0, -x], [0, 1, -y]]), square.shape[::-1])
        found = _correlation(still, moved)
        if found > best:
            best, chosen = found, np.asarray(moved)
    return chosen


def _moves(still: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the patches, from the square's centre, and how far each one's content lies off; ``(16, 2)``."""
    window = cv2.createHanningWindow((_PATCH, _PATCH), cv2.CV_32F)
    centre = (_PATCH - still.shape[0]) / 2
    places = [(x + centre, y + centre) for x, y in _corners(still.shape[0])]
    pairs = zip(_patches(still), _patches(moved), strict=True)
    moves = [cv2.phaseCorrelate(one, other, window)[0] for one, other in pairs]
    return np.array(places), np.array(moves)


def _faint(band: np.ndarray) -> np.ndarray:
    """Patches in which there is nothing to compare, ``(16,)`` bool."""
    return np.array([patch.std() < _FAINT for patch in _patches(_square(band))])


def _corners(side: int) -> list[tuple[int, int]]:
    starts = np.linspace(4, side - 4 - _PATCH, _PATCHES).astype(int).tolist()
    return [(x, y) for y in starts for x in starts]


def _patches(square: np.ndarray) -> list[np.ndarray]:
    return [square[y : y + _PATCH, x : x + _PATCH].copy() for x, y in _corners(square.shape[0])]


def _hashable(image: np.ndarray, field: Fov | None) -> np.ndarray | None:
    """Detail from the finest that 128 pixels show up to a twentieth of the field, ``(128, 128)``."""
    laid = _laid(image, _HASHED, field)
    if laid is None:
        return None
    green, inside = laid
    weight = cv2.GaussianBlur(inside, (0, 0), 6) + 1e-3
    high = (green - cv2.GaussianBlur(green * inside, (0, 0), 6) / weight) * inside
    spread = np.sqrt(cv2.GaussianBlur(high * high, (0, 0), 12) / weight)
    return np.asarray(high / (spread + 1))


def _vessels(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Detail of the width of vessels, clipped so that no reflex outweighs them, and in grey levels; ``(256, 256)``."""
    laid = _laid(image, _COMPARED)
    if laid is None:
        return None
    green, inside = laid
    band = (_local_mean(green, inside, 1.5) - _local_mean(green, inside, 10)) * inside
    coarse = [
        cv2.resize(of, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA) for of in (band**2, inside)
    ]
    spread = cv2.resize(np.sqrt(_local_mean(coarse[0], coarse[1], 7.5)), band.shape[::-1]) + 0.5
    return np.asarray(np.clip(band / spread, -2, 2)), band


def _local_mean(values: np.ndarray, inside: np.ndarray, sigma: float) -> np.ndarray:
    weight = cv2.GaussianBlur(inside, (0, 0), sigma) + 1e-3
    return np.asarray(cv2.GaussianBlur(values * inside, (0, 0), sigma) / weight)


def _laid(image: np.ndarray, side: int, field: Fov | None = None) -> tuple[np.ndarray, np.ndarray] | None:
    """The green channel, and where the field is, its outline on the circle inscribed in the square; float32."""
    image = _resized(image, _COMPARED)
    try:
        ellipse = field_of_view(image).ellipse if field is None else field.outline(_COMPARED)
    except RetinalabError:
        return None
    half = _COMPARED / 2
    cx, cy, rx, ry = (ellipse.cx, ellipse.cy, ellipse.rx, ellipse.ry) if ellipse else (half,) * 4
    factor = side / _COMPARED
    image = _resized(image, side)
    fx, fy = half / rx, half / ry
    matrix = np.array([[fx, 0, (half - cx * fx) * factor], [0, fy, (half - cy * fy) * factor]])
    green = image[..., 1].astype(np.float32)
    inside = (image.max(-1) > _FIELD).astype(np.float32)
    return cv2.warpAffine(green, matrix, (side, side)), cv2.warpAffine(inside, matrix, (side, side))


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    if image.shape[0] == side:
        return image
    method = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=method))


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
