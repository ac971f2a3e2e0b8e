"""Figures of photographs that were made: where they differ, how near test photographs are, whether a model tells."""

from __future__ import annotations

from typing import TypedDict

import cv2
import numpy as np
import numpy.typing as npt

from retinalab.counted import counted
from retinalab.data.likeness import NEAR
from retinalab.metrics.grading import Array, Ranking, ratio
from retinalab.metrics.measure import Metric
from retinalab.metrics.shortcut.features import SIDE, colour_features, field_of_view, sharpness_features
from retinalab.metrics.shortcut.model import FEWEST, predict, rounds
from retinalab.metrics.statistics import Clusters, Interval, bootstrap
from retinalab.protocol import SCALES

__all__ = [
    "QUANTILES",
    "Nearness",
    "Spread",
    "area_share",
    "nearest_bits",
    "nearness",
    "picture_features",
    "spread",
    "told_apart",
    "undefined",
]

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

_FOLDS = 5
_TILE = 1024
_FARTHEST = 4 * 64 + 1


class Spread(TypedDict):
    """How values are spread; ``quantiles`` is None where there is none, and then ``note`` says why.

    A quantile is a value that occurs, the least that at least that share of the ``n`` values does not exceed.
    """

    n: int
    quantiles: dict[str, float] | None
    note: str


class Nearness(Spread):
    """Bits in which each photograph's hash differs from the nearest of the others; ``near``: how many within 40."""

    near: int


def spread(values: npt.ArrayLike, empty: str) -> Spread:
    """Quantiles of some values.

    Args:
        values: ``(n,)``.
        empty: what ``note`` says where there are none.

    Example:
        >>> spread([4, 1, 3, 2], "")["quantiles"]["0.5"]
        2.0
    """
    given = np.asarray(values, dtype=np.float64)
    if not given.size:
        return Spread(n=0, quantiles=None, note=empty)
    found = np.quantile(given, QUANTILES, method="inverted_cdf")
    named = {f"{q:g}": float(value) for q, value in zip(QUANTILES, found, strict=True)}
    return Spread(n=given.size, quantiles=named, note="")


def nearest_bits(hashes: npt.NDArray[np.uint64], others: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """In how many bits each perceptual hash differs from the nearest of the others.

    Shape:
        - ``hashes``: ``(n, 4)``. ``others``: ``(m, 4)``. One that is all 0 resembles nothing.
        - Returns: ``(n,)``, 0-256; -1 where there is nothing to compare.

    Example:
        >>> nearest_bits(np.array([[1, 2, 3, 4]], np.uint64), np.array([[1, 2, 3, 7], [1, 2, 3, 5]], np.uint64))
        array([1])
    """
    least = np.full(len(hashes), _FARTHEST, np.int64)
    compared = others[others.any(axis=1)]
    for first in range(0, len(hashes), _TILE):
        mine = hashes[first : first + _TILE]
        for start in range(0, len(compared), _TILE):
            differing = np.zeros((len(mine), min(_TILE, len(compared) - start)), np.uint16)
            for word, other in zip(mine.T, compared[start : start + _TILE].T, strict=True):
                differing += np.bitwise_count(word[:, None] ^ other[None])
            least[first : first + _TILE] = np.minimum(least[first : first + _TILE], differing.min(axis=1))
    least[~hashes.any(axis=1) | (least == _FARTHEST)] = -1
    return least


def nearness(bits: npt.NDArray[np.int64]) -> Nearness:
    """How :func:`nearest_bits` are spread; photographs without a distance are counted in the note."""
    known = bits[bits >= 0]
    found = spread(known, "undefined: no two photographs that show a field of view to compare")
    if known.size and known.size < bits.size:
        found["note"] = f"{bits.size - known.size} of {bits.size} show no field of view"
    return Nearness(**found, near=int((known <= NEAR).sum()))


def area_share(
    part: npt.ArrayLike, whole: npt.ArrayLike, groups: npt.ArrayLike, empty: str, resamples: int = 2000
) -> Metric:
    """Share of an area that lies on something, all photographs together, with its interval by patient.

    Args:
        part: ``(n,)`` pixels on it, of each photograph.
        whole: ``(n,)`` pixels of the area.
        groups: ``(n,)`` unit of independence.
        empty: what the note says where the area is empty.
        resamples: of the bootstrap (BCa).
    """
    inner, outer = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    if not outer.sum():
        return undefined(empty, len(outer), len(np.unique(np.asarray(groups, dtype=str))))
    clusters = Clusters.of(groups)
    index = clusters.index(groups)
    sums = [np.bincount(index, weights=values, minlength=clusters.size) for values in (inner, outer)]

    def panel(counts: Array) -> Array:
        return ratio(counts @ sums[0], counts @ sums[1])[:, None]

    return _metric(bootstrap(panel, clusters, resamples)[0], len(outer), clusters.size)


def picture_features(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Sharpness and colours of working images, the features of the shortcut probe that need neither file nor frame.

    Shape:
        - ``images``: ``(n, S, S, 3)``, uint8, RGB.
        - Returns: ``(n, 54)``, float64: three of sharpness, 51 of colour, at 256 pixels a side; nan where no field
          is to be seen.
    """
    if images.shape[1] > SIDE:
        images = np.stack([cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in images])
    fields = field_of_view(images)
    sharpness = [sharpness_features(*one) for one in zip(images, fields, strict=True)]
    return np.concatenate([np.array(sharpness), colour_features(images, fields)], axis=1)


def told_apart(
    features: npt.NDArray[np.float64],
    made: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.str_],
    seed: int = 0,
    resamples: int = 2000,
) -> Metric:
    """How well a logistic regression tells made photographs from originals: AUC, 0.5 where it cannot.

    Five-fold cross-validation without a patient on two sides; the areas of all folds are taken together, their interval
    is by patient.

    Args:
        features: ``(n, F)``, nan unknown.
        made: ``(n,)``, those that were made.
        groups: ``(n,)`` unit of independence; a made photograph belongs to the patient whom it was made from.
        seed: of the folds and the resamples.
        resamples: of the bootstrap (BCa).
    """
    patients = len(np.unique(groups))
    for side, name in ((made, "made"), (~made, "original")):
        few, mine = int(side.sum()), len(np.unique(groups[side]))
        if few < FEWEST or mine < _FOLDS:
            there = f"{counted(few, f'{name} photograph')} of {counted(mine, 'patient')}"
            why = f"undefined: only {there}; at least {FEWEST} of at least {_FOLDS} patients are needed"
            return undefined(why, len(made), patients)
    scale, grades = SCALES["binary"], made.astype(np.int64)
    scores = predict(features, grades, scale, rounds(grades, scale, groups, None, _FOLDS, seed))[:, 0]
    ranking, clusters = Ranking(made, scores), Clusters.of(groups)
    index = clusters.index(groups)
    found = bootstrap(lambda counts: ranking(counts[:, index])[:, None], clusters, resamples, seed)
    return _metric(found[0], len(made), patients)


def undefined(why: str, n: int = 0, n_groups: int = 0) -> Metric:
    """A figure that there is not, and why."""
    return Metric(value=None, low=None, high=None, n=n, n_groups=n_groups, note=why)


def _metric(found: Interval, n: int, n_groups: int) -> Metric:
    value, low, high = (float(v) if np.isfinite(v) else None for v in (found.value, found.low, found.high))
    return Metric(value=value, low=low, high=high, n=n, n_groups=n_groups, note=found.note)
