"""One bootstrap for the figures of some rows: seeds averaged, undefined values explained, ready for JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NotRequired, TypedDict

import numpy as np
import pandas as pd

from retinalab.metrics.figures import Figures, mean_figures
from retinalab.metrics.statistics import Clusters, bootstrap

__all__ = ["Build", "Measure", "Metric", "errors_text"]


class Metric(TypedDict):
    """One figure as ``metrics.json`` holds it; None where it is undefined, and then ``note`` says why.

    ``n`` photographs (patches for windows) and ``n_groups`` units of independence. Over several seeds
    ``value`` is the mean, ``low`` and ``high`` are the interval of that mean under another sample of
    patients, ``sd_seeds`` is the standard deviation between seeds (n - 1) and ``seeds`` are their values.
    A share of errors has their ``counts`` by kind, among ``of`` predictions of all folds and seeds.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_groups: int
    note: NotRequired[str]
    sd_seeds: NotRequired[float | None]
    seeds: NotRequired[list[float | None]]
    counts: NotRequired[dict[str, int]]
    of: NotRequired[int]


Build = Callable[[pd.DataFrame, Clusters], Figures]
"""Figures of some rows over the clusters that will be drawn."""


class Measure:
    """Bootstrap of the figures of some rows, seeds averaged, as named metrics."""

    def __init__(self, resamples: int, seed: int) -> None:
        self._resamples, self._seed = resamples, seed

    def __call__(
        self,
        prefix: str,
        rows: pd.DataFrame,
        build: Build,
        severity: str | None = None,
        photographs: bool = True,
    ) -> dict[str, Metric]:
        if not len(rows):
            return {}
        clusters = Clusters.of(rows["group"], None if severity is None else rows[severity])
        each = [build(part, clusters) for _, part in rows.groupby("seed")]
        intervals = bootstrap(mean_figures(each).panel, clusters, self._resamples, self._seed)
        values = np.array([one.values(clusters) for one in each])
        n = int(rows["image"].nunique()) if photographs else len(rows) // len(each)
        out: dict[str, Metric] = {}
        for k, (name, interval) in enumerate(zip(each[0].names, intervals, strict=True)):
            metric = Metric(
                value=_finite(interval.value), low=_finite(interval.low), high=_finite(interval.high),
                n=n, n_groups=clusters.size,
            )  # fmt: skip
            if interval.note:
                metric["note"] = _why(name) if np.isnan(interval.value) else interval.note
            if len(each) > 1:
                metric["sd_seeds"] = _finite(values[:, k].std(ddof=1))
                metric["seeds"] = [_finite(value) for value in values[:, k]]
            out[f"{prefix}/{name}"] = metric
        return out


def errors_text(counts: Mapping[str, int], of: int) -> str:
    """Unacceptable errors in words.

    Example:
        >>> errors_text({"0-1 as 3-4": 12, "3-4 as 0-1": 8}, 12096)
        'unacceptable errors: 20 of 12096 (0-1 as 3-4: 12; 3-4 as 0-1: 8)'
    """
    ways = "; ".join(f"{way}: {count}" for way, count in counts.items())
    return f"unacceptable errors: {sum(counts.values())} of {of} ({ways})"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _why(name: str) -> str:
    if name.startswith("kappa"):
        return "undefined: references and predictions are all of one grade"
    if name.startswith("sensitivity_"):
        return f"undefined: no photograph of grade {name.removeprefix('sensitivity_')}"
    if name.endswith(("auc", "auc_referable")):
        return "undefined: needs photographs on both sides, and for one-vs-rest a probability per grade"
    return "undefined: no photograph has what it counts"
