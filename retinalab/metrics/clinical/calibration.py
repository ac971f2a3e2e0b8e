"""Whether a predicted probability is the share that is observed: Brier score, adaptive ECE, reliability."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from retinalab.metrics.clinical.recalibration import Recalibration
from retinalab.metrics.figures import Figures
from retinalab.metrics.grading import Array, ratio
from retinalab.metrics.statistics import Clusters

__all__ = ["CALIBRATION", "calibration_figures", "equal_mass_bins", "reliability_names"]

CALIBRATION = ("intercept", "slope", "brier", "ece")
_BINS, _FEWEST = 10, 10


def equal_mass_bins(probability: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Bin of each photograph: ten of equal size by rank, fewer so that each has ten photographs.

    Equal probabilities share a bin, so that the order of the rows does not matter.

    Example:
        >>> equal_mass_bins([0.1] * 6 + [0.4] * 6 + [0.9] * 9).tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    probability = np.asarray(probability, dtype=np.float64)
    bins = _count(probability.size)
    place = (rankdata(probability, method="average") - 0.5) / max(probability.size, 1)
    found: npt.NDArray[np.int64] = np.floor(place * bins).clip(0, bins - 1).astype(np.int64)
    return found


def reliability_names(bins: int) -> tuple[str, ...]:
    """Names of the figures of each bin: photographs, mean probability, observed share."""
    return tuple(f"{what}_{k}" for k in range(bins) for what in ("size", "predicted", "observed"))


def calibration_figures(
    rows: pd.DataFrame, clusters: Clusters, positive: npt.ArrayLike, probability: npt.ArrayLike
) -> Figures:
    """The figures of :data:`CALIBRATION`, then those of :func:`reliability_names`.

    Brier = mean (p - y)^2. ECE = sum_k n_k / n |mean_k y - mean_k p| over bins of equal mass; the bins are those of
    all photographs, in every resample. It is never below 0, and chance alone lifts it, the more so the fewer
    photographs a bin has; undefined below two bins.

    Reference: Brier 1950; Nixon et al., CVPR workshops 2019 (adaptive calibration error, of the positive class).

    Args:
        rows: of one seed; their ``group`` places them among the clusters.
        clusters: what is drawn.
        positive: ``(n,)`` bool.
        probability: ``(n,)`` in [0, 1].
    """
    y, p = np.asarray(positive, dtype=np.float64), np.asarray(probability, dtype=np.float64).clip(0, 1)
    index, place = clusters.index(rows["group"]), equal_mass_bins(p)
    bins = _count(len(y))
    recalibration = Recalibration(y, p)
    squares = np.bincount(index, weights=(p - y) ** 2, minlength=clusters.size)
    sums = np.zeros((3, clusters.size, bins))
    for k, values in enumerate((np.ones_like(y), y, p)):
        np.add.at(sums[k], (index, place), values)

    def panel(counts: Array) -> Array:
        n, observed, predicted = (counts @ one for one in sums)
        total = n.sum(axis=1)
        gap = ratio(np.abs(observed - predicted).sum(axis=1), total)
        shares = np.stack([n, ratio(predicted, n), ratio(observed, n)], axis=2).reshape(len(counts), -1)
        return np.concatenate(
            [
                recalibration(counts[:, index]),
                ratio(counts @ squares, total)[:, None],
                (gap if bins > 1 else np.full_like(gap, np.nan))[:, None],
                shares,
            ],
            axis=1,
        )

    return Figures((*CALIBRATION, *reliability_names(bins)), panel)


def _count(photographs: int) -> int:
    return max(1, min(_BINS, photographs // _FEWEST))
