"""Which lesions a saliency map finds when a fixed share of the field of view is called salient."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import hypergeom

__all__ = ["AREAS", "chance_of_finding", "found_at", "lesion_labels"]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

AREAS = (0.01, 0.05, 0.1)
"""Shares of the field's pixels that are called salient where lesions are counted."""


def found_at(
    saliency: npt.NDArray[np.floating],
    labels: Sequence[npt.NDArray[np.int64]],
    sizes: npt.NDArray[np.int64],
    field: Bools,
    areas: Sequence[float],
) -> Floats:
    """Probability that each lesion is found when the most salient pixels of the field are called salient.

    With N pixels in the field and a share a, the k = max(1, round(a N)) pixels of highest value are called salient;
    those of value 0 never are, even if fewer than k then remain. A lesion is found where at least half of its pixels
    are. Of pixels that tie for the last places each set is as likely as any other::

        P(found) = P(H >= ceil(size / 2) - above),   H hypergeometric: its tied pixels among those drawn

    Without the demand for half, a large lesion would be found by any few scattered pixels.

    Args:
        saliency: the map.
        labels, sizes: from :func:`lesion_labels`.
        field: where pixels are ranked.
        areas: shares of the field.

    Shape:
        - ``saliency``, ``field``: ``(h, w)``. ``sizes``: ``(n,)``.
        - Returns: ``(len(areas), n)``, in [0, 1].
    """
    values = saliency[field]
    half = -(-sizes // 2)
    counts = [_called(area, values.size) for area in areas]
    ranked = np.partition(values, [values.size - k for k in counts]) if values.size else values
    rows = []
    for k in counts:
        least = ranked[values.size - k] if values.size else 0.0
        above, tied = values > max(least, 0.0), (values == least) & (values > 0)
        places = k - int(above.sum()) if tied.any() else 0
        over, level = (_per_lesion(labels, field, chosen, len(sizes)) for chosen in (above, tied))
        rows.append(_at_least(half - over, level, int(tied.sum()), places))
    return np.stack(rows) if rows else np.zeros((0, len(sizes)))


def chance_of_finding(sizes: npt.NDArray[np.int64], field: int, areas: Sequence[float]) -> Floats:
    """What :func:`found_at` gives of a map that has one positive value throughout a field of so many pixels.

    Shape:
        - ``sizes``: ``(n,)``. Returns: ``(len(areas), n)``.

    Example:
        >>> chance_of_finding(np.array([1, 2]), 100, (0.1,)).round(4).tolist()
        [[0.1, 0.1909]]
    """
    rows = [_at_least(-(-sizes // 2), sizes, field, _called(area, field)) for area in areas]
    return np.stack(rows) if rows else np.zeros((0, len(sizes)))


def lesion_labels(
    masks: npt.NDArray[np.uint8], field: Bools
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """Lesions in the field: the 8-connected components of each class on its own.

    Shape:
        - ``masks``: ``(L, h, w)`` uint8, 1 present. ``field``: ``(h, w)``.
        - Returns: for each class that has any, ``(h, w)`` int64, 0 where there is none and else from 1 on, no number
          standing in two classes; and ``(n,)`` pixels of lesion 1, 2, ...
    """
    labels: list[npt.NDArray[np.int64]] = []
    sizes = [np.zeros(0, np.int64)]
    before = 0
    for mask in (masks == 1) & field:
        if not mask.any():
            continue
        number, found = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        labels.append(np.where(found > 0, found.astype(np.int64) + before, 0))
        sizes.append(np.bincount(found.ravel(), minlength=number)[1:].astype(np.int64))
        before += number - 1
    return labels, np.concatenate(sizes)


def _at_least(needed: npt.NDArray[np.int64], among: npt.NDArray[np.int64], tied: int, places: int) -> Floats:
    """P(at least ``needed`` of ``among`` marked ones are drawn) when ``places`` of ``tied`` are drawn."""
    if not len(needed):
        return np.zeros(0)
    if not tied:
        return (needed <= 0).astype(np.float64)
    chance: Floats = hypergeom.sf(needed - 1, tied, among, places)
    return np.where(needed <= 0, 1.0, chance.clip(0.0, 1.0))


def _per_lesion(
    labels: Sequence[npt.NDArray[np.int64]], field: Bools, chosen: Bools, number: int
) -> npt.NDArray[np.int64]:
    """How many of the chosen pixels of the field each lesion has."""
    counts = np.zeros(number + 1, np.int64)
    for each in labels:
        counts += np.bincount(each[field][chosen], minlength=number + 1)
    return counts[1:]


def _called(area: float, pixels: int) -> int:
    return min(pixels, max(1, int(area * pixels + 0.5)))
