"""What a yes-or-no reading means in a clinic: sensitivity, specificity, predictive values, referrals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.figures import Figures
from retinalab.metrics.grading import Array, Ranking, ratio
from retinalab.metrics.statistics import Clusters

__all__ = ["FIGURES", "combined", "predictive_values", "ranking_figures", "screening_figures"]

FIGURES = (
    "sensitivity", "specificity", "ppv", "npv", "referrals", "ppv_stated", "npv_stated", "referrals_stated",
)  # fmt: skip
"""``ppv``, ``npv`` and ``referrals`` (per 1,000) at the set's own prevalence, ``_stated`` at the stated one."""


def predictive_values(
    sensitivity: npt.ArrayLike, specificity: npt.ArrayLike, prevalence: float
) -> tuple[Array, Array, Array]:
    """Positive and negative predictive value and referrals per 1,000 at a prevalence, by Bayes' rule.

    PPV = Se p / (Se p + (1 - Sp)(1 - p)), NPV = Sp (1 - p) / (Sp (1 - p) + (1 - Se) p); undefined where nobody is
    called positive, or nobody negative.

    Reference: Altman and Bland, BMJ 309, 1994 (diagnostic tests 2: predictive values).

    Example:
        >>> [round(float(value), 3) for value in predictive_values(0.9, 0.8, 0.1)]
        [0.333, 0.986, 270.0]
    """
    sensitivity, specificity = np.asarray(sensitivity, np.float64), np.asarray(specificity, np.float64)
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    missed, correct = (1 - sensitivity) * prevalence, specificity * (1 - prevalence)
    return ratio(true, true + false), ratio(correct, correct + missed), 1000 * (true + false)


def screening_figures(
    rows: pd.DataFrame,
    clusters: Clusters,
    positive: npt.ArrayLike,
    called: npt.ArrayLike,
    prevalence: float,
    known: npt.ArrayLike | None = None,
) -> Figures:
    """The figures of :data:`FIGURES`.

    Args:
        rows: photographs or patients of one seed; their ``group`` places them among the clusters.
        clusters: what is drawn.
        positive: ``(n,)`` bool, the reference.
        called: ``(n,)`` bool, what the reading refers.
        prevalence: the stated one.
        known: ``(n,)`` bool, whether the reference is known; where it is not, a row counts for referrals only.
    """
    positive, called = np.asarray(positive, dtype=bool), np.asarray(called, dtype=bool)
    told = np.ones(len(rows), dtype=bool) if known is None else np.asarray(known, dtype=bool)
    index = clusters.index(rows["group"])
    cells = np.bincount(index[told] * 4 + (2 * positive + called)[told], minlength=clusters.size * 4)
    columns = [
        cells.reshape(-1, 4),
        *(
            np.bincount(index, weights=w, minlength=clusters.size)[:, None]
            for w in (called, np.ones(len(rows)))
        ),
    ]
    sums = np.concatenate(columns, axis=1).astype(np.float64)

    def panel(counts: Array) -> Array:
        correct, false, missed, true, referred, all_rows = (counts @ sums).T
        sensitivity, specificity = ratio(true, true + missed), ratio(correct, correct + false)
        own = (ratio(true, true + false), ratio(correct, correct + missed), 1000 * ratio(referred, all_rows))
        stated = predictive_values(sensitivity, specificity, prevalence)
        return np.stack([sensitivity, specificity, *own, *stated], axis=1)

    return Figures(FIGURES, panel)


def ranking_figures(rows: pd.DataFrame, clusters: Clusters, positive: str, score: str) -> Figures:
    """Area under the ROC curve of one target."""
    ranking = Ranking(rows[positive].to_numpy(), rows[score].to_numpy())
    index = clusters.index(rows["group"])
    return Figures(("auc",), lambda counts: ranking(counts[:, index])[:, None])


def combined(each: Mapping[str, Figures]) -> Figures:
    """Several panels under the same draws, names as ``<key>/<name>``."""
    names = tuple(f"{key}/{name}" for key, one in each.items() for name in one.names)

    def panel(counts: Array) -> Array:
        return np.concatenate([one.panel(counts) for one in each.values()], axis=1)

    return Figures(names, panel)
