"""The page of a saliency scorecard: figures with intervals, deletion curves, photographs beside truth and maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retinalab.counted import counted
from retinalab.metrics.compare import Difference
from retinalab.metrics.measure import Metric
from retinalab.metrics.saliency import RING, TOLERANCE
from retinalab.report.chart import Axis, Chart, Curve, chart, unit_axis
from retinalab.report.numbers import interval, known, number
from retinalab.report.render import write_page
from retinalab.report.saliency_tiles import Tile, gallery_context

__all__ = ["ScorecardPage", "write_pictures_page", "write_saliency_page"]

_GROUPS = (
    ("Against the lesions", (
        ("pointing", "maximum on a lesion"), ("mass", "saliency on lesions"), ("recall_1", "lesions found in 1 %"),
        ("recall_5", "lesions found in 5 %"), ("recall_10", "lesions found in 10 %"),
    )),
    ("Empty maps and leakage", (
        ("empty_with_lesions", "empty, with lesions"), ("empty_without_lesions", "empty, without lesions"),
        ("border", "on the field's border"), ("outside", "outside the field"),
    )),
    ("Against the network", (
        ("deletion", "deletion, area"), ("deletion_random", "random order, area"),
        ("deletion_gain", "random above deletion"), ("randomised", "rank correlation, random weights"),
        ("randomised_undefined", "no rank correlation"),
    )),
)  # fmt: skip
_WITH_CHANCE = ("pointing", "mass", "recall_1", "recall_5", "recall_10", "border", "outside")
_CHANCE = "a uniform map"
_ASKED = {-1: "severity", -2: "probability of the surest lesion"}
"""By the column ``grade`` of networks whose grades are not explained (:mod:`retinalab.metrics.scorecard`)."""


@dataclass(frozen=True)
class ScorecardPage:
    """What the page shows.

    Attributes:
        title: of the page.
        about: term and text: which runs, which photographs, how many have lesions, how many maps are empty.
        banners: what the figures must be read with.
        unit: what intervals resample.
        table: of kind ``saliency``.
        metrics: from :func:`retinalab.metrics.scorecard.evaluate_saliency`.
        comparisons: title -> from :func:`retinalab.metrics.scorecard.compare_saliency`.
        removed: shares of the field that deletion took away.
        shown: photographs of the gallery.
    """

    title: str
    about: Sequence[tuple[str, str]]
    banners: Sequence[tuple[str, str]]
    unit: str
    table: pd.DataFrame
    metrics: Mapping[str, Metric]
    comparisons: Mapping[str, Mapping[str, Difference]]
    removed: Sequence[float]
    shown: Sequence[Tile]


def write_saliency_page(page: ScorecardPage, target: Path) -> Path:
    """Write the page: one file, no script, no request to any network."""
    prefixes = list(dict.fromkeys(key.rsplit("/", 3)[0] for key in page.metrics))
    tables = [
        _table(prefix, title, columns, page.metrics) for prefix in prefixes for title, columns in _GROUPS
    ]
    context = {
        "title": page.title,
        "kind": "saliency scorecard",
        "about": list(page.about),
        "banners": list(page.banners),
        "unit": page.unit,
        "tolerance": f"{100 * TOLERANCE:g} %",
        "ring": f"{100 * RING:g} %",
        "tables": tables,
        "comparisons": [_comparison(title, found) for title, found in page.comparisons.items()],
        "charts": _curves(page.table, page.removed),
    }
    return write_page("saliency.html", context | gallery_context(page.shown), target)


def write_pictures_page(
    title: str,
    about: Sequence[tuple[str, str]],
    banners: Sequence[tuple[str, str]],
    tiles: Sequence[Tile],
    target: Path,
) -> Path:
    """Write the page of photographs whose lesions nobody marked: maps alone, without figures.

    Args:
        title: of the page.
        about: term and text: which runs, which photographs.
        banners: what the maps must be read with.
        tiles: from :func:`retinalab.report.saliency_tiles.tile`.
        target: the file.
    """
    context: dict[str, Any] = {"title": title, "about": list(about), "banners": list(banners)}
    context |= {"kind": "maps over photographs", "tables": [], "comparisons": []}
    return write_page("saliency.html", context | gallery_context(tiles), target)


def _table(
    prefix: str, title: str, columns: Sequence[tuple[str, str]], metrics: Mapping[str, Metric]
) -> dict[str, Any]:
    mine = {key: metric for key, metric in metrics.items() if key.rsplit("/", 3)[0] == prefix}
    pairs = list(dict.fromkeys(tuple(key.split("/")[1:3]) for key in mine))
    rows = []
    for model, method in pairs:
        found = [mine[f"{prefix}/{model}/{method}/{name}"] for name, _ in columns]
        rows.append((f"{model}, {method}", [interval(metric) for metric in found]))
    chances = []
    for name, _ in columns:
        given = [mine[f"{prefix}/{a}/{b}/{name}_chance"]["value"] for a, b in pairs if name in _WITH_CHANCE]
        chances.append(next((number(value) for value in given if known(value)), "–"))
    if title != _GROUPS[2][0]:
        rows.append((_CHANCE, chances))
    return {"title": title, "columns": [text for _, text in columns], "rows": rows, "prefix": prefix}


def _comparison(title: str, found: Mapping[str, Difference]) -> dict[str, Any]:
    words = {name: text for _, columns in _GROUPS for name, text in columns}
    rows = []
    for key, one in found.items():
        name = key.rsplit("/", 1)[-1]
        if name not in words or name == "deletion_random":
            continue
        difference = interval({"value": one["difference"], "low": one["low"], "high": one["high"]})
        rows.append((words[name], number(one["a"]), number(one["b"]), difference, _leaves_out_zero(one)))
    return {"title": title, "rows": rows}


def _leaves_out_zero(one: Difference) -> bool:
    """Whether the interval does, as it is printed."""
    if not (known(one["low"]) and known(one["high"])):
        return False
    low, high = round(float(one["low"] or 0), 3), round(float(one["high"] or 0), 3)
    return low > 0 or high < 0


def _curves(table: pd.DataFrame, removed: Sequence[float]) -> list[Chart]:
    """A chart for each network: the mean answer over the removed share, its methods and their random orders."""
    charts = []
    for model, rows in table.groupby("model", sort=False):
        curves, legend = [], []
        x = np.asarray(removed, dtype=np.float64)
        for series, (method, mine) in enumerate(rows.groupby("method", sort=False)):
            mean = np.stack(mine["deletion_curve"].to_list()).astype(np.float64).mean(0)
            chance = np.stack(mine["deletion_random_curve"].to_list()).astype(np.float64).mean(0)
            curves += [Curve(x, mean, series), Curve(x, chance, series, faint=True)]
            legend.append((series, str(method)))
        asked = _ASKED.get(int(rows["grade"].max()), "probability of the explained grade")
        values = np.concatenate([curve.y for curve in curves])
        y = Axis.over(values, asked) if asked == "severity" else unit_axis(asked)
        photographs = rows[["set", "image"]].drop_duplicates().shape[0]
        charts.append(
            chart(
                str(model), unit_axis("share of the field taken away"), y, curves, legend=legend,
                caption=f"{y.label.capitalize()}, mean over {counted(photographs, 'photograph')}. Thin lines: a random "
                "order as coarse as the map.",
            )
        )  # fmt: skip
    return charts
