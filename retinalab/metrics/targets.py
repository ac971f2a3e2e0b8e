"""What is compared on one test part: each disease, its referrals, all diseases together; and how each is tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.figures import Figures, disease_figures, joint_figures
from retinalab.metrics.headline import TESTS, accuracy_p, kappa_p, share_p
from retinalab.metrics.measure import Build
from retinalab.metrics.referral import Thresholds, referral_figures, referred, validation_thresholds
from retinalab.metrics.statistics import Clusters, Interval
from retinalab.protocol import Scale

__all__ = ["Sides", "Target", "targets_of"]

Sides = Sequence[pd.DataFrame]
"""Predictions of the same photographs by several methods, a table each."""


@dataclass(frozen=True)
class Target:
    """Figures that share their photographs.

    Attributes:
        name: in the keys of the metrics: ``dr``, ``joint``.
        diseases: those whose references must be known; the first gives the strata.
        builds: for each method the figures of its rows.
        p: figure, two methods' rows, their patients, the difference with its interval and a seed to the
            p-value of the figure's test.
    """

    name: str
    diseases: tuple[str, ...]
    builds: tuple[Build, ...]
    p: Callable[[str, Sides, Clusters, Interval, int], float]

    def known(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows with every reference."""
        return rows[(rows[list(self.diseases)] >= 0).all(axis=1)]


def targets_of(
    tables: Sides,
    validations: Sequence[pd.DataFrame | None],
    diseases: Sequence[str],
    scales: Mapping[str, Scale],
    joint: bool,
) -> list[Target]:
    """Targets of the diseases that all methods grade.

    Referrals are judged where every network of every method has a validation part with referable and other
    photographs to fix its threshold on, and scores them.

    Args:
        tables: complete predictions of the tested photographs.
        validations: complete predictions of the validation photographs, or None.
        diseases, scales: those that all methods grade, with their scales.
        joint: whether all diseases together are a target too.
    """
    out = []
    for disease in diseases:
        scale = scales[disease]
        out.append(_graded(disease, scale, len(tables)))
        known = [_thresholds(*pair, disease, scale) for pair in zip(tables, validations, strict=True)]
        thresholds = [one for one in known if one is not None]
        if len(thresholds) == len(tables):
            out.append(_referred(disease, scale, thresholds))
    if joint and len(diseases) > 1:
        out.append(_joint(tuple(diseases), len(tables)))
    return out


def _graded(disease: str, scale: Scale, methods: int) -> Target:
    def build(rows: pd.DataFrame, clusters: Clusters) -> Figures:
        return disease_figures(rows, clusters, disease, scale)

    def p(figure: str, sides: Sides, clusters: Clusters, difference: Interval, seed: int) -> float:
        if TESTS[figure] == "bootstrap":
            return difference.p
        if figure == "kappa":
            return kappa_p(sides[0], sides[1], clusters, disease, scale.size, seed)
        return accuracy_p(sides[0], sides[1], clusters, [disease])

    return Target(disease, (disease,), (build,) * methods, p)


def _joint(diseases: tuple[str, ...], methods: int) -> Target:
    def build(rows: pd.DataFrame, clusters: Clusters) -> Figures:
        return joint_figures(rows, clusters, diseases)

    def p(figure: str, sides: Sides, clusters: Clusters, difference: Interval, seed: int) -> float:
        return accuracy_p(sides[0], sides[1], clusters, diseases)

    return Target("joint", diseases, (build,) * methods, p)


def _referred(disease: str, scale: Scale, thresholds: Sequence[Thresholds]) -> Target:
    lowest = scale.referable

    def build_with(own: Thresholds) -> Build:
        return lambda rows, clusters: referral_figures(rows, clusters, disease, lowest, own)

    def p(figure: str, sides: Sides, clusters: Clusters, difference: Interval, seed: int) -> float:
        ill = figure == "sensitivity_referable"
        judged = [side[(side[disease] >= lowest) == ill] for side in sides]

        def right(rows: pd.DataFrame, side: int) -> npt.NDArray[np.bool_]:
            decision = referred(rows, disease, lowest, thresholds[side])
            return decision if ill else ~decision

        return share_p(judged[0], judged[1], clusters, right)

    return Target(disease, (disease,), tuple(build_with(own) for own in thresholds), p)


def _thresholds(
    table: pd.DataFrame, validation: pd.DataFrame | None, disease: str, scale: Scale
) -> Thresholds | None:
    scored = f"{disease}_score" in table or f"{disease}_p0" in table
    if validation is None or not scored or disease not in validation or not len(validation):
        return None
    found = validation_thresholds(validation, disease, scale.referable)
    needed = {(int(s), int(f)) for s, f in table[["seed", "fold"]].drop_duplicates().itertuples(index=False)}
    return found if needed <= set(found) else None
