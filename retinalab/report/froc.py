"""Sensitivity for lesions against false findings: the curves of a test set, and the table read from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from retinalab.metrics.froc import FALSE_RATES, counts_at, operating_points, photograph_shares
from retinalab.records import LESIONS
from retinalab.report.chart import Axis, Chart, Curve, chart, unit_axis
from retinalab.report.folder import RunFolder
from retinalab.report.numbers import interval, number
from retinalab.report.results import Grid

__all__ = ["Froc", "froc"]

_GROUPS = (("MA", "HE", "VH", "PH"), ("EX", "SE", "NV", "FP"))
_RATES = ("1/8", "1/4", "1/2", *(f"{rate:g}" for rate in FALSE_RATES[3:]))
_LEAST, _MOST = -4.0, 5.0
_CAPTION = (
    "The highest sensitivity that any threshold of the probability reaches at no more false findings, all photographs "
    "pooled. A finding is true where at least a fifth of it is lesion; a lesion is found where a true one touches it."
)


@dataclass
class Froc:
    """Charts, four lesions each, and sensitivities at fixed rates; empty where the run counted no such thing."""

    charts: list[Chart] = field(default_factory=list)
    grid: Grid | None = None


def froc(run: RunFolder, prefix: str) -> Froc:
    """Everything that is shown of one test set."""
    found = Froc(grid=_grid(run, prefix))
    rows = run.lesions_of(prefix)
    if rows is None or "hits_at" not in rows or rows["hits_at"].isna().any():
        return found
    rows = rows[rows["seed"] == rows["seed"].min()]
    for group in _GROUPS:
        curves = {lesion: _curve(rows[rows["lesion"] == lesion]) for lesion in group}
        drawn = {lesion: curve for lesion, curve in curves.items() if curve is not None}
        if drawn:
            found.charts.append(_chart(drawn))
    return found


def _grid(run: RunFolder, prefix: str) -> Grid | None:
    rows = []
    for lesion in LESIONS:
        mean = run.metrics.get(f"{prefix}/lesion/{lesion}/froc")
        if mean is not None:
            at = [run.metrics[f"{prefix}/lesion/{lesion}/froc_{rate:g}"]["value"] for rate in FALSE_RATES]
            rows.append((lesion, [*map(number, at), interval(mean), str(mean.get("n", ""))]))
    return Grid([*_RATES, "mean", "photographs"], rows) if rows else None


def _curve(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray] | None:
    """The upper envelope of the operating points: false findings per photograph, and the sensitivity within reach."""
    lesions = float((rows["hits"] + rows["misses"]).sum())
    if not lesions:
        return None
    hits, findings = (counts_at(rows, name).sum(0) for name in ("hits_at", "false_at"))
    photographs = np.array(photograph_shares(rows).sum())
    false, sensitivity = operating_points(hits, findings, np.array(lesions), photographs)
    order = np.argsort(false, kind="stable")
    return false[order], np.maximum.accumulate(sensitivity[order])


def _chart(curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> Chart:
    ticks = tuple(float(np.log2(rate)) for rate in FALSE_RATES)
    return chart(
        f"FROC: {', '.join(curves)}",
        Axis("false findings per photograph", _LEAST, _MOST, ticks, _RATES),
        unit_axis("sensitivity for lesions"),
        [_stairs(*curve, k) for k, curve in enumerate(curves.values())],
        caption=_CAPTION,
        legend=list(enumerate(curves)),
    )


def _stairs(false: np.ndarray, sensitivity: np.ndarray, series: int) -> Curve:
    """Level between two points, since that is how the table is read; beyond the axis nothing is drawn."""
    inside = false <= 2**_MOST
    x, y = np.log2(np.maximum(false[inside], 2**_LEAST)), sensitivity[inside]
    x, y = np.append(x, _MOST), np.append(y, y[-1:] if len(y) else 0.0)
    return Curve(np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1], series)
