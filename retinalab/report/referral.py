"""The page of a referral curve: figures of what remains, drawn over the share that is handed to a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retinalab.errors import RetinalabError
from retinalab.metrics.referral_curve import ReferralCurve
from retinalab.report.chart import Axis, Chart, Curve, Dot, chart
from retinalab.report.numbers import interval, number
from retinalab.report.render import write_page
from retinalab.report.results import Grid
from retinalab.units import told_units

__all__ = ["write_referral"]

_NAMES = {"kappa": "Quadratic kappa", "accuracy": "Accuracy", "auc_referable": "AUC, referable"}
_LEGEND = ((0, "by entropy, 95 % interval"), (1, "by lot"), (2, "perfect order"))


def write_referral(
    curves: Sequence[ReferralCurve], source: str, target: Path, labels: Sequence[str] = ()
) -> Path:
    """Write the page: one file, no script, no request to any network.

    Args:
        curves: from :func:`retinalab.metrics.referral_curve.read_referral_curves`.
        source: what was evaluated, in words.
        target: the file.
        labels: of the run: why its figures are no ordinary result.

    Raises:
        RetinalabError: it cannot be written.
    """
    entries = [
        {
            "curve": one,
            "units": told_units(one.units, one.unit),
            "charts": _charts(one),
            "tables": _tables(one),
        }
        for one in curves
    ]
    try:
        return write_page("referral.html", {"source": source, "entries": entries, "labels": labels}, target)
    except OSError as error:
        raise RetinalabError(
            f"Cannot write {target}: {error.strerror or error}. Free space, or name a file elsewhere."
        ) from error


def _charts(curve: ReferralCurve) -> list[Chart]:
    shares = np.array([100 * level.share for level in curve.levels])
    across = Axis.over(shares.tolist(), "% of photographs handed to a person", whole=True)
    drawn = []
    for name, words in _NAMES.items():
        own = [level.figures[name] for level in curve.levels]
        lines = [
            [one["value"] for one in own],
            [level.random[name] for level in curve.levels],
            [level.perfect[name] for level in curve.levels],
        ]
        ends = [one[end] for one in own for end in ("low", "high")]
        seen = [float(v) for v in (*ends, *(v for line in lines for v in line)) if v is not None]
        if not any(one["value"] is not None for one in own):
            continue
        dots = [
            Dot(float(x), one["value"], 0, one["low"], one["high"])
            for x, one in zip(shares, own, strict=True)
            if one["value"] is not None
        ]
        paths = [Curve(shares, _numbers(line), series) for series, line in enumerate(lines)]
        drawn.append(chart(words, across, Axis.over(seen, words), paths, dots, legend=_LEGEND))
    return drawn


def _numbers(values: Sequence[float | None]) -> Any:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _tables(curve: ReferralCurve) -> list[tuple[str, Grid]]:
    return [
        (
            words,
            Grid(
                ["left", "by entropy [95 % interval]", "by lot", "perfect order"],
                [
                    (
                        f"{level.share:.0%}",
                        [
                            str(level.kept),
                            interval(level.figures[name]),
                            number(level.random[name]),
                            number(level.perfect[name]),
                        ],
                    )
                    for level in curve.levels
                ],
            ),
        )
        for name, words in _NAMES.items()
    ]
