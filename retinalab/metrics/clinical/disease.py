"""One disease on one test set, read clinically."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.clinical.contradictions import read_rules
from retinalab.metrics.clinical.options import Options
from retinalab.metrics.clinical.patients import worse_eye
from retinalab.metrics.clinical.photographs import grade_figures, read_photographs
from retinalab.metrics.clinical.points import Plan, plan_points, point_figures, with_figures
from retinalab.metrics.clinical.policies import read_ungradable
from retinalab.metrics.clinical.result import DiseaseReading, WorseEye
from retinalab.metrics.clinical.screening import combined
from retinalab.metrics.clinical.subgroups import read_subgroups
from retinalab.metrics.clinical.targets import judged, targets_of
from retinalab.metrics.figures import Figures
from retinalab.metrics.measure import Measure
from retinalab.metrics.statistics import Clusters
from retinalab.protocol import Scale

__all__ = ["Photographs", "planned", "read_disease"]


@dataclass(frozen=True)
class Photographs:
    """The rows of one test set that a disease is read from.

    Attributes:
        tested: with a predicted grade; the reference may be unknown.
        marked: ``(n,)`` bool, those of ``tested`` that are ungradable.
        ungraded: ungradable photographs without a prediction.
        validation: of all sets, with prediction and reference.
        lesions: the run's table of lesions; None where it left none.
    """

    tested: pd.DataFrame
    marked: npt.NDArray[np.bool_]
    ungraded: pd.DataFrame
    validation: pd.DataFrame
    lesions: pd.DataFrame | None


def planned(
    tested: pd.DataFrame, validation: pd.DataFrame, disease: str, scale: Scale, options: Options
) -> tuple[pd.DataFrame, list[Plan]]:
    """The tested rows with every target's reference, score and verdicts as columns, and what was chosen."""
    targets = targets_of(disease, scale)
    tested, validation = judged(tested, targets), judged(validation, targets)
    plans = [plan_points(tested, validation, target, options) for target in targets]
    for plan in plans:
        tested = tested.assign(**plan.columns())
    return tested, plans


def read_disease(
    given: Photographs, disease: str, scale: Scale, columns: Sequence[str], options: Options
) -> DiseaseReading:
    """Every figure of one disease on one test set; some reference must be known.

    Args:
        given: the photographs.
        disease: what is graded, on ``scale``.
        columns: that tell subgroups apart.
        options: what the figures suppose.
    """
    measure = Measure(options.resamples, options.seed)
    tested, plans = planned(given.tested, given.validation, disease, scale, options)
    rows = tested[tested[disease] >= 0].reset_index(drop=True)
    graded, targets = read_photographs(
        rows, given.validation, plans, disease, scale, options.prevalence, measure
    )
    rules = read_rules(given.tested, given.lesions, disease, scale, measure)
    lead = plans[0]
    return DiseaseReading(
        disease, scale.name, list(scale.levels), int(rows["image"].nunique()), graded, targets,
        _worse_eye(rows, given.validation, disease, scale, options, measure),
        read_ungradable(tested, given.marked, given.ungraded, plans, options, measure),
        next(one.text for one in lead.points if one.name == lead.preferred),
        read_subgroups(rows, columns, lead, scale, options, measure),
        [] if isinstance(rules, str) else rules,
        rules if isinstance(rules, str) else "",
    )  # fmt: skip


def _worse_eye(
    rows: pd.DataFrame,
    validation: pd.DataFrame,
    disease: str,
    scale: Scale,
    options: Options,
    measure: Measure,
) -> WorseEye:
    """The same points over patients; their thresholds are chosen on the patients of validation."""
    targets = targets_of(disease, scale)
    first = rows[rows["seed"] == rows["seed"].min()]
    unknown = int((first["patient"].fillna("").astype(str) == "").sum())
    if unknown == len(first):
        return WorseEye(0, unknown, missing="the patients are unknown, so no two eyes can be joined")
    patients = worse_eye(rows, disease, targets)
    eyes = worse_eye(judged(validation, targets), disease, targets)
    plans = [plan_points(patients, eyes, target, options) for target in targets]
    for plan in plans:
        patients = patients.assign(**plan.columns())

    def build(part: pd.DataFrame, clusters: Clusters) -> Figures:
        grades = {"grades": grade_figures(part, clusters, disease, scale)}
        return combined(grades | point_figures(part, clusters, plans, options.prevalence))

    found = {key.removeprefix("/"): one for key, one in measure("", patients, build, disease).items()}
    shown = {name: found[f"grades/{name}"] for name in ("kappa", "accuracy") if f"grades/{name}" in found}
    once = patients[patients["seed"] == patients["seed"].min()]
    positive = {one.target.name: int(once[one.target.positive].sum()) for one in plans}
    points = {one.target.name: with_figures(one, found) for one in plans}
    return WorseEye(len(once), unknown, "", shown, positive, points)
