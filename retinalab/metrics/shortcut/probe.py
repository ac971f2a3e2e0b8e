"""How well the label is predicted without looking at the retina: the figure that a network has to beat.

A logistic regression sees the features of :mod:`retinalab.metrics.shortcut.features` and no picture. What it reaches is
no result but a warning: a network can reach it by telling cameras, clinics and files apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from retinalab.errors import RetinalabError
from retinalab.metrics.grading import Array, Ranking, confusion_matrix, kappa
from retinalab.metrics.shortcut.features import FEATURES, group_columns
from retinalab.metrics.shortcut.model import FEWEST, at_least, predict, rounds
from retinalab.metrics.statistics import Clusters, Interval, bootstrap
from retinalab.metrics.tables import complete_predictions
from retinalab.protocol import Scale

__all__ = ["ALL", "WARN_ABOVE", "Row", "probe", "strongest"]

ALL = "all"
"""Name of the groups taken together."""

WARN_ABOVE = 0.65
"""AUC from which on the label counts as predictable without the retina."""

_ALIKE = 0.6
_SHOWN = 3


class Row(TypedDict):
    """How well one group of features predicts one disease; figures are None where undefined, and ``note`` says why.

    ``target`` is ``referable`` (the scale's referable grades) or ``any`` (grade 1 and above). ``low`` and ``high``
    bound ``auc`` at 95 % under another sample of patients. ``kappa`` is quadratic, of all grades of the scale.
    ``n`` photographs of ``n_groups`` patients were predicted. ``strongest`` names single features. An AUC well below
    0.5 is no finding: folds with fewer ill patients are judged by models that saw more, and the other way round.
    """

    disease: str
    target: str
    features: str
    auc: float | None
    low: float | None
    high: float | None
    kappa: float | None
    n: int
    n_groups: int
    strongest: str
    note: str


def probe(
    features: npt.NDArray[np.float64],
    table: pd.DataFrame,
    scales: Mapping[str, Scale],
    train: npt.ArrayLike | None = None,
    folds: int = 5,
    seed: int = 0,
    resamples: int = 2000,
) -> list[Row]:
    """Predict every disease from every group of features and from all together.

    Args:
        features: ``(n, F)``, as :func:`~retinalab.metrics.shortcut.features.photograph_features` gives them.
        table: n rows with ``image``, ``patient`` (or ``group``) and a column per disease, -1 unknown.
        scales: disease -> its scale; a disease without any label has no row.
        train: ``(n,)`` bool, the photographs to fit on, the others to test on; none means cross-validation, stratified,
            without a patient on two sides.
        folds: of the cross-validation.
        seed: of the folds and the resamples.
        resamples: of the bootstrap over patients (BCa); 0 gives no intervals.

    Returns:
        Per disease and target a row for each group and one for all. Where there is too little to fit or to judge, the
        row says so.

    Raises:
        RetinalabError: sizes differ, or a patient stands on both sides of ``train``.
    """
    if features.shape != (len(table), wanted := sum(len(names) for names in FEATURES.values())):
        raise RetinalabError(
            f"{features.shape} features for {len(table)} photographs. Give {wanted} for each, as "
            "photograph_features does."
        )
    full = complete_predictions(table.reset_index(drop=True))
    rows: list[Row] = []
    for disease, scale in scales.items():
        known = np.flatnonzero((full[disease] >= 0).to_numpy()) if disease in full else np.empty(0, np.int64)
        if known.size:
            chosen = None if train is None else np.asarray(train, dtype=bool)[known]
            one = _Disease(disease, scale, full.iloc[known].reset_index(drop=True), chosen, folds, seed)
            rows += one.rows(features[known], resamples)
    return rows


def strongest(
    features: npt.NDArray[np.float64],
    positive: npt.NDArray[np.bool_],
    names: Sequence[str],
    count: int = _SHOWN,
) -> str:
    """The single features that tell positive from negative photographs best, each with its own AUC.

    Coefficients of the joint model are not used: neighbouring bins of a histogram carry the same information and share
    one weight, with either sign. For the same reason a feature that goes along with one already named (Spearman's
    correlation 0.6 or more) is passed over.

    Args:
        features: ``(n, F)``; nan counts as the middle of the column.
        positive: ``(n,)``.
        names: of the columns.
        count: how many are named.

    Example:
        >>> strongest(np.array([[1.0, 5], [2, 5], [3, 5], [4, 5]]), np.array([1, 1, 0, 0]) > 0, ["size", "kind"])
        'size lower (AUC 1.00)'
    """
    if positive.all() or not positive.any():
        return ""
    middle = np.array([np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else 0.0 for c in features.T])
    ranks = rankdata(np.where(np.isnan(features), middle, features), axis=0)
    k = positive.sum()
    area = (ranks[positive].sum(axis=0) - k * (k + 1) / 2) / (k * (~positive).sum())
    spread = ranks - ranks.mean(axis=0)
    length = np.sqrt((spread**2).sum(axis=0))
    kept: list[int] = []
    for column in np.argsort(-np.abs(area - 0.5), kind="stable"):
        if len(kept) == count or length[column] == 0 or np.isclose(area[column], 0.5):
            break
        alike = np.abs(spread[:, column] @ spread[:, kept]) >= _ALIKE * length[column] * length[kept]
        if not alike.any():
            kept.append(int(column))
    words = [("higher" if area[c] > 0.5 else "lower", max(area[c], 1 - area[c])) for c in kept]
    return "; ".join(f"{names[c]} {word} (AUC {a:.2f})" for c, (word, a) in zip(kept, words, strict=True))


class _Disease:
    """One disease's photographs of known grade."""

    def __init__(
        self,
        disease: str,
        scale: Scale,
        table: pd.DataFrame,
        train: npt.NDArray[np.bool_] | None,
        folds: int,
        seed: int,
    ) -> None:
        self.disease, self.scale, self.seed = disease, scale, seed
        self.grades = table[disease].to_numpy(dtype=np.int64)
        self.groups = table["group"].to_numpy(dtype=str)
        self.train, self.folds = train, folds
        self.tested = np.arange(len(table)) if train is None else np.flatnonzero(~train)

    def rows(self, features: npt.NDArray[np.float64], resamples: int) -> Iterator[Row]:
        """A row per target and group."""
        targets = {"referable": self.scale.referable}
        if self.scale.referable > 1:
            targets["any"] = 1
        places = {group: group_columns(group) for group in FEATURES} | {ALL: slice(None)}
        names = [f"{group}: {name}" for group, each in FEATURES.items() for name in each]
        why = {target: self._refusal(cut) for target, cut in targets.items()}
        scores: dict[str, Array] = {}
        if not all(why.values()):
            cuts = rounds(self.grades, self.scale, self.groups, self.train, self.folds, self.seed)
            scores = {g: predict(features[:, c], self.grades, self.scale, cuts) for g, c in places.items()}
        for target, cut in targets.items():
            positive = self.grades >= cut
            found = self._intervals([s[self.tested, cut - 1] for s in scores.values()], cut, resamples)
            for number, (group, columns) in enumerate(places.items()):
                best = strongest(features[:, columns], positive, names[columns])
                if why[target]:
                    yield self._row(target, group, best, why[target])
                    continue
                agreement = self._kappa(scores[group]) if target == "referable" else None
                yield self._row(target, group, best, found[number].note, found[number], agreement)

    def _refusal(self, cut: int) -> str:
        """Why a target cannot be predicted; "" where it can."""
        word = "referable" if cut == self.scale.referable else f"grade {cut} and above"
        fitted = np.ones(len(self.grades), bool) if self.train is None else self.train
        positive = self.grades >= cut
        if self.train is not None and (positive[~fitted].all() or not positive[~fitted].any()):
            return f"not measured: the photographs tested are all or none {word}"
        for side, name in ((positive, word), (~positive, f"not {word}")):
            n, patients = int((side & fitted).sum()), len(np.unique(self.groups[side & fitted]))
            if n < FEWEST:
                return f"not measured: {n} photographs to fit on are {name}, fewer than {FEWEST}"
            if self.train is None and patients < self.folds:
                return f"not measured: {patients} patients with photographs that are {name}, for {self.folds} folds"
        return ""

    def _intervals(self, scores: Sequence[Array], cut: int, resamples: int) -> list[Interval]:
        if not scores:
            return []
        positive, groups = self.grades[self.tested] >= cut, self.groups[self.tested]
        clusters = Clusters.of(groups, positive)
        index = clusters.index(groups)
        rankings = [Ranking(positive, score) for score in scores]

        def panel(counts: Array) -> Array:
            weights = counts[:, index]
            return np.stack([ranking(weights) for ranking in rankings], axis=1)

        return bootstrap(panel, clusters, resamples, self.seed)

    def _kappa(self, score: Array) -> float | None:
        grades = (at_least(score[self.tested], self.scale) >= 0.5).sum(axis=1)
        return _finite(float(kappa(confusion_matrix(self.grades[self.tested], grades, self.scale.size))))

    def _row(
        self,
        target: str,
        group: str,
        best: str,
        note: str,
        interval: Interval | None = None,
        agreement: float | None = None,
    ) -> Row:
        auc, low, high = (interval.value, interval.low, interval.high) if interval else (np.nan,) * 3
        return Row(
            disease=self.disease, target=target, features=group,
            auc=_finite(auc), low=_finite(low), high=_finite(high), kappa=agreement,
            n=len(self.tested), n_groups=len(np.unique(self.groups[self.tested])),
            strongest=best, note=note,
        )  # fmt: skip


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
