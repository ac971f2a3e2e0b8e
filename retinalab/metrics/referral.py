"""Sensitivity and specificity for referable disease at an operating point that validation chose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.figures import Figures
from retinalab.metrics.grading import Array, ratio
from retinalab.metrics.operating import disease_score
from retinalab.metrics.statistics import Clusters

__all__ = ["Thresholds", "referral_figures", "referred", "validation_thresholds", "youden_threshold"]

Thresholds = Mapping[tuple[int, int], float]
"""(seed, fold) -> the lowest score that is referred."""


def youden_threshold(positive: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """The threshold with the greatest sensitivity + specificity - 1; nan without either side.

    It lies midway between the two scores that it parts, so that a new photograph on either side of the gap
    is told apart alike; of several as good, the lowest.

    Reference: Youden, Cancer 1950.

    Shape:
        - ``positive``: ``(n,)`` bool; ``score``: ``(n,)``, higher means more likely positive.

    Example:
        >>> youden_threshold([False, False, True, True], [0.1, 0.3, 0.5, 0.9])
        0.4
    """
    positive, score = np.asarray(positive, dtype=bool), np.asarray(score, dtype=np.float64)
    if not positive.any() or positive.all():
        return float("nan")
    levels, place = np.unique(score, return_inverse=True)
    ill = np.bincount(place, weights=positive, minlength=levels.size)
    well = np.bincount(place, weights=~positive, minlength=levels.size)
    index = 1 - np.cumsum(ill) / ill.sum() - (1 - np.cumsum(well) / well.sum())
    best = int(np.round(np.append(0.0, index[:-1]), 12).argmax())
    return float(levels[0] if best == 0 else (levels[best - 1] + levels[best]) / 2)


def validation_thresholds(
    validation: pd.DataFrame, disease: str, lowest: int
) -> dict[tuple[int, int], float]:
    """Youden's threshold of every network, from the photographs that its own training held out.

    Args:
        validation: complete predictions of the validation part; those without a reference are left out.
        disease: what is graded.
        lowest: the lowest grade that is to be referred.

    Returns:
        One threshold for each seed and fold; those whose validation lacks either side are absent.
    """
    known = validation[validation[disease] >= 0]
    found = {}
    for seed, fold in known[["seed", "fold"]].drop_duplicates().to_numpy(dtype=np.int64).tolist():
        rows = known[(known["seed"] == seed) & (known["fold"] == fold)]
        ill = rows[disease].to_numpy() >= lowest
        found[seed, fold] = youden_threshold(ill, disease_score(rows, disease, lowest))
    return {key: threshold for key, threshold in found.items() if not np.isnan(threshold)}


def referred(rows: pd.DataFrame, disease: str, lowest: int, thresholds: Thresholds) -> npt.NDArray[np.bool_]:
    """``(n,)`` whether each photograph is referred by its own network's threshold."""
    keys = zip(rows["seed"], rows["fold"], strict=True)
    each = np.array([thresholds[int(seed), int(fold)] for seed, fold in keys], dtype=np.float64)
    decision: npt.NDArray[np.bool_] = disease_score(rows, disease, lowest) >= each
    return decision


def referral_figures(
    rows: pd.DataFrame, clusters: Clusters, disease: str, lowest: int, thresholds: Thresholds
) -> Figures:
    """``sensitivity_referable`` and ``specificity_referable`` at fixed thresholds; references must be known."""
    ill = rows[disease].to_numpy() >= lowest
    right = referred(rows, disease, lowest, thresholds) == ill
    index = clusters.index(rows["group"])
    columns = np.stack([ill & right, ill, ~ill & right, ~ill], axis=1).astype(np.float64)
    sums = np.zeros((clusters.size, 4))
    np.add.at(sums, index, columns)

    def panel(counts: Array) -> Array:
        totals = counts @ sums
        return ratio(totals[:, ::2], totals[:, 1::2])

    return Figures(("sensitivity_referable", "specificity_referable"), panel)
