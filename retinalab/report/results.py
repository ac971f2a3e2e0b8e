"""Tables of the report: headline results beside baselines, every metric, confusion matrices, lesions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retinalab.counted import counted
from retinalab.metrics.baselines import BASELINES, figure_beside
from retinalab.metrics.grading import confusion_matrix, unacceptable_errors
from retinalab.metrics.measure import errors_text
from retinalab.protocol import Scale
from retinalab.report.folder import RunFolder
from retinalab.report.numbers import interval, known, number
from retinalab.units import few_units, told_units, unit_of

__all__ = [
    "Confusion",
    "Grid",
    "Headline",
    "confusion",
    "confusions",
    "few_intervals",
    "headlines",
    "metric_rows",
    "side_by_side",
    "tested_unit",
    "trained_sets",
]

_MEASURES = {
    "kappa": "quadratic weighted kappa",
    "auc_referable": "AUC, referable",
    "accuracy": "accuracy",
}
_BESIDE = _MEASURES | {"auc": "AUC", "unacceptable": "unacceptable errors"}


@dataclass(frozen=True)
class Headline:
    """One result with its interval, and what stands beside it.

    Attributes:
        strip: low, value and high for drawing, clipped to [0, 1]; None where the figure is undefined.
        baselines: name -> (text, position against the interval, or why it is undefined); text "" where none
            was measured.
    """

    key: str
    target: str
    measure: str
    text: str
    note: str
    counted: str
    strip: tuple[float, float, float] | None
    marks: list[tuple[str, float]]
    baselines: dict[str, tuple[str, str]]


def headlines(run: RunFolder, prefix: str) -> list[Headline]:
    """Kappa, AUC and accuracy per disease, joint accuracy, mean lesion F1, patch accuracy, where measured."""
    wanted: list[tuple[str, str, str]] = []
    for disease, scale in run.scales.items():
        measures = dict(_MEASURES)
        if f"{prefix}/{disease}/kappa" not in run.metrics:
            measures = {"kappa_unweighted": "unweighted kappa"} | measures
        if scale.size == 2:
            measures["auc"] = "AUC"
        wanted += [(disease, name, label) for name, label in measures.items()]
    wanted.append(("joint", "accuracy", "accuracy (all diseases right)"))
    wanted.append(("lesion/mean", "f1", "pixel F1, mean over lesions"))
    wanted.append(("windows", "accuracy", "accuracy"))
    return [
        _headline(run, prefix, target, name, label)
        for target, name, label in wanted
        if f"{prefix}/{target}/{name}" in run.metrics
    ]


def metric_rows(run: RunFolder) -> dict[str, list[dict[str, str]]]:
    """Every entry of ``metrics.json`` as printed, by prefix, test before validation."""
    out: dict[str, list[dict[str, str]]] = {}
    for key, metric in run.metrics.items():
        prefix, _, name = key.partition("/")
        seeds = metric.get("seeds")
        spread = f"{number(metric.get('sd_seeds'))} over {len(seeds)} seeds" if seeds else ""
        note = "; ".join(
            filter(None, [spread and f"standard deviation {spread}", str(metric.get("note") or "")])
        )
        n, groups = metric.get("n", ""), metric.get("n_groups", "")
        out.setdefault(prefix, []).append(
            {
                "key": key,
                "name": name,
                "text": interval(metric),
                "n": str(n),
                "groups": str(groups),
                "note": note,
            }
        )
    return dict(sorted(out.items(), key=lambda item: not item[0].startswith("test")))


def few_intervals(run: RunFolder, prefix: str) -> str:
    """Why the intervals of a test set say little, where it has few patients; "" where it has enough."""
    rows = run.rows(prefix)
    return few_units(int(rows["group"].nunique()), tested_unit(run, prefix)) if len(rows) else ""


def tested_unit(run: RunFolder, prefix: str) -> str:
    """What counts as independent in a test set (:func:`retinalab.units.unit_of`)."""
    patients = run.rows(prefix)["patient"]
    return unit_of(patients) if len(patients) else "independent units"


@dataclass(frozen=True)
class Confusion:
    """Counts and row shares of one scale.

    Attributes:
        rows: reference grade, (count, share of the row or None) per predicted grade, and the row's total.
        levels: the grades in words.
        unacceptable: reference and predicted grade of the cells that are unacceptable errors.
        errors: those errors in words; "" where the scale knows none.
    """

    title: str
    levels: list[str]
    rows: list[tuple[int, list[tuple[int, float | None]], int]]
    unacceptable: frozenset[tuple[int, int]] = frozenset()
    errors: str = ""


def confusions(run: RunFolder, prefix: str) -> list[Confusion]:
    """A matrix per disease, of the first seed's predictions."""
    out = []
    for disease in run.diseases:
        rows, scale = run.rows(prefix, disease), run.scales[disease]
        rows = rows[rows["seed"] == rows["seed"].min()]
        if len(rows):
            counts = confusion_matrix(rows[disease], rows[f"{disease}_grade"], scale.size)
            share = run.metrics.get(f"{prefix}/{disease}/unacceptable")
            out.append(confusion(disease.upper(), list(scale.levels), counts, scale, share))
    return out


