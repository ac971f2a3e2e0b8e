"""The clinical reading on a run's page: operating points, calibration, patients, ungradable, lesions, subgroups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retinalab.counted import counted
from retinalab.metrics.clinical import ClinicalReading, Options, read_clinically
from retinalab.metrics.clinical.result import Bin, Calibration, DiseaseReading, Point, TargetReading
from retinalab.metrics.clinical.undefined import reasons
from retinalab.report.chart import Chart, Curve, Dot, chart, unit_axis
from retinalab.report.contradictions import contradicted_photographs, contradicted_shares
from retinalab.report.folder import RunFolder
from retinalab.report.numbers import cells, interval, known
from retinalab.report.results import Grid
from retinalab.units import told_units

__all__ = ["Clinical", "clinical_section", "reliability_diagram"]

_CALIBRATION = {
    "intercept": "intercept (calibrated: 0)",
    "slope": "slope (calibrated: 1)",
    "brier": "Brier score",
    "ece": "adaptive calibration error",
}
_POLICY = {
    "sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV",
    "referrals": "referred per 1,000",
}  # fmt: skip
_SUBGROUP = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "referrals": "referred per 1,000",
}


@dataclass(frozen=True)
class Target:
    """One target as drawn."""

    title: str
    lead: str
    points: Grid
    doubts: list[str]
    calibration: Grid | None
    calibration_note: str
    chart: Chart | None


@dataclass(frozen=True)
class Disease:
    """One disease of one test set as drawn; ``lists`` are photographs to review."""

    title: str
    patients: str
    targets: list[Target]
    ungradable: list[tuple[str, Grid]]
    ungradable_note: str
    rules: Grid | None
    rules_note: str
    lists: list[tuple[str, Grid]]
    subgroups: list[Grid] = field(default_factory=list)
    subgroup_names: list[str] = field(default_factory=list)
    subgroup_note: str = ""


@dataclass(frozen=True)
class Clinical:
    """The section: what it supposes, and every test set's diseases."""

    lead: str
    notes: list[str]
    sets: list[tuple[str, list[Disease]]]


def clinical_section(run: RunFolder, options: Options | None = None) -> Clinical | None:
    """The section of a run; None where it graded no test photograph."""
    rows = run.predictions
    if rows is None or not run.diseases or not run.tested[:1] or not (rows["part"] == "test").any():
        return None
    primary = run.set_of("test") if "test" in run.tested else None
    reading = read_clinically(rows, run.scales, options, run.lesions, run.ungradable, primary)
    if not any(one.diseases for one in reading.sets):
        return None
    prevalence = reading.options["prevalence"]
    lead = (
        f"Predictive values and referrals at the set’s own prevalence, and at {prevalence:g} "
        f"({reading.options['prevalence_source']}). Thresholds and temperatures are fixed on validation; the intervals "
        "are those of another sample of test patients under them. An interval of a single value says that all "
        "resamples agreed, not that it is certain."
    )
    sets = [
        (f"{one.prefix}: {one.set}", [_disease(d, reading) for d in one.diseases]) for one in reading.sets
    ]
    return Clinical(lead, [_sentence(note) for note in reading.notes], sets)


def _disease(one: DiseaseReading, reading: ClinicalReading) -> Disease:
    eye = one.worse_eye
    words = [f"quadratic kappa {_told(eye.figures['kappa'])}"] if "kappa" in eye.figures else []
    words += [f"accuracy {interval(eye.figures['accuracy'])}"] if "accuracy" in eye.figures else []
    patients = (
        _sentence(eye.missing)
        if eye.missing
        else f"Worse eye of {counted(eye.patients, 'patient')}: {', '.join(words)}."
    )
    if eye.left_out and not eye.missing:
        unknown = counted(eye.left_out, "photograph of an unknown patient", "photographs of unknown patients")
        patients += f" Left out of it: {unknown}."
    ungradable = [
        (
            name,
            Grid(
                list(_POLICY.values()),
                [(policy, cells(figures, _POLICY)) for policy, figures in each.items()],
            ),
        )
        for name, each in one.ungradable.policies.items()
    ]
    columns = list(dict.fromkeys(group.column for group in one.subgroups))
    return Disease(
        one.disease.upper(), patients,
        [_target(target, one, reading.options["prevalence"]) for target in one.targets],
        ungradable, _ungradable_note(one), contradicted_shares(one.rules), _sentence(one.rules_missing),
        [listed for rules in one.rules if (listed := contradicted_photographs(rules)) is not None],
        [_subgroups(one, column) for column in columns], columns,
        f"{one.targets[0].name.capitalize()}, at {one.point}." if columns else "",
    )  # fmt: skip


