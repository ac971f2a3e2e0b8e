"""Operating points of a network beside those of readers: its sensitivity at their specificity, and the reverse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.figures import Figures, mean_figures
from retinalab.metrics.grading import Array, ratio, score_from
from retinalab.metrics.statistics import Clusters, Interval, bootstrap
from retinalab.metrics.tables import probabilities_of

__all__ = ["OperatingCurve", "at_readers_points", "disease_score"]

_ROUNDING = 1e-9


class OperatingCurve:
    """The ROC curve, sorted once and then read at given points for any number of weightings.

    Between two thresholds the curve is the straight line that a coin between them reaches; on a vertical or
    horizontal piece the better end counts.

    Args:
        positive: ``(n,)`` bool.
        score: ``(n,)``, higher means more likely positive.

    Reference: Fawcett, Pattern Recognition Letters 2006, section 10 (interpolating classifiers).

    Example:
        >>> curve = OperatingCurve([False, False, True, True], [0.1, 0.6, 0.4, 0.9])
        >>> curve(np.ones((1, 4)), [(1.0, 0.75), (0.5, 0.5)]).tolist()
        [[0.5, 0.5, 1.0, 1.0]]
    """

    def __init__(self, positive: npt.ArrayLike, score: npt.ArrayLike) -> None:
        positive, score = np.asarray(positive, dtype=bool), np.asarray(score)
        self._order = np.argsort(-score, kind="stable")
        self._positive = positive[self._order]
        ordered = score[self._order]
        self._last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))

    def __call__(self, weights: npt.ArrayLike, points: Sequence[tuple[float, float]]) -> Array:
        """The curve's sensitivity at each point's specificity, and its specificity at each point's sensitivity.

        Shape:
            - ``weights``: ``(b, n)`` multiplicities.
            - ``points``: (sensitivity, specificity) of each of P points.
            - Returns: ``(b, 2 P)``, the two figures of the first point first; nan without either side.
        """
        out = np.full((len(np.asarray(weights)), 2 * len(points)), np.nan)
        for row, (false, true) in enumerate(zip(*self._rates(weights), strict=True)):
            missed, correct = 1.0 - true[::-1], 1.0 - false[::-1]
            for k, (sensitivity, specificity) in enumerate(points):
                out[row, 2 * k] = _highest(false, true, 1.0 - specificity)
                out[row, 2 * k + 1] = _highest(missed, correct, 1.0 - sensitivity)
        return out

    def _rates(self, weights: npt.ArrayLike) -> tuple[Array, Array]:
        """False and true positive rate from (0, 0) to (1, 1), ``(b, thresholds + 1)``; nan without either side."""
        ordered = np.asarray(weights, dtype=np.float64)[:, self._order]
        rates = []
        for side in (~self._positive, self._positive):
            passed = np.cumsum(ordered * side, axis=1)
            share = ratio(passed[:, self._last], passed[:, -1:])
            start = np.where(np.isnan(share[:, :1]), np.nan, 0.0)
            rates.append(np.concatenate([start, share], axis=1))
        return rates[0], rates[1]


def _highest(x: Array, y: Array, at: float) -> float:
    """The upper end of a rising curve at ``at``, from points that both only rise."""
    if np.isnan(x[0]) or np.isnan(y[0]):
        return float("nan")
    last = int(np.searchsorted(x, at + _ROUNDING, side="right")) - 1
    if last + 1 == x.size or at <= x[last] + _ROUNDING:
        return float(y[last])
    share = (at - x[last]) / (x[last + 1] - x[last])
    return float(y[last] + share * (y[last + 1] - y[last]))


def at_readers_points(
    rows: pd.DataFrame,
    disease: str,
    lowest: int,
    points: Sequence[tuple[float, float]],
    resamples: int = 2000,
    seed: int = 0,
) -> list[tuple[Interval, Interval]]:
    """The network's sensitivity at each reader's specificity and its specificity at each reader's sensitivity.

    Intervals are those of every other figure: patients drawn within strata of their worst grade, the mean
    over seeds under the same draws.

    Args:
        rows: predictions of one test set whose reference is known.
        disease: what is graded.
        lowest: the lowest grade that counts as positive.
        points: (sensitivity, specificity) of each reader.
        resamples, seed: of the bootstrap.

    Reference: CLPI, Fig. 5.
    """
    clusters = Clusters.of(rows["group"], rows[disease])
    each = [_figures(part, clusters, disease, lowest, points) for _, part in rows.groupby("seed")]
    found = bootstrap(mean_figures(each).panel, clusters, resamples, seed)
    return list(zip(found[::2], found[1::2], strict=True))


def disease_score(rows: pd.DataFrame, disease: str, lowest: int) -> npt.NDArray[np.float64]:
    """What ranks photographs: a regression's score, or the probability of ``lowest`` and every grade above."""
    if f"{disease}_score" in rows:
        return rows[f"{disease}_score"].to_numpy(dtype=np.float64)
    columns = probabilities_of(rows, f"{disease}_p")
    return score_from(rows[columns].to_numpy(dtype=np.float64), lowest).astype(np.float64)


def _figures(
    rows: pd.DataFrame,
    clusters: Clusters,
    disease: str,
    lowest: int,
    points: Sequence[tuple[float, float]],
) -> Figures:
    curve = OperatingCurve(rows[disease].to_numpy() >= lowest, disease_score(rows, disease, lowest))
    index = clusters.index(rows["group"])

    def panel(counts: Array) -> Array:
        return curve(counts[:, index], points)

    names = [name for k in range(len(points)) for name in (f"sensitivity_{k}", f"specificity_{k}")]
    return Figures(tuple(names), panel)