@dataclass(frozen=True)
class Grid:
    """A table of intervals: a row per lesion or test set, a column per measure."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]


def side_by_side(run: RunFolder) -> Grid | None:
    """Every test set's headline figures, the sets trained on first; None where there is one set only.

    Reference: CLPI, Table VI.
    """
    if len(run.tested) < 2:
        return None
    names = {
        f"{disease}/{name}": f"{disease.upper()} {_BESIDE[name]}"
        for disease in run.scales
        for name in _BESIDE
    }
    names["joint/accuracy"] = "joint accuracy"
    shown = {
        name: label for name, label in names.items()
        if any(f"{prefix}/{name}" in run.metrics for prefix in run.tested)
        and not (name.endswith("/auc") and f"{run.tested[0]}/{name}_referable" in run.metrics)
    }  # fmt: skip
    trained = trained_sets(run)
    rows = []
    for prefix in sorted(run.tested, key=lambda one: "@" in one and run.set_of(one) not in trained):
        found = [run.metrics.get(f"{prefix}/{name}") for name in shown]
        name = run.set_of(prefix)
        label = f"{name} (trained on)" if "@" not in prefix or name in trained else name
        counted = max((int(metric.get("n", 0)) for metric in found if metric), default=0)
        rows.append((label, [*(interval(metric) if metric else "–" for metric in found), str(counted)]))
    return Grid([*shown.values(), "photographs"], rows)


def _headline(run: RunFolder, prefix: str, target: str, name: str, label: str) -> Headline:
    key = f"{prefix}/{target}/{name}"
    metric = run.metrics[key]
    low, value, high = (metric.get(field) for field in ("low", "value", "high"))
    marks, beside = [], {}
    for baseline in BASELINES:
        other = figure_beside(run.metrics, key, baseline)
        beside[baseline] = (interval(other), _position(other, metric)) if other else ("", "")
        if other and known(other.get("value")):
            marks.append((baseline, _clip(other["value"])))
    strip = None
    if known(value):
        strip = (_clip(low if known(low) else value), _clip(value), _clip(high if known(high) else value))
    words = {"joint": "Joint", "lesion/mean": "Lesions", "windows": "Patches"}
    return Headline(
        key, words.get(target, target.upper()), label, interval(metric), str(metric.get("note") or ""),
        _counted(metric, target, tested_unit(run, prefix)), strip, marks, beside,
    )  # fmt: skip


def _position(other: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    value, low, high = other.get("value"), metric.get("low"), metric.get("high")
    if not known(value):
        return str(other.get("note") or "")
    if not (known(low) and known(high)):
        return ""
    if value < low:  # type: ignore[operator]
        return "below the interval"
    return "above the interval" if value > high else "inside the interval"  # type: ignore[operator]


def _counted(metric: Mapping[str, Any], target: str, unit: str) -> str:
    things = ("patch", "patches") if target == "windows" else ("photograph", "photographs")
    text = counted(metric["n"], *things) if "n" in metric else f"? {things[1]}"
    if "n_groups" not in metric:
        return text
    return f"{text}, {told_units(metric['n_groups'], unit)}"


def trained_sets(run: RunFolder) -> set[str]:
    """The sets of every mixture that a stage trained on."""
    stages = run.experiment.get("stages")
    data = [stage.get("data") or {} for stage in (stages or {}).values() if isinstance(stage, Mapping)]
    mixtures = [section.get("mix") or {} for section in data]
    return {
        str(name) for mix in mixtures for name in (mix.get("sets", ()) if isinstance(mix, Mapping) else mix)
    }


def confusion(
    title: str,
    levels: Sequence[str],
    counts: npt.NDArray[np.float64],
    scale: Scale | None = None,
    share: Mapping[str, Any] | None = None,
) -> Confusion:
    """Counts as a matrix with the shares of its rows, and its unacceptable errors where the scale knows any."""
    rows = []
    for grade, row in enumerate(counts.astype(int)):
        total = int(row.sum())
        rows.append((grade, [(int(c), int(c) / total if total else None) for c in row], total))
    if scale is None or scale.unacceptable is None:
        return Confusion(title, list(levels), rows)
    low, high = scale.unacceptable
    corners = [(a, b) for a in range(low + 1) for b in range(high, scale.size)]
    ways = {way: int(count) for way, count in unacceptable_errors(counts, scale).items()}
    text = errors_text(ways, int(counts.sum()))
    if share is not None:
        seeds = f", mean of {len(share['seeds'])} seeds" if share.get("seeds") else ""
        text = f"{text}; share {interval(share)}{seeds}"
    return Confusion(
        title,
        list(levels),
        rows,
        frozenset([*corners, *((b, a) for a, b in corners)]),
        f"{text[0].upper()}{text[1:]}.",
    )


def _clip(value: Any) -> float:
    return min(1.0, max(0.0, float(value)))
