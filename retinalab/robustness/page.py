"""The page of a run's robustness: agreement with itself, figures by severity, what the faults look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retinalab.counted import counted
from retinalab.metrics.measure import Metric
from retinalab.protocol import Scale
from retinalab.report.chart import Axis, Chart, Curve, Dot, chart
from retinalab.report.numbers import interval, known
from retinalab.report.render import write_page
from retinalab.robustness.conditions import COLOURS, FLIP, ORIGINAL, VIEWS, Shown
from retinalab.robustness.corruptions import CORRUPTIONS, SEVERITIES
from retinalab.robustness.sheet import contact_sheet
from retinalab.units import counted_units

__all__ = ["WORDS", "RobustnessPage", "lacking", "severities_of", "write_robustness_page"]

WORDS: Mapping[str, str] = {
    VIEWS: "another photograph of the eye",
    FLIP: "mirrored left to right",
    COLOURS: "colours of another patient",
}
"""What is held against the photograph as it is, in words."""

_FIGURES = {
    "self_kappa": "kappa with itself", "unchanged": "grades unchanged", "score_change": "change of the score",
    "kappa": "kappa", "accuracy": "accuracy", "auc_referable": "AUC",
}  # fmt: skip
_SERIES = ((0, "kappa"), (1, "AUC, referable"))


@dataclass(frozen=True)
class RobustnessPage:
    """What the page shows.

    Attributes:
        title: of the page.
        about: term and text.
        banners: what the figures must be read with.
        unit: what intervals resample.
        scales: disease -> scale.
        regressed: diseases whose severity is one number.
        metrics: from :func:`retinalab.robustness.agreement.evaluate_robustness`.
        sheet: the photograph on which faults are shown.
        seed: of what is drawn on it.
    """

    title: str
    about: Sequence[tuple[str, str]]
    banners: Sequence[tuple[str, str]]
    unit: str
    scales: Mapping[str, Scale]
    regressed: frozenset[str]
    metrics: Mapping[str, Metric]
    sheet: Shown
    seed: int


def write_robustness_page(page: RobustnessPage, target: Path) -> Path:
    """Write the page: one file, no script, no request to any network."""
    tested = {fault for disease in page.scales for fault in severities_of(page.metrics, disease)}
    context = {
        "title": page.title,
        "about": list(page.about),
        "banners": list(page.banners),
        "unit": page.unit,
        "diseases": [_disease(page, disease, scale) for disease, scale in page.scales.items()],
        "sheet_of": page.sheet.name,
        "sheet": contact_sheet(page.sheet, tested, page.seed),
    }
    return write_page("robustness.html", context, target)


def severities_of(metrics: Mapping[str, Metric], disease: str) -> dict[str, list[int]]:
    """Fault -> the severities that were tested, faults in the order in which they are listed."""
    keys = (key.split("/") for key in metrics)
    found = {(name, int(level)) for mine, name, level, *_ in keys if mine == disease and name in CORRUPTIONS}
    return {
        name: sorted(level for one, level in found if one == name)
        for name in CORRUPTIONS
        if any(one == name for one, _ in found)
    }


def lacking(metrics: Mapping[str, Metric], disease: str) -> list[str]:
    """Why figures of a disease are undefined or have no interval: a line for each reason.

    Example:
        >>> lost = Metric(value=None, low=None, high=None, n=4, n_groups=1, note="undefined: needs both sides")
        >>> lacking({"dr/flip/0/auc_referable": lost, "dr/jpeg/2/auc_referable": lost}, "dr")
        ['AUC undefined: needs both sides']
    """
    found: dict[str, dict[str, None]] = {}
    for key, metric in metrics.items():
        mine, *_, figure = key.split("/")
        name, note = _FIGURES.get(figure.removesuffix("_change")), metric.get("note", "")
        whole = metric["value"] is not None and metric["low"] is not None
        if mine == disease and name and note and not whole:
            why = "no interval: undefined in most resamples" if "resamples" in note else note
            found.setdefault(why, {})[name] = None
    return [
        f"{', '.join(names)}{'' if why.startswith('undefined') else ':'} {why}"
        for why, names in found.items()
    ]


def _disease(page: RobustnessPage, disease: str, scale: Scale) -> dict[str, Any]:
    metrics, faults = page.metrics, severities_of(page.metrics, disease)
    referable = f"{scale.referable} and above"
    figures = [("kappa", "Quadratic kappa"), ("auc_referable", f"AUC for referable disease ({referable})")]
    grades = [(f"sensitivity_{k}", f"Grade {k}, {level}") for k, level in enumerate(scale.levels)]
    return {
        "name": disease.upper(),
        "anchor": disease,
        "self": _self_table(page, disease),
        "views": _views_line(page, disease),
        "reference": _reference_table(page, disease),
        "charts": _charts(metrics, disease, faults),
        "tables": [_by_severity(metrics, disease, faults, name, title) for name, title in figures],
        "kept": [
            _by_severity(metrics, disease, faults, "unchanged", "Share of grades that stay the same"),
            _by_severity(metrics, disease, faults, "accuracy", "Accuracy"),
        ],
        "grades": [_by_severity(metrics, disease, faults, name, title) for name, title in grades],
        "faults": bool(faults),
        "known": _known(metrics, f"{disease}/{ORIGINAL}/0/accuracy"),
        "lacking": lacking(metrics, disease),
    }


def _known(metrics: Mapping[str, Metric], key: str) -> bool:
    return key in metrics and known(metrics[key]["value"])


def _self_table(page: RobustnessPage, disease: str) -> dict[str, Any]:
    change = "mean change of the severity" if disease in page.regressed else "mean change of P(referable)"
    columns = ["kappa with itself", "grades unchanged", change, "counted on"]
    rows = []
    for name, words in WORDS.items():
        found = [
            page.metrics.get(f"{disease}/{name}/0/{one}")
            for one in ("self_kappa", "unchanged", "score_change")
        ]
        if found[0] is not None:
            size = counted(found[0]["n"], "pair" if name == VIEWS else "photograph")
            units = counted_units(found[0]["n_groups"], page.unit)
            rows.append((words, [*map(_cell, found), f"{size}, {units}"]))
    return {"columns": columns, "rows": rows}


def _cell(metric: Metric | None) -> str:
    if metric is None or not known(metric["value"]):
        return "undefined"
    return interval(metric)


def _views_line(page: RobustnessPage, disease: str) -> str:
    one = page.metrics.get(f"{disease}/{VIEWS}/0/reference_unchanged")
    if one is None or not known(one["value"]):
        return ""
    return f"The reference itself is the same for {100 * (one['value'] or 0):.0f} % of the pairs."


def _reference_table(page: RobustnessPage, disease: str) -> dict[str, Any]:
    columns = [
        "kappa",
        "change of kappa",
        "accuracy",
        "change of accuracy",
        "AUC, referable",
        "change of AUC",
    ]
    names = ("kappa", "kappa_change", "accuracy", "accuracy_change", "auc_referable", "auc_referable_change")
    rows = []
    for name, words in {ORIGINAL: "as it is", FLIP: WORDS[FLIP], COLOURS: WORDS[COLOURS]}.items():
        found = [page.metrics.get(f"{disease}/{name}/0/{one}") for one in names]
        if found[0] is not None:
            cells = ["" if one is None else _cell(one) for one in found]
            rows.append((words, cells))
    return {"columns": columns, "rows": rows}


def _by_severity(
    metrics: Mapping[str, Metric], disease: str, faults: Mapping[str, Sequence[int]], name: str, title: str
) -> dict[str, Any]:
    levels = sorted({level for several in faults.values() for level in several})
    whole = name != "unchanged"
    before = metrics.get(f"{disease}/{ORIGINAL}/0/{name}")
    rows = []
    for fault, several in faults.items():
        cells = [_cell(before)] if whole else []
        for level in levels:
            cells.append(_cell(metrics.get(f"{disease}/{fault}/{level}/{name}")) if level in several else "")
        rows.append((fault, cells))
    columns = [*(["as it is"] if whole else []), *(f"severity {level}" for level in levels)]
    return {"title": title, "columns": columns, "rows": rows}


def _charts(metrics: Mapping[str, Metric], disease: str, faults: Mapping[str, Sequence[int]]) -> list[Chart]:
    """A chart for each fault: kappa with its interval and every seed, and the AUC, over severity; one scale for all."""
    if not _known(metrics, f"{disease}/{ORIGINAL}/0/kappa"):
        return []
    curves = {fault: _curves(metrics, disease, fault, several) for fault, several in faults.items()}
    values = [0.0, 1.0]
    for lines, dots in curves.values():
        values += [float(y) for line in lines for y in line.y]
        values += [bound for dot in dots for bound in (dot.low, dot.high) if bound is not None]
    y = Axis.over(values, "")
    x = Axis("severity", -0.2, SEVERITIES[-1] + 0.2, (0.0, *map(float, SEVERITIES)),
             tuple(map(str, (0, *SEVERITIES))))  # fmt: skip
    return [
        chart(
            fault, x, y, lines, dots, legend=_SERIES, caption=f"{CORRUPTIONS[fault].imitates.capitalize()}."
        )
        for fault, (lines, dots) in curves.items()
    ]


def _curves(
    metrics: Mapping[str, Metric], disease: str, fault: str, levels: Sequence[int]
) -> tuple[list[Curve], list[Dot]]:
    steps = np.array([0, *levels], np.float64)
    places = [f"{disease}/{ORIGINAL}/0", *(f"{disease}/{fault}/{level}" for level in levels)]
    kappas = [metrics[f"{place}/kappa"] for place in places]
    areas = [metrics[f"{place}/auc_referable"] for place in places]
    lines = [
        Curve(
            steps, _numbers([each[seed] for each in (one.get("seeds", []) for one in kappas)]), 0, faint=True
        )
        for seed in range(min(len(one.get("seeds", [])) for one in kappas))
    ]
    lines += [Curve(steps, _numbers([one["value"] for one in kappas]), 0)]
    lines += [Curve(steps, _numbers([one["value"] for one in areas]), 1)]
    dots = [
        Dot(float(step), float(one["value"]), 0, one["low"], one["high"])
        for step, one in zip(steps, kappas, strict=True)
        if one["value"] is not None
    ]
    return lines, dots


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)
