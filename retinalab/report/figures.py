"""The curves of a run: ROC and reliability for referable disease, and what each stage logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from retinalab.metrics.operating import disease_score
from retinalab.protocol import Scale
from retinalab.report.chart import Axis, Chart, Curve, Dot, Mark, chart, unit_axis
from retinalab.report.folder import History
from retinalab.report.numbers import interval
from retinalab.report.operating import OperatingPoint
from retinalab.report.readers import Reading, targets

__all__ = ["StageCurves", "learning_curves", "reliability", "roc"]

_BINS, _FEWEST = 10, 10
_FIRST = ("loss", "kappa", "accuracy", "auc_referable", "auc", "f1")
_SHOWN = 4
_COLOURS = 6


def roc(
    rows: pd.DataFrame,
    disease: str,
    scale: Scale,
    metric: Mapping[str, Any] | None,
    readings: Sequence[Reading] = (),
    target: str | None = None,
    points: Sequence[OperatingPoint] = (),
) -> Chart | None:
    """ROC for referable disease, a line per seed; the dots are the operating points of the predicted grades.

    Reference: CLPI, Fig. 5 (readers' operating points on the network's curve).

    Args:
        rows: predictions whose reference is known.
        metric: the area with its interval, as ``metrics.json`` holds it; None where it does not.
        readings: readers' operating points for this disease, target and test set.
        target: what counts as positive, of :func:`retinalab.report.readers.targets`; None: its first.
        points: whose thresholds validation chose, for the same target.

    Returns:
        None where the references lie on one side only.
    """
    choices = targets(scale)
    target = target or next(iter(choices))
    lowest = choices[target]
    positive = rows[disease].to_numpy() >= lowest
    if not len(rows) or positive.all() or not positive.any():
        return None
    score, predicted = disease_score(rows, disease, lowest), rows[f"{disease}_grade"].to_numpy() >= lowest
    seeds = rows["seed"].to_numpy()
    curves, dots = [], []
    for seed in np.unique(seeds):
        one = seeds == seed
        if positive[one].all() or not positive[one].any():
            continue
        false, true, _ = roc_curve(positive[one], score[one])
        curves.append(Curve(false, true, 0, faint=len(np.unique(seeds)) > 1))
        sick, well = one & positive, one & ~positive
        dots.append(Dot(float(predicted[well].mean()), float(predicted[sick].mean()), 1))
    area = f"AUC {interval(metric)}. " if metric else ""
    lines = "One line per seed. " if len(curves) > 1 else ""
    names = list(dict.fromkeys(one.reader for one in readings))
    marks = [Mark(*place, k) for k, point in enumerate(points) for place in point.places]
    marks += [
        Mark(1 - one.specificity, one.sensitivity, len(points) + names.index(one.reader)) for one in readings
    ]
    return chart(
        f"{disease.upper()}: {target} (grade ≥ {lowest})",
        unit_axis("1 − specificity"), unit_axis("sensitivity"), curves, dots, square=True,
        marks=marks, mark_legend=list(enumerate([*(point.text for point in points), *names])),
        caption=f"{area}{lines}The dot is where the predicted grades lie.",
    )  # fmt: skip


def reliability(rows: pd.DataFrame, disease: str, scale: Scale) -> Chart | None:
    """Observed share of referable disease against its predicted probability, in bins of equal size.

    Args:
        rows: predictions of one seed whose reference is known.

    Returns:
        None for a regression, whose score is no probability, and for fewer than twenty photographs.
    """
    if f"{disease}_score" in rows or len(rows) < 2 * _FEWEST:
        return None
    score = disease_score(rows, disease, scale.referable)
    positive = rows[disease].to_numpy() >= scale.referable
    dots = []
    for members in np.array_split(np.argsort(score, kind="stable"), min(_BINS, len(rows) // _FEWEST)):
        share = binomtest(int(positive[members].sum()), len(members)).proportion_ci(method="wilson")
        at = min(1.0, float(score[members].mean()))
        dots.append(Dot(at, float(positive[members].mean()), 0, float(share.low), float(share.high)))
    line = Curve(np.array([d.x for d in dots]), np.array([d.y for d in dots]), 0, faint=True)
    return chart(
        f"{disease.upper()}: reliability for referable",
        unit_axis("predicted probability"), unit_axis("observed share"), [line], dots, square=True,
        caption=f"{len(dots)} bins of about {len(rows) // len(dots)} photographs; whiskers: 95 % Wilson "
        "intervals that take photographs as independent.",
    )  # fmt: skip


@dataclass(frozen=True)
class StageCurves:
    """The charts of one stage: the first few, and the rest to be unfolded."""

    stage: str
    children: int
    first: list[Chart]
    more: list[Chart]


def learning_curves(history: Sequence[History]) -> list[StageCurves]:
    """One chart per figure that a stage logged (loss, kappa, ...), its parts and diseases as lines.

    Folds and seeds of a stage are drawn as faint lines of one colour.
    """
    out = []
    for stage in dict.fromkeys(one.stage for one in history):
        runs = [one.table for one in history if one.stage == stage]
        columns = dict.fromkeys(column for table in runs for column in table.columns)
        logged = [c for c in columns if c not in ("epoch", "step") and any(_numeric(t, c) for t in runs)]
        names = dict.fromkeys(_figure(column) for column in logged)
        ordered = sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
        charts = [
            _history_chart(title, columns, runs)
            for name in ordered
            for title, columns in _told_apart(name, [c for c in logged if _figure(c) == name])
        ]
        if charts:
            out.append(StageCurves(stage, len(runs), charts[:_SHOWN], charts[_SHOWN:]))
    return out


def _told_apart(name: str, columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Titles and columns of the charts of one figure, none with more lines than there are colours."""
    count = -(-len(columns) // _COLOURS)
    size = -(-len(columns) // count)
    pieces = [list(columns[k : k + size]) for k in range(0, len(columns), size)]
    return [(f"{name}, {k + 1} of {count}" if count > 1 else name, one) for k, one in enumerate(pieces)]


def _history_chart(name: str, columns: Sequence[str], runs: Sequence[pd.DataFrame]) -> Chart:
    clock = "epoch" if any("epoch" in table for table in runs) else "step"
    curves = []
    for series, column in enumerate(columns):
        for table in runs:
            if column not in table:
                continue
            known = table[table[column].notna()]
            x = known[clock] if clock in known else pd.Series(np.arange(len(known)), index=known.index)
            curves.append(
                Curve(x.to_numpy(np.float64), known[column].to_numpy(np.float64), series, faint=len(runs) > 1)
            )
    return chart(
        name,
        Axis.over((value for curve in curves for value in curve.x), clock, whole=True),
        Axis.over((value for curve in curves for value in curve.y), name),
        curves,
        legend=list(enumerate(columns)),
    )


def _figure(column: str) -> str:
    name = column.rsplit("/", 1)[-1]
    return name.removesuffix("_epoch").removesuffix("_step")


def _numeric(table: pd.DataFrame, column: str) -> bool:
    return (
        column in table and pd.api.types.is_numeric_dtype(table[column]) and bool(table[column].notna().any())
    )
