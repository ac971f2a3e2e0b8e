"""Thresholds that validation chooses, one for each network, and what they come to elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.clinical.targets import Target
from retinalab.metrics.grading import Array

__all__ = ["Chosen", "Model", "Rate", "called", "choose", "models_of", "threshold_at"]

Rate = Literal["specificity", "sensitivity"]
"""Which of the two validation has to reach; the other one is then as high as it can be."""

_ROUNDING = 1e-9

Model = tuple[int, int]
"""Fold and seed: each has a network of its own."""


@dataclass(frozen=True)
class Chosen:
    """A threshold for each network, and what it comes to on the photographs that chose it.

    Attributes:
        thresholds: network -> the lowest score that is called positive.
        photographs, positive: validation photographs (or patients), and how many are positive, over all networks.
        sensitivity, specificity: on validation, mean over the networks.
    """

    thresholds: Mapping[Model, float]
    photographs: int
    positive: int
    sensitivity: float
    specificity: float


def threshold_at(positive: npt.ArrayLike, score: npt.ArrayLike, rate: Rate, wanted: float) -> float:
    """The threshold at which one rate is at least ``wanted`` and the other as high as it can be.

    A photograph is called positive from the threshold on. Thresholds are scores that occur, or just above the highest
    one, which calls nobody; no score between two is preferred over another.

    Args:
        positive: ``(n,)`` bool, with both values.
        score: ``(n,)``, higher means more likely positive.
        rate: which rate is held.
        wanted: the least that it may be.

    Example:
        >>> threshold_at([False, False, True, True], [0.1, 0.6, 0.4, 0.9], "specificity", 1.0)
        0.9
        >>> threshold_at([False, False, True, True], [0.1, 0.6, 0.4, 0.9], "sensitivity", 0.9)
        0.4
    """
    positive, score = np.asarray(positive, dtype=bool), np.asarray(score, dtype=np.float64)
    candidates = np.append(np.unique(score), np.nextafter(score.max(), np.inf))
    if rate == "specificity":
        below = np.searchsorted(np.sort(score[~positive]), candidates, side="left")
        return float(candidates[np.argmax(below / (~positive).sum() >= wanted - _ROUNDING)])
    missed = np.searchsorted(np.sort(score[positive]), candidates, side="left")
    reached = 1 - missed / positive.sum() >= wanted - _ROUNDING
    return float(candidates[np.flatnonzero(reached)[-1]])


def models_of(rows: pd.DataFrame) -> list[Model]:
    """Folds and seeds of some rows."""
    return sorted(
        (int(fold), int(seed)) for fold, seed in rows[["fold", "seed"]].drop_duplicates().to_numpy()
    )


def choose(
    validation: pd.DataFrame, tested: pd.DataFrame, target: Target, rate: Rate, wanted: float
) -> Chosen | str:
    """Choose on the validation rows of each network that was tested; or say why that cannot be.

    Args:
        validation, tested: of :func:`retinalab.metrics.clinical.targets.judged`, or the worse eyes of such, all
            references known.
    """
    if not len(validation):
        return "no validation photograph with a known grade"
    if tested[target.score].isna().any() or validation[target.score].isna().any():
        return "grades alone have no threshold that could be moved"
    thresholds: dict[Model, float] = {}
    rates: list[Array] = []
    for fold, seed in models_of(tested):
        own = validation[(validation["fold"] == fold) & (validation["seed"] == seed)]
        positive, score = own[target.positive].to_numpy(dtype=bool), own[target.score].to_numpy()
        if positive.all() or not positive.any():
            lacking = "negative" if len(own) and positive.all() else "positive"
            where = "" if (fold, seed) == (-1, 0) else f" for fold {fold}, seed {seed}"
            return f"validation has no {lacking} photograph{where}"
        cut = thresholds[fold, seed] = threshold_at(positive, score, rate, wanted)
        rates.append(np.array([(score >= cut)[positive].mean(), (score < cut)[~positive].mean()]))
    reached = np.mean(rates, axis=0)
    count = int(validation[target.positive].sum())
    return Chosen(thresholds, len(validation), count, float(reached[0]), float(reached[1]))


def called(rows: pd.DataFrame, target: Target, thresholds: Mapping[Model, float]) -> npt.NDArray[np.bool_]:
    """``(n,)`` bool: who is called positive at the threshold of the row's own network."""
    models = zip(rows["fold"].astype(int), rows["seed"].astype(int), strict=True)
    cut = np.array([thresholds[model] for model in models])
    verdict: npt.NDArray[np.bool_] = rows[target.score].to_numpy(dtype=np.float64) >= cut
    return verdict
