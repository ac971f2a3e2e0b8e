"""What is left to a network when its most uncertain photographs are handed to a person: figures of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.errors import RetinalabError
from retinalab.metrics.evaluate import check_grades
from retinalab.metrics.figures import Figures, disease_figures
from retinalab.metrics.measure import Measure, Metric
from retinalab.metrics.statistics import Clusters
from retinalab.metrics.tables import complete_predictions, diseases_of, probabilities_of
from retinalab.metrics.uncertainty import entropy
from retinalab.protocol import Scale
from retinalab.units import unit_of

__all__ = ["SHARES", "Level", "ReferralCurve", "read_referral_curves"]

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Of the photographs that are handed over."""

_FIGURES = ("kappa", "accuracy", "auc_referable")
Order = Callable[[pd.DataFrame], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Level:
    """One share handed over.

    Attributes:
        share: of the photographs, in [0, 1).
        kept: predictions that remain, of the first seed.
        figures: name -> of those, by entropy.
        perfect: name -> were the wrongly graded handed over first, the farthest off before the others.
        random: name -> in an order by lot; the mean over several lots, without interval.
    """

    share: float
    kept: int
    figures: Mapping[str, Metric]
    perfect: Mapping[str, float | None]
    random: Mapping[str, float | None]


@dataclass(frozen=True)
class ReferralCurve:
    """The curve of one disease on one test set.

    Attributes:
        prefix: ``test`` or ``test@<set>``.
        disease: what is graded, on ``scale``.
        uncertainty: where the order comes from, in words.
        photographs: with a known reference.
        units: that are independent, of the kind ``unit`` (:mod:`retinalab.units`).
        levels: by share.
    """

    prefix: str
    disease: str
    scale: str
    uncertainty: str
    photographs: int
    units: int
    unit: str
    levels: Sequence[Level]


def read_referral_curves(
    predictions: pd.DataFrame,
    scales: Mapping[str, Scale],
    shares: Sequence[float] = SHARES,
    resamples: int = 2000,
    lots: int = 20,
    seed: int = 0,
    primary_set: str | None = None,
) -> list[ReferralCurve]:
    """Figures of the photographs that remain, for every tested set and disease that has probabilities.

    The order is that of ``<d>_entropy`` or, where the table has none, of the entropy of the probabilities; of equally
    uncertain ones the earlier row remains. Each seed hands over floor(share · n) of its own. An interval is that of
    other patients of those that remain (:func:`retinalab.metrics.statistics.bootstrap`): which ones are handed over is
    held fixed. A figure is undefined where what remains has a single grade.

    Reference: Leibig et al., Scientific Reports 2017, section "Uncertainty-informed referral".

    Args:
        predictions: columns as in :mod:`retinalab.metrics.tables`; those made elsewhere may lack identity columns. Part
            ``test`` is read.
        scales: disease -> its scale.
        shares: handed over, each in [0, 1).
        resamples: of the bootstrap; 0 gives values without intervals.
        lots: orders by lot that are averaged.
        seed: of the bootstrap and of the lots.
        primary_set: the set called ``test``; by default the first in the table.

    Raises:
        RetinalabError: no tested photograph with a reference and probabilities, or a grade outside its scale.
    """
    table = complete_predictions(predictions).reset_index(drop=True)
    first = str(table["set"].iloc[0]) if primary_set is None and len(table) else primary_set
    tested = table[table["part"] == "test"]
    measure, lot = Measure(resamples, seed), Measure(0, seed)
    out = []
    for name, rows in tested.groupby("set", sort=False, dropna=False):
        for disease in (d for d in diseases_of(table) if d in scales and _has_chances(table, d, scales[d])):
            known = _known(rows, disease)
            if not len(known):
                continue
            check_grades(known, disease, scales[disease])
            curve = _Curve(known, disease, scales[disease], measure, lot, lots, seed)
            prefix = "test" if name == first else f"test@{name}"
            out.append(curve.read(prefix, shares))
    if not out:
        raise RetinalabError(
            "No tested photograph has a reference and probabilities, by which photographs are handed over. Give a "
            "table with image, dr, dr_grade and dr_p0 ... (a regression's score has no entropy)."
        )
    return out


def _known(rows: pd.DataFrame, disease: str) -> pd.DataFrame:
    """Rows with a reference and a grade; a cell that is no number stays, to be refused by its name."""
    kept = np.ones(len(rows), dtype=bool)
    for column in (disease, f"{disease}_grade"):
        kept &= (rows[column].notna() & (pd.to_numeric(rows[column], errors="coerce") != -1)).to_numpy(
            dtype=bool
        )
    return rows[kept].reset_index(drop=True)


def _has_chances(table: pd.DataFrame, disease: str, scale: Scale) -> bool:
    return f"{disease}_score" not in table and len(probabilities_of(table, f"{disease}_p")) == scale.size


@dataclass(frozen=True)
class _Curve:
    """The photographs of one set and disease, all seeds."""

    rows: pd.DataFrame
    disease: str
    scale: Scale
    measure: Measure
    lot: Measure
    lots: int
    seed: int

    def read(self, prefix: str, shares: Sequence[float]) -> ReferralCurve:
        uncertainty, source = self._uncertainty()
        known, answered = (
            self.rows[name].to_numpy(np.float64) for name in (self.disease, f"{self.disease}_grade")
        )
        wrong = np.abs(known - answered)
        generator = np.random.default_rng(self.seed)
        chances = [generator.random(len(self.rows)) for _ in range(self.lots)]
        levels = []
        for share in shares:
            kept = self._kept(uncertainty, share)
            figures = self._figures(kept, self.measure)
            perfect = _values(self._figures(self._kept(wrong, share), self.lot))
            drawn = [_values(self._figures(self._kept(chance, share), self.lot)) for chance in chances]
            number = int((kept["seed"] == kept["seed"].min()).sum())
            levels.append(Level(share, number, figures, perfect, _mean(drawn)))
        rows = self.rows
        return ReferralCurve(
            prefix, self.disease, self.scale.name, source, int(rows["image"].nunique()),
            int(rows["group"].nunique()), unit_of(rows["patient"]), levels,
        )  # fmt: skip

    def _uncertainty(self) -> tuple[npt.NDArray[np.float64], str]:
        given = f"{self.disease}_entropy"
        if given in self.rows:
            values = pd.to_numeric(self.rows[given], errors="coerce").to_numpy(dtype=np.float64)
            if np.isfinite(values).all():
                return values, f"column {given}"
        columns = probabilities_of(self.rows, f"{self.disease}_p")
        return entropy(self.rows[columns].to_numpy(dtype=np.float64)), "entropy of the probabilities"

    def _kept(self, uncertainty: npt.NDArray[np.float64], share: float) -> pd.DataFrame:
        """The rows that remain: in each seed all but the most uncertain."""
        chosen = []
        seeds = self.rows["seed"].to_numpy()
        for places in (np.flatnonzero(seeds == seed) for seed in np.unique(seeds)):
            order = places[np.argsort(uncertainty[places], kind="stable")]
            chosen.append(order[: len(order) - int(share * len(order) + 1e-9)])
        return self.rows.iloc[np.sort(np.concatenate(chosen))]

    def _figures(self, kept: pd.DataFrame, measure: Measure) -> dict[str, Metric]:
        def build(part: pd.DataFrame, clusters: Clusters) -> Figures:
            return disease_figures(part, clusters, self.disease, self.scale)

        found = {key.removeprefix("/"): one for key, one in measure("", kept, build, self.disease).items()}
        if self.scale.size == 2:
            found["auc_referable"] = found["auc"]
        return {name: found[name] for name in _FIGURES}


def _values(figures: Mapping[str, Metric]) -> dict[str, float | None]:
    return {name: one["value"] for name, one in figures.items()}


def _mean(drawn: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Of the lots in which a figure is defined."""
    out: dict[str, float | None] = {}
    for name in _FIGURES:
        defined = [value for one in drawn if (value := one[name]) is not None]
        out[name] = float(np.mean(defined)) if defined else None
    return out
