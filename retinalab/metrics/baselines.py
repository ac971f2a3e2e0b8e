"""What stands beside every figure of a run: the majority grade, and what is reached without looking at the retina."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypedDict

import pandas as pd

from retinalab.metrics.compare import Difference, compare
from retinalab.metrics.tables import diseases_of
from retinalab.protocol import Scale

__all__ = [
    "BASELINES",
    "Beside",
    "Side",
    "above_lines",
    "above_the_shortcut",
    "beside",
    "beside_lines",
    "figure_beside",
]

BASELINES: Mapping[str, str] = MappingProxyType(
    {"majority": "majority class", "shortcut": "without the retina", "colour": "colours alone"}
)
"""Ending of a metric's key -> in words."""


class Side(TypedDict):
    """One baseline's figure as each of two runs has it, fitted on that run's training part; None where it has none."""

    a: float | None
    b: float | None


Beside = Mapping[str, Mapping[str, Side]]
"""Metric key -> baseline -> its figure for both runs."""


def figure_beside(metrics: Mapping[str, Any], key: str, baseline: str) -> Mapping[str, Any] | None:
    """The entry of ``metrics.json`` that stands beside a figure; None where there is none.

    On a scale of two grades the area under the curve is that for referable disease, and kept under that name.

    Example:
        >>> figure_beside({"test/dme/auc_referable_colour": {"value": 0.6}}, "test/dme/auc", "colour")
        {'value': 0.6}
    """
    found: Mapping[str, Any] | None = metrics.get(f"{key}_{baseline}")
    if found is None and key.endswith("/auc") and f"{key}_referable" not in metrics:
        found = metrics.get(f"{key}_referable_{baseline}")
    return found


def beside(found: Mapping[str, Difference], a: Mapping[str, Any], b: Mapping[str, Any]) -> Beside:
    """The baselines of two runs on the photographs of both, for every figure that has any.

    Args:
        found: from :func:`retinalab.metrics.compare.compare`, which has held the runs to the same photographs.
        a, b: their ``metrics.json``.
    """
    out: dict[str, dict[str, Side]] = {}
    for key in found:
        for baseline in BASELINES:
            first, second = (figure_beside(metrics, key, baseline) for metrics in (a, b))
            if first is not None or second is not None:
                side = Side(a=(first or {}).get("value"), b=(second or {}).get("value"))
                out.setdefault(key, {})[baseline] = side
    return out


def above_the_shortcut(
    run: pd.DataFrame, baselines: pd.DataFrame | None, scales: Mapping[str, Scale], shown: Beside
) -> dict[str, Difference]:
    """A run's figures minus those of its own shortcut baseline, under the same draws of patients.

    Args:
        run: predictions of the test parts.
        baselines: the run's ``baselines.parquet``; None where it left none.
        scales: disease -> its scale, of the diseases that are compared.
        shown: the figures that are wanted.

    Returns:
        Metric key -> difference; empty where there is nothing to subtract.

    Raises:
        RetinalabError: the two tables hold different photographs.
    """
    if baselines is None:
        return {}
    mine = baselines[baselines["baseline"] == "shortcut"].drop(columns="baseline")
    mine = mine.drop(columns=[f"{disease}_grade" for disease in diseases_of(mine) if disease not in scales])
    if not diseases_of(mine):
        return {}
    found = compare(run, mine, scales, primary_set=str(run["set"].iloc[0]), tests=())
    return {key: one for key, one in found.items() if "shortcut" in shown.get(key, {})}


def beside_lines(key: str, shown: Beside) -> Iterator[str]:
    """Lines below a figure of :func:`retinalab.metrics.compare.difference_lines`, one for each baseline."""
    for baseline, side in shown.get(key, {}).items():
        yield f"  {BASELINES[baseline]:29s}{_text(side['a']):>7s}{_text(side['b']):>7s}"


def above_lines(a: Mapping[str, Difference], b: Mapping[str, Difference]) -> list[str]:
    """Each run's figures minus its own shortcut baseline's, as a table in 80 columns."""
    keys = dict.fromkeys([*a, *b])
    if not keys:
        return []
    lines = [
        "",
        f"{'run - without the retina':31s}{'a':7s}{'95 % interval':18s}{'b':7s}95 % interval",
    ]
    for key in keys:
        numbers = " ".join(_interval(side.get(key)) for side in (a, b)).rstrip()
        lines += [f"{key:31s}{numbers}"] if len(key) < 31 else [key, f"{'':31s}{numbers}"]
    return lines


def _interval(one: Difference | None) -> str:
    if one is None or one["difference"] is None:
        return f"{'-':24s}"
    low, high = one["low"], one["high"]
    bounds = "" if low is None or high is None else f"[{low:+.3f}, {high:+.3f}]"
    return f"{one['difference']:+.3f} {bounds:17s}"


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
