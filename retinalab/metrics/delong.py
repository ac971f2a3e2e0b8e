"""DeLong's variance of areas under the ROC curve, for units that are independent of one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from retinalab.errors import RetinalabError
from retinalab.metrics.grading import Array
from retinalab.metrics.statistics import Interval

__all__ = ["AreaTest", "delong_covariance", "delong_interval", "delong_test"]


@dataclass(frozen=True)
class AreaTest:
    """Two areas under the ROC curve on the same units, and what their difference (first - second) is worth.

    Attributes:
        a, b: the areas.
        difference: with its confidence interval; ``error`` is DeLong's standard error.
        z: difference over its standard error; nan where that is 0.
        p: two-sided, from the normal distribution; 1 where the difference and its error are 0, nan where only
            the error is.
    """

    a: float
    b: float
    difference: Interval
    z: float
    p: float


def delong_covariance(
    positive: npt.ArrayLike, scores: npt.ArrayLike, groups: npt.ArrayLike | None = None
) -> tuple[Array, Array]:
    """Areas under the ROC curve of several scores of the same units, and their covariance.

    With m positive and n negative units, the structural components are, for a positive unit i, the share of
    negatives that score below it, ties counting half (V10), and the reverse for a negative one (V01); the
    covariance is cov(V10) / m + cov(V01) / n. Mid-ranks give them in O(N log N).

    Reference: DeLong, DeLong and Clarke-Pearson, Biometrics 1988; mid-ranks: Sun and Xu, IEEE Signal
    Processing Letters 2014.

    Shape:
        - ``positive``: ``(N,)`` bool.
        - ``scores``: ``(S, N)``, higher means more likely positive.
        - ``groups``: ``(N,)`` unit of independence of each row; none: every row is one.
        - Returns: ``(S,)`` areas and ``(S, S)`` covariance; nan with fewer than two units on a side.

    Raises:
        RetinalabError: a unit has several photographs, so that they are not independent; a score is not a
            finite number.

    Example:
        >>> areas, covariance = delong_covariance([False, False, True, True], [[0.1, 0.4, 0.3, 0.9]])
        >>> areas.tolist(), covariance.tolist()
        ([0.75], [[0.125]])
    """
    positive, scores = np.asarray(positive, dtype=bool), np.atleast_2d(np.asarray(scores, dtype=np.float64))
    _check(positive, scores, groups)
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) == 0:
        return np.full(len(scores), np.nan), np.full((len(scores),) * 2, np.nan)
    ranks = rankdata(scores, axis=1)
    ill = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    well = 1.0 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / m
    areas = ill.mean(axis=1)
    if min(m, n) < 2:
        return areas, np.full((len(scores),) * 2, np.nan)
    covariance = np.atleast_2d(np.cov(ill)) / m + np.atleast_2d(np.cov(well)) / n
    return areas, covariance


def delong_interval(
    positive: npt.ArrayLike,
    score: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    level: float = 0.95,
    scale: Literal["logit", "area"] = "logit",
) -> Interval:
    """One area with the interval of DeLong's error.

    On the scale of the logit, log(A / (1 - A)) ± z · error / (A (1 - A)), the interval stays within 0
    and 1 and holds the truth more nearly as often as stated for a high area of few units, where A ± z · error
    reaches too high.

    Reference: Pepe, The Statistical Evaluation of Medical Tests, 2003, section 5.2 (logit); DeLong et al. 1988.

    Args:
        positive, score, groups: as for :func:`delong_covariance`, one score.
        level: confidence.
        scale: ``area`` gives A ± z · error, cut at 0 and 1.

    Raises:
        RetinalabError: as :func:`delong_covariance`.
    """
    areas, covariance = delong_covariance(positive, score, groups)
    found = _interval(float(areas[0]), float(covariance[0, 0]), level, (0.0, 1.0))
    if scale == "area" or not found.error > 0 or not 0 < found.value < 1:
        return found
    reach = float(norm.ppf((1 + level) / 2)) * found.error / (found.value * (1 - found.value))
    low, high = expit(logit(found.value) + np.array([-reach, reach]))
    return Interval(found.value, float(low), float(high), error=found.error)


def delong_test(
    positive: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> AreaTest:
    """Two scores of the same units: their areas, the difference with its interval, and whether it is 0.

    Args:
        positive, groups: as for :func:`delong_covariance`.
        a, b: ``(N,)`` scores.
        level: confidence of the interval.

    Raises:
        RetinalabError: as :func:`delong_covariance`.
    """
    areas, covariance = delong_covariance(positive, np.stack([np.asarray(a), np.asarray(b)]), groups)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference = _interval(float(areas[0] - areas[1]), variance, level, (-1.0, 1.0))
    z, p = np.nan, np.nan
    if difference.error > 0:
        z = difference.value / difference.error
        p = float(2 * norm.sf(abs(z)))
    elif difference.error == 0 and difference.value == 0:
        p = 1.0
    return AreaTest(float(areas[0]), float(areas[1]), difference, z, p)


def _interval(value: float, variance: float, level: float, limits: tuple[float, float]) -> Interval:
    if np.isnan(value):
        return Interval(np.nan, np.nan, np.nan, "undefined: needs units on both sides")
    if np.isnan(variance):
        return Interval(value, np.nan, np.nan, "no interval: fewer than two units on a side")
    error = float(np.sqrt(variance)) if variance > 1e-15 else 0.0
    if error == 0:
        return Interval(value, value, value, "no variance between units: the interval is a point", error)
    reach = float(norm.ppf((1 + level) / 2)) * error
    low, high = np.clip([value - reach, value + reach], *limits)
    return Interval(value, float(low), float(high), error=error)


def _check(positive: npt.NDArray[np.bool_], scores: Array, groups: npt.ArrayLike | None) -> None:
    if not np.isfinite(scores).all():
        raise RetinalabError(
            f"{int((~np.isfinite(scores)).any(axis=0).sum())} of {positive.size} photographs have a score that "
            "is no finite number. Leave them out or correct them."
        )
    if groups is None:
        return
    names, counts = np.unique(np.asarray(groups, dtype=str), return_counts=True)
    if counts.size and counts.max() > 1:
        raise RetinalabError(
            f"DeLong's variance holds for independent units only: {str(names[counts.argmax()])!r} has {counts.max()} "
            "photographs. Use the bootstrap over patients (retinalab.metrics.statistics.bootstrap)."
        )
