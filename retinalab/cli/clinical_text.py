"""The clinical reading in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retinalab.counted import counted
from retinalab.units import PHOTOGRAPHS, counted_units

if TYPE_CHECKING:
    from retinalab.metrics.clinical import ClinicalReading
    from retinalab.metrics.clinical.result import (
        Calibration,
        DiseaseReading,
        Point,
        Rules,
        Subgroup,
        TargetReading,
        Ungradable,
    )

__all__ = ["clinical_lines"]

_WIDTH, _LABEL, _CELL, _WIDE = 80, 17, 21, 30
_CALIBRATION = {"intercept": "intercept", "slope": "slope", "brier": "Brier score", "ece": "adaptive ECE"}
_OWN = {
    "sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV", "referrals": "referrals",
}  # fmt: skip
_LISTED = 10


def clinical_lines(reading: ClinicalReading) -> Iterator[str]:
    """The reading, line by line."""
    options = reading.options
    yield from _wrapped(
        f"Stated prevalence {options['prevalence']:g} ({options['prevalence_source']}). Intervals: 95 %, of another "
        "sample of patients at the same thresholds and temperatures; one of a single value says that all resamples "
        "agreed, not that it is certain."
        + (f" Means over {reading.seeds} seeds." if reading.seeds > 1 else "")
    )
    for note in reading.notes:
        yield from _wrapped(f"! {note}", "  ")
    for one in reading.sets:
        yield ""
        units = "" if one.unit == PHOTOGRAPHS else f" of {counted_units(one.units, one.unit)}"
        patients = ", patients unknown" if one.unit == PHOTOGRAPHS else ""
        yield from _wrapped(
            f"{one.prefix}: {one.set or 'photographs'}, {counted(one.photographs, 'photograph')}{units}{patients}"
        )
        for disease in one.diseases:
            yield from _disease(disease, options)
    for disease_name, groups in reading.by_set.items():
        yield from ("", f"{disease_name.upper()} by test set")
        yield from _subgroups(groups)


def _disease(one: DiseaseReading, options: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"{one.disease.upper()} on {one.scale}, {counted(one.photographs, 'photograph')} graded")
    for name, words in (
        ("kappa", "quadratic kappa"), ("kappa_unweighted", "unweighted kappa"), ("accuracy", "accuracy"),
        ("unacceptable", "unacceptable errors"),
    ):  # fmt: skip
        if name in one.graded and not (name == "kappa_unweighted" and "kappa" in one.graded):
            metric = one.graded[name]
            ways = "; ".join(f"{way}: {count}" for way, count in metric.get("counts", {}).items())
            said = f" ({ways})" if ways else _why(metric)
            yield from _wrapped(f"  {words} {value(metric)}{said}", "    ")
    for target in one.targets:
        yield from _target(target, one, options)
    yield from _missing_eye(one)
    yield from _ungradable(one.ungradable)
    yield from _rules(one)
    if one.subgroups:
        yield from ("", f"  Subgroups: {one.targets[0].name}, at {one.point}")
        yield from _subgroups(one.subgroups)


def _target(target: TargetReading, one: DiseaseReading, options: Mapping[str, Any]) -> Iterator[str]:
    share = f"{target.positive} of {counted(target.photographs, 'photograph')}"
    yield ""
    yield f"  {target.name.capitalize()} (grade {target.lowest} and above): {share}"
    if target.auc is not None:
        yield from _wrapped(f"  AUC {value(target.auc)}{_why(target.auc)}", "    ")
    own = target.positive / target.photographs
    yield from _points(target.points, own, options, "photographs")
    eye = one.worse_eye
    if target.name in eye.points:
        share_of = eye.positive[target.name] / eye.patients
        yield from _points(
            eye.points[target.name], share_of, options, f"worse eye, {counted(eye.patients, 'patient')}"
        )
    yield from _calibration(target.calibration)


def _points(points: Sequence[Point], own: float, options: Mapping[str, Any], over: str) -> Iterator[str]:
    from retinalab.metrics.clinical.undefined import reasons

    chosen = [point for point in points if not point.missing]
    yield ""
    if len(over) > _LABEL - 2:
        yield f"  {over}"
        over = ""
    yield _row(over, [_heading(point) for point in chosen])
    for rate in ("sensitivity", "specificity"):
        cells = [f"{point.validation[rate]:.3f}" if point.validation else "" for point in chosen]
        if any(cells):
            yield _row(f"on val. {rate[:4]}.", cells)
    for rate in ("sensitivity", "specificity"):
        yield _row(rate, [value(point.figures[rate]) for point in chosen])
    for suffix, prevalence in (
        ("", f"{own:.2f}, its own"),
        ("_stated", f"{options['prevalence']:g}, stated"),
    ):
        yield f"  at prevalence {prevalence}"
        for name, words in (("ppv", "PPV"), ("npv", "NPV")):
            yield _row(f" {words}", [value(point.figures[name + suffix]) for point in chosen])
        yield _row(" referred/1000", [value(point.figures["referrals" + suffix], 0) for point in chosen])
    at = f" at {options['prevalence']:g}"
    called = _OWN | {f"{name}_stated": f"{_OWN[name]}{at}" for name in ("ppv", "npv", "referrals")}
    for point in points:
        for doubt in filter(None, [point.missing or point.note, *reasons(point.figures, called)]):
            yield from _wrapped(f"  ! {point.text}: {doubt}", "    ")


def _heading(point: Point) -> str:
    return {"grade": point.text.replace("predicted grade", "grade").replace(" or above", "+")}.get(
        point.name, point.text.replace(" on validation", " val.")
    )


def _calibration(one: Calibration) -> Iterator[str]:
    from retinalab.metrics.clinical.undefined import reasons

    yield ""
    if one.missing:
        yield from _wrapped(f"  Calibration {one.missing}", "    ")
        return
    scaled = [one.before, one.after] if one.after else [one.before]
    yield _row("calibration", ["as predicted", "after temperature scaling"][: len(scaled)], _WIDE)
    for name, words in _CALIBRATION.items():
        yield _row(words, [value(metrics[name]) for metrics in scaled], _WIDE)
    for when, metrics in (("", one.before), (" after scaling", one.after)):
        for why in reasons(metrics, _CALIBRATION):
            yield from _wrapped(f"  ! {why}{when}", "    ")
    if one.temperatures:
        hot = ", ".join(f"{t:.2f}" for t in one.temperatures)
        yield from _wrapped(
            f"  temperature {hot}, fitted on validation{'; ' * bool(one.note)}{one.note}", "    "
        )
    if one.missing_after:
        yield from _wrapped(f"  ! no temperature: {one.missing_after}", "    ")


def _missing_eye(one: DiseaseReading) -> Iterator[str]:
    eye = one.worse_eye
    yield ""
    if eye.missing:
        yield from _wrapped(f"  Worse eye: {eye.missing}", "    ")
        return
    text = f"  Worse eye per patient: {counted(eye.patients, 'patient')}"
    if "kappa" in eye.figures:
        text += f", quadratic kappa {value(eye.figures['kappa'])}{_why(eye.figures['kappa'])}"
    text += f", accuracy {value(eye.figures['accuracy'])}"
    if eye.left_out:
        unknown = counted(eye.left_out, "photograph of an unknown patient", "photographs of unknown patients")
        text += f"; {unknown} left out"
    yield from _wrapped(text, "    ")


def _ungradable(one: Ungradable) -> Iterator[str]:
    from retinalab.metrics.clinical.undefined import reasons

    yield ""
    if one.missing:
        yield from _wrapped(f"  Ungradable: {one.missing}", "    ")
        return
    without = one.marked - one.known
    count = "counts" if without == 1 else "count"
    rest = f"; {without} without a reference grade {count} for referrals alone" if without else ""
    yield from _wrapped(
        f"  Ungradable: {one.marked} of {counted(one.photographs, 'photograph')}{rest}; the others at {one.point}",
        "    ",
    )
    short = {
        "left out": "left out",
        "counted as referred": "referred",
        "as the network grades them": "as graded",
    }
    for target, policies in one.policies.items():
        yield f"  {target}"
        yield _row("", [short[name] for name in policies])
        for name, words, digits in (
            ("sensitivity", "sensitivity", 3), ("specificity", "specificity", 3), ("ppv", "PPV", 3),
            ("npv", "NPV", 3), ("referrals", "referred/1000", 0),
        ):  # fmt: skip
            yield _row(f" {words}", [value(figures[name], digits) for figures in policies.values()])
        for policy, figures in policies.items():
            for why in reasons(figures, _OWN):
                yield from _wrapped(f"  ! {short[policy]}: {why}", "    ")


def _rules(one: DiseaseReading) -> Iterator[str]:
    yield ""
    if one.rules_missing:
        yield from _wrapped(f"  Lesions against grades: {one.rules_missing}", "    ")
        return
    yield "  Lesions against grades: photographs whose grade the lesions do not allow"
    for rules in one.rules:
        share, seeds = (
            rules.share,
            "" if len(rules.share["below"].get("seeds", [])) < 2 else " of the first seed",
        )
        who = "network's grade" if rules.judged == "network" else "reference"
        count = f"{len(rules.listed)} of {rules.photographs}{seeds}"
        told = [f"{name} {value(share[name])}" for name in ("below", "above") if share[name]["value"]]
        told = [f"share {value(share['contradicted'])}", *told] if told else []
        yield from _wrapped(f"  {who}, lesions {rules.lesions}: {', '.join([count, *told])}", "    ")
        yield from _listed(rules)


def _listed(rules: Rules) -> Iterator[str]:
    for one in rules.listed[:_LISTED]:
        allowed = f"{one.low}" if one.low == one.high else f"{one.low}-{one.high}"
        reference = "unknown" if one.reference < 0 else str(one.reference)
        beside = f", reference {reference}" if rules.judged == "network" else ""
        lesions = " ".join(one.lesions) or "no lesion"
        yield from _wrapped(
            f"    {one.image}: grade {one.grade}{beside}, allowed {allowed} ({lesions})", "      "
        )
    if len(rules.listed) > _LISTED:
        yield f"    and {len(rules.listed) - _LISTED} more (--json FILE holds all)"


def _subgroups(groups: Sequence[Subgroup]) -> Iterator[str]:
    shown = {"auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity"}
    for column in dict.fromkeys(one.column for one in groups):
        yield f"  by {column}"
        yield _row("", list(shown.values()))
        for one in (one for one in groups if one.column == column):
            cells = [value(one.figures[name]) if name in one.figures else "" for name in shown]
            name = f" {one.value}"
            if len(name) > _LABEL - 3:
                yield from _wrapped(f"  {name}", "     ")
                name = ""
            yield _row(name, cells)
            units = "" if one.unit == PHOTOGRAPHS else f", {counted_units(one.units, one.unit)}"
            warned = f"  ! {one.warning}" if one.warning else ""
            yield from _wrapped(
                f"     {counted(one.photographs, 'photograph')}{units}, {one.positive} positive{warned}",
                "       ",
            )


def _row(label: str, cells: Sequence[str], cell_width: int = _CELL) -> str:
    """A label of at most fifteen characters and cells of one width."""
    return f"  {label:{_LABEL - 2}s}{''.join(f'{cell:<{cell_width}s}' for cell in cells)}".rstrip()


def value(metric: Mapping[str, Any], digits: int = 3) -> str:
    """Value and interval; a word where it is undefined."""
    if metric["value"] is None:
        return "undefined"
    text = f"{metric['value']:z.{digits}f}"
    return (
        text
        if metric["low"] is None
        else f"{text} [{metric['low']:z.{digits}f}, {metric['high']:z.{digits}f}]"
    )


def _wrapped(text: str, indent: str = "") -> list[str]:
    lead = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent or lead, break_long_words=True) or [""]


def _why(metric: Mapping[str, Any]) -> str:
    """Why a figure is undefined, in brackets; "" where it is not."""
    note = str(metric.get("note") or "").removeprefix("undefined: ")
    return f" ({note})" if metric["value"] is None and note else ""
