"""Differences fold by fold, whose training parts overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from retinalab.metrics.difference import Folds, FoldValues, finite
from retinalab.metrics.figures import mean_figures
from retinalab.metrics.grading import Array
from retinalab.metrics.paired import resampled_t
from retinalab.metrics.statistics import Clusters
from retinalab.metrics.targets import Sides, Target

__all__ = ["fold_differences", "fold_ratio"]


def fold_ratio(tested: pd.DataFrame, validation: pd.DataFrame | None) -> float | None:
    """Photographs tested over photographs trained on in a fold; None where the tested ones are no folds of a whole.

    Trained on is what a fold neither tests nor validates on.

    Args:
        tested: predictions of one test set.
        validation: predictions of the validation photographs; without any, none was held out.
    """
    whole = tested["image"].nunique()
    each = tested.groupby("fold")["image"].nunique()
    if len(each) < 2 or each.sum() != whole:
        return None
    held_out = 0.0
    if validation is not None:
        own = validation[validation["set"].isin(tested["set"].unique()) & validation["fold"].isin(each.index)]
        held_out = float(own.groupby("fold")["image"].nunique().sum()) / len(each)
    train = whole - float(each.mean()) - held_out
    return float(each.mean()) / train if train > 0 else None


def fold_differences(sides: Sides, target: Target, names: Sequence[str], ratio: float) -> dict[str, Folds]:
    """Each figure's difference in every fold, and their mean with Nadeau and Bengio's interval.

    Args:
        sides: two methods' predictions of one test set, references known.
        target: the figures.
        names: their names in order.
        ratio: from :func:`fold_ratio`.
    """
    numbers = [int(fold) for fold in sorted(sides[0]["fold"].unique())]
    values = np.array([[_values(side, target, k, fold) for k, side in enumerate(sides)] for fold in numbers])
    return {name: _folds(numbers, values[..., k], ratio) for k, name in enumerate(names)}


def _values(side: pd.DataFrame, target: Target, which: int, fold: int) -> Array:
    rows = side[side["fold"] == fold]
    clusters = Clusters.of(rows["group"])
    each = [target.builds[which](part, clusters) for _, part in rows.groupby("seed")]
    return mean_figures(each).values(clusters)


def _folds(numbers: Sequence[int], values: Array, ratio: float) -> Folds:
    differences = values[:, 0] - values[:, 1]
    found = resampled_t(differences, ratio)
    each = [
        FoldValues(fold=fold, a=finite(a), b=finite(b), difference=finite(a - b))
        for fold, (a, b) in zip(numbers, values, strict=True)
    ]
    out = Folds(
        mean=finite(found.value), low=finite(found.low), high=finite(found.high), error=finite(found.error),
        p=finite(found.p), test_to_train=ratio, values=each,
    )  # fmt: skip
    if found.note:
        out["note"] = found.note
    return out