def _target(one: TargetReading, disease: DiseaseReading, prevalence: float) -> Target:
    auc = f"; AUC {_told(one.auc)}" if one.auc else ""
    eyes = disease.worse_eye.points.get(one.name, ())
    chosen = [*(("", point) for point in one.points), *(("Worse eye: ", point) for point in eyes)]
    rows = [(f"{where}{point.text}", _point(point)) for where, point in chosen if not point.missing]
    stated = f"at {prevalence:g}"
    columns = [
        "sensitivity / specificity on validation", "sensitivity", "specificity", "PPV", "NPV", "referred per 1,000",
        f"PPV {stated}", f"NPV {stated}", f"referred per 1,000 {stated}",
    ]  # fmt: skip
    called = _POLICY | {f"{name}_stated": f"{_POLICY[name]} {stated}" for name in ("ppv", "npv", "referrals")}
    doubts = [
        (where, p.text, why)
        for where, p in chosen
        for why in (p.missing or p.note, *reasons(p.figures, called))
    ]
    return Target(
        f"{disease.disease.upper()}: {one.name} (grade ≥ {one.lowest})",
        f"{one.positive} of {counted(one.photographs, 'photograph')}{auc}.",
        Grid(columns, rows),
        [_sentence(f"{where}{text}: {why}") for where, text, why in doubts if why],
        _calibration(one.calibration),
        _calibration_note(one.calibration),
        reliability_diagram(one),
    )


def _point(point: Point) -> list[str]:
    told = point.validation
    cell = f"{told['sensitivity']:.3f} / {told['specificity']:.3f}" if told else "–"
    names = (
        "sensitivity",
        "specificity",
        "ppv",
        "npv",
        "referrals",
        "ppv_stated",
        "npv_stated",
        "referrals_stated",
    )
    return [cell, *cells(point.figures, names)]


def reliability_diagram(one: TargetReading) -> Chart | None:
    """Observed share against predicted probability in bins of equal mass, before and after temperature scaling."""
    before, after = (_dots(bins) for bins in (one.calibration.bins_before, one.calibration.bins_after))
    if len(before) < 2:
        return None
    curves = [
        Curve(np.array([d.x for d in dots]), np.array([d.y for d in dots]), k)
        for k, dots in enumerate((before, after))
        if dots
    ]
    plain = [Dot(d.x, d.y, 1) for d in after]
    size = one.calibration.bins_before[0].photographs
    return chart(
        f"{one.name.capitalize()}: reliability",
        unit_axis("predicted probability"), unit_axis("observed share"), curves, [*before, *plain], square=True,
        legend=[(0, "as predicted"), *([(1, "after temperature scaling")] if after else [])],
        caption=f"{len(before)} bins of about {counted(round(size or 0), 'photograph')}; whiskers: 95 % intervals over "
        "patients.",
    )  # fmt: skip


def _dots(bins: Sequence[Bin]) -> list[Dot]:
    out = []
    for one in bins:
        told = one.observed
        if one.predicted is not None and told["value"] is not None:
            out.append(Dot(one.predicted, told["value"], 0, told["low"], told["high"]))
    return out


def _calibration(one: Calibration) -> Grid | None:
    if one.missing:
        return None
    rows = [("as predicted", cells(one.before, _CALIBRATION))]
    if one.after:
        rows.append(("after temperature scaling", cells(one.after, _CALIBRATION)))
    return Grid(list(_CALIBRATION.values()), rows)


def _calibration_note(one: Calibration) -> str:
    if one.missing:
        return _sentence(f"calibration is {one.missing}")
    lost = [
        f"{_sentence(why)} "
        for metrics, when in ((one.before, ""), (one.after, " after scaling"))
        for why in (f"{each}{when}" for each in reasons(metrics, _CALIBRATION))
    ]
    if one.missing_after:
        return "".join(lost) + _sentence(f"no temperature: {one.missing_after}")
    hot = ", ".join(f"{value:.2f}" for value in one.temperatures)
    more = f"; {one.note}" if one.note else ""
    return f"{''.join(lost)}Temperature {hot}, fitted on validation; above 1 the probabilities were too extreme{more}."


def _ungradable_note(one: DiseaseReading) -> str:
    told = one.ungradable
    if told.missing:
        return _sentence(told.missing)
    without = told.marked - told.known
    are = "is" if told.marked == 1 else "are"
    rest = f" Without a reference grade, and counted for referrals alone: {without}." if without else ""
    lost = [
        f" {name.capitalize()}, {policy}: {why}."
        for name, each in told.policies.items()
        for policy, figures in each.items()
        for why in reasons(figures, _POLICY)
    ]
    return (
        f"{told.marked} of {counted(told.photographs, 'photograph')} {are} ungradable.{rest} The others: {told.point}."
        f"{''.join(lost)}"
    )


def _subgroups(one: DiseaseReading, column: str) -> Grid:
    rows = []
    for group in (group for group in one.subgroups if group.column == column):
        units = told_units(group.units, group.unit)
        size = f"{counted(group.photographs, 'photograph')}, {units}, {group.positive} positive"
        rows.append((group.value, [size, *cells(group.figures, _SUBGROUP), group.warning]))
    return Grid(["counted on", *_SUBGROUP.values(), "too small to say anything"], rows)


def _told(metric: Mapping[str, Any]) -> str:
    """Value and interval, and why it is undefined where it is."""
    note = str(metric.get("note") or "").removeprefix("undefined: ")
    return interval(metric) if known(metric["value"]) or not note else f"undefined ({note})"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""
