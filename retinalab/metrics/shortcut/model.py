"""The small model behind the probe: a logistic regression at each grade's threshold, out of fold or on a test part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from retinalab.errors import RetinalabError
from retinalab.metrics.grading import Array
from retinalab.protocol import Scale

__all__ = ["FEWEST", "Rounds", "at_least", "predict", "prediction_columns", "rounds"]

FEWEST = 5
"""Photographs on each side of a threshold below which nothing is fitted."""

Rounds = Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
"""Positions to fit on and to predict, once per fold."""


def rounds(
    grades: npt.NDArray[np.int64],
    scale: Scale,
    groups: npt.NDArray[np.str_],
    train: npt.NDArray[np.bool_] | None,
    folds: int,
    seed: int,
) -> Rounds:
    """Folds by group, stratified by referable disease, or the one round that ``train`` gives.

    Raises:
        RetinalabError: a group stands on both sides of ``train``.
    """
    if train is None:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        return list(splitter.split(grades, grades >= scale.referable, groups))
    both = set(groups[train]) & set(groups[~train])
    if both:
        raise RetinalabError(
            f"{str(min(both))!r} is on both sides of the split ({len(both)} such). Split by patient."
        )
    return [(np.flatnonzero(train), np.flatnonzero(~train))]


def predict(
    features: npt.NDArray[np.float64], grades: npt.NDArray[np.int64], scale: Scale, parts: Rounds
) -> Array:
    """Probability that a photograph's grade is at least 1, 2, ..., a model for each.

    A threshold that the photographs to fit on do not tell apart gets their share above it.

    Reference: Frank and Hall, ECML 2001 (an ordinal label as a series of binary ones).

    Args:
        features: ``(n, F)``, nan unknown.
        grades: ``(n,)``, known where they are fitted on.
        scale: K grades.
        parts: from :func:`rounds`.

    Shape:
        - Returns: ``(n, K - 1)``, float64; nan where no round predicts.
    """
    found = np.full((len(features), scale.size - 1), np.nan)
    for fit, test in parts:
        for cut in range(1, scale.size):
            above = grades[fit] >= cut
            if above.all() or not above.any():
                found[test, cut - 1] = above.mean()
            else:
                fitted = _model().fit(features[fit], above)
                found[test, cut - 1] = fitted.predict_proba(features[test])[:, 1]
    return found


def at_least(found: Array, scale: Scale) -> Array:
    """The same probabilities made to fall from each grade to the next, leaving that of referable disease as it is.

    Shape:
        - ``found``: ``(n, K - 1)``; returns likewise.

    Example:
        >>> from retinalab.protocol import SCALES
        >>> at_least(np.array([[0.5, 0.6, 0.7, 0.1]]), SCALES["icdr5"]).tolist()
        [[0.6, 0.6, 0.6, 0.1]]
    """
    out = found.copy()
    anchor = scale.referable - 1
    out[:, anchor:] = np.minimum.accumulate(found[:, anchor:], axis=1)
    out[:, : anchor + 1] = np.maximum.accumulate(found[:, anchor::-1], axis=1)[:, ::-1]
    return out


def prediction_columns(found: Array, disease: str, scale: Scale) -> pd.DataFrame:
    """Columns ``<d>_p0 ...`` and ``<d>_grade`` of a predictions table; the grade is the median of the probabilities.

    Args:
        found: ``(n, K - 1)``, from :func:`predict`.
        disease: its name.
        scale: K grades.
    """
    falling = at_least(found, scale)
    edges = np.column_stack([np.ones(len(falling)), falling, np.zeros(len(falling))])
    columns = {f"{disease}_p{k}": edges[:, k] - edges[:, k + 1] for k in range(scale.size)}
    return pd.DataFrame(columns | {f"{disease}_grade": (falling >= 0.5).sum(axis=1).astype(np.int64)})


def _model() -> Pipeline:
    # C = 0.1: the bins of a histogram are strongly correlated; 0.03 to 1 move the AUC by 0.012 at most on real sets
    return make_pipeline(
        SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)
    )
