"""Every figure over the photographs of one test set, under one bootstrap: grades, operating points, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from retinalab.metrics.clinical.calibration import CALIBRATION, calibration_figures
from retinalab.metrics.clinical.points import Plan, point_figures, with_figures
from retinalab.metrics.clinical.result import Bin, Calibration, TargetReading
from retinalab.metrics.clinical.scaling import rescaled_score, temperatures
from retinalab.metrics.clinical.screening import combined, ranking_figures
from retinalab.metrics.clinical.temperature import LIMITS, Temperature
from retinalab.metrics.clinical.thresholds import Model
from retinalab.metrics.clinical.undefined import explained
from retinalab.metrics.figures import Figures, disease_figures
from retinalab.metrics.grading import confusion_matrix, unacceptable_errors
from retinalab.metrics.measure import Measure, Metric
from retinalab.metrics.statistics import Clusters
from retinalab.protocol import Scale

__all__ = ["grade_figures", "read_photographs"]

GRADED = ("kappa", "kappa_unweighted", "accuracy", "unacceptable")
_SCORE = "a score or a grade alone is no probability"
_WHY = {
    "intercept": "undefined: needs photographs on both sides",
    "slope": "undefined: the probabilities separate both sides, or photographs lie on one only",
    "ece": "undefined: fewer than 20 photographs",
}


def grade_figures(rows: pd.DataFrame, clusters: Clusters, disease: str, scale: Scale) -> Figures:
    """Figures of the confusion matrix of grades alone."""
    return disease_figures(rows[["group", disease, f"{disease}_grade"]], clusters, disease, scale)


def read_photographs(
    rows: pd.DataFrame,
    validation: pd.DataFrame,
    plans: Sequence[Plan],
    disease: str,
    scale: Scale,
    prevalence: float,
    measure: Measure,
) -> tuple[dict[str, Metric], list[TargetReading]]:
    """Grades and targets.

    Args:
        rows: tested photographs with a known reference, with the plans' verdicts as columns.
        validation: likewise, of validation.
        plans: one per target.
        disease: what is graded, on ``scale``.
        prevalence: the stated one.
        measure: the bootstrap.
    """
    fitted = temperatures(validation, rows, disease)
    before, after = (
        {one.target.name: f"{one.target.name}|{when}" for one in plans} for when in ("p", "p tempered")
    )
    probable = not isinstance(fitted, str) or fitted != _SCORE
    columns = {}
    for plan in plans if probable else ():
        columns[before[plan.target.name]] = rows[plan.target.score].to_numpy()
        if not isinstance(fitted, str):
            columns[after[plan.target.name]] = rescaled_score(rows, disease, plan.target.lowest, fitted)
    rows = rows.assign(**columns)

    def build(part: pd.DataFrame, clusters: Clusters) -> Figures:
        each = {"grades": grade_figures(part, clusters, disease, scale)}
        each |= point_figures(part, clusters, plans, prevalence)
        for target in (plan.target for plan in plans):
            if not part[target.score].isna().any():
                each[f"{target.name}/rank"] = ranking_figures(part, clusters, target.positive, target.score)
            for when, column in (("before", before[target.name]), ("after", after[target.name])):
                if column in part:
                    positive, p = part[target.positive].to_numpy(), part[column].to_numpy()
                    each[f"{target.name}/{when}"] = calibration_figures(part, clusters, positive, p)
        return combined(each)

    found = measure("", rows, build, disease)
    metrics = {key.removeprefix("/"): _explained(key, metric) for key, metric in found.items()}
    graded = {name: metrics[f"grades/{name}"] for name in GRADED if f"grades/{name}" in metrics}
    if "unacceptable" in graded:
        confusion = confusion_matrix(rows[disease], rows[f"{disease}_grade"], scale.size)
        ways = {way: int(count) for way, count in unacceptable_errors(confusion, scale).items()}
        graded["unacceptable"] = {**graded["unacceptable"], "counts": ways, "of": int(confusion.sum())}
    return graded, [_target(rows, plan, metrics, fitted) for plan in plans]


def _explained(key: str, metric: Metric) -> Metric:
    name = key.rpartition("/")[2]
    return {**metric, "note": _WHY[name]} if metric["value"] is None and name in _WHY else metric


def _target(
    rows: pd.DataFrame, plan: Plan, metrics: Mapping[str, Metric], fitted: Mapping[Model, Temperature] | str
) -> TargetReading:
    first = rows[rows["seed"] == rows["seed"].min()]
    target = plan.target
    area = metrics.get(f"{target.name}/rank/auc")
    ranked = explained({} if area is None else {"auc": area})
    return TargetReading(
        target.name, target.lowest, len(first), int(first[target.positive].sum()),
        ranked.get("auc"), with_figures(plan, metrics), _calibration(target.name, metrics, fitted),
    )  # fmt: skip


def _calibration(
    target: str, metrics: Mapping[str, Metric], fitted: Mapping[Model, Temperature] | str
) -> Calibration:
    before, after = (
        {n: metrics.get(f"{target}/{when}/{n}") for n in CALIBRATION} for when in ("before", "after")
    )
    if before["brier"] is None:
        return Calibration(missing=f"not applicable: {_SCORE}")
    limits = isinstance(fitted, Mapping) and any(one.at_limit for one in fitted.values())
    return Calibration(
        missing_after=fitted if isinstance(fitted, str) else "",
        temperatures=[] if isinstance(fitted, str) else [one.value for one in fitted.values()],
        note=f"the likelihood still rises where the temperature stops ({LIMITS[0]:g}, {LIMITS[1]:g})"
        if limits
        else "",
        before={name: metric for name, metric in before.items() if metric is not None},
        after={name: metric for name, metric in after.items() if metric is not None},
        bins_before=_bins(f"{target}/before", metrics),
        bins_after=_bins(f"{target}/after", metrics),
    )


def _bins(room: str, metrics: Mapping[str, Metric]) -> list[Bin]:
    out: list[Bin] = []
    while f"{room}/observed_{len(out)}" in metrics:
        k = len(out)
        size, predicted = (metrics[f"{room}/{what}_{k}"]["value"] for what in ("size", "predicted"))
        out.append(Bin(size, predicted, metrics[f"{room}/observed_{k}"]))
    return out
