"""Plain line charts: data to positions; the template draws them as inline SVG in the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["Axis", "Chart", "Curve", "Dot", "Mark", "chart", "unit_axis"]

_LEFT, _TOP, _RIGHT, _BOTTOM = 44.0, 10.0, 12.0, 40.0
_WIDTH, _WIDE, _SQUARE = 300.0, 210.0, 294.0
_MOST_POINTS = 400


@dataclass(frozen=True)
class Axis:
    """Range, ticks and label of one axis, in the data's units; ``names`` of the ticks where numbers would not do."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def over(cls, values: Iterable[float], label: str, whole: bool = False) -> Axis:
        """An axis that holds all finite values, with at most seven round ticks.

        Example:
            >>> Axis.over([0.13, 0.88], "loss").ticks
            (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        """
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if high <= low:
            low, high = (low - 1, high + 1) if whole else (low - 0.5, high + 0.5)
        size = max(abs(low), abs(high))
        least = (
            max(0.005, 0.01 * size) if size >= 0.1 and not whole else 0.0
        )  # less needs longer numbers than fit
        if high - low < least:
            low, high = (low + high - least) / 2, (low + high + least) / 2
        step = _round_step((high - low) / 5)
        step = max(1.0, round(step)) if whole else step
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        ticks = tuple(round(k * step, 10) for k in range(first, last + 1))
        return cls(label, low, high, ticks) if whole else cls(label, ticks[0], ticks[-1], ticks)

    def texts(self) -> list[str]:
        """Ticks as they are printed: equal decimals, or powers of ten where those would be long.

        Example:
            >>> Axis("", 0, 1, (0.0, 0.5, 1.0)).texts(), Axis("", 0, 1e-4, (0.0, 0.00005, 0.0001)).texts()
            (['0.0', '0.5', '1.0'], ['0', '5e−5', '1e−4'])
        """
        if self.names:
            return list(self.names)
        step = float(np.min(np.diff(self.ticks))) if len(self.ticks) > 1 else 1.0
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        if decimals > 3 or max(map(abs, self.ticks)) >= 1e5:
            return [_powers(tick) for tick in self.ticks]
        return [f"{tick:.{decimals}f}".replace("-", "−") for tick in self.ticks]


def unit_axis(label: str) -> Axis:
    """An axis from 0 to 1."""
    return Axis(label, 0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))


@dataclass(frozen=True)
class Curve:
    """One line; ``series`` gives its colour and dashes, ``faint`` marks one of several of the same kind."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    series: int = 0
    faint: bool = False


@dataclass(frozen=True)
class Dot:
    """One point, with a whisker where ``low`` and ``high`` are given."""

    x: float
    y: float
    series: int = 0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Mark:
    """One point that others measured; ``kind`` gives its shape and colour, and the legend names it."""

    x: float
    y: float
    kind: int = 0


@dataclass(frozen=True)
class Chart:
    """Positions in the units of the drawing, ready for the template.

    Attributes:
        box: left, top, right and bottom of the plotting area.
        paths: series, faint, SVG path data.
        dots: series, x, y, and the whisker's ends or None.
        legend: series and text.
        marks: kind, x, y.
        mark_legend: kind and text.
    """

    title: str
    caption: str
    width: float
    height: float
    box: tuple[float, float, float, float]
    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    paths: list[tuple[int, bool, str]]
    dots: list[tuple[int, float, float, tuple[float, float] | None]]
    diagonal: bool = False
    legend: list[tuple[int, str]] = field(default_factory=list)
    marks: list[tuple[int, float, float]] = field(default_factory=list)
    mark_legend: list[tuple[int, str]] = field(default_factory=list)


def chart(
    title: str,
    x: Axis,
    y: Axis,
    curves: Sequence[Curve] = (),
    dots: Sequence[Dot] = (),
    *,
    caption: str = "",
    legend: Sequence[tuple[int, str]] = (),
    marks: Sequence[Mark] = (),
    mark_legend: Sequence[tuple[int, str]] = (),
    square: bool = False,
) -> Chart:
    """Lay out a chart. ``square`` has equal axes and the diagonal; a curve of one point becomes a dot."""
    height = _SQUARE if square else _WIDE
    box = (_LEFT, _TOP, _WIDTH - _RIGHT, height - _BOTTOM)

    def across(value: float) -> float:
        return round(box[0] + (value - x.low) / (x.high - x.low) * (box[2] - box[0]), 1)

    def down(value: float) -> float:
        return round(box[3] - (value - y.low) / (y.high - y.low) * (box[3] - box[1]), 1)

    paths, points = [], list(dots)
    for curve in curves:
        known = np.isfinite(curve.x) & np.isfinite(curve.y)
        xs, ys = curve.x[known], curve.y[known]
        if len(xs) == 1:
            points.append(Dot(float(xs[0]), float(ys[0]), curve.series))
        elif len(xs):
            kept = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), _MOST_POINTS)).round().astype(int))
            data = " ".join(f"{across(a):g},{down(b):g}" for a, b in zip(xs[kept], ys[kept], strict=True))
            paths.append((curve.series, curve.faint, f"M{data}"))
    placed = []
    for p in points:
        whisker = None if p.low is None or p.high is None else (down(p.low), down(p.high))
        placed.append((p.series, across(p.x), down(p.y), whisker))
    shown = [(t, text) for t, text in zip(x.ticks, x.texts(), strict=True) if x.low <= t <= x.high]
    return Chart(
        title, caption, _WIDTH, height, box, x.label, y.label,
        x_ticks=[(across(tick), text) for tick, text in shown],
        y_ticks=[(down(tick), text) for tick, text in zip(y.ticks, y.texts(), strict=True)],
        paths=paths, dots=placed, diagonal=square, legend=list(legend),
        marks=[(one.kind, across(one.x), down(one.y)) for one in marks], mark_legend=list(mark_legend),
    )  # fmt: skip


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _powers(value: float) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", "−")
