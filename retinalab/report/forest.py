"""Dot-and-interval plots: one line a method or a pair of methods, laid out for inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retinalab.report.chart import Axis
from retinalab.report.numbers import known

__all__ = ["Forest", "Line", "Placed", "forest"]

_WIDTH, _LEFT, _RIGHT = 300.0, 52.0, 22.0
_TOP, _STEP, _BOTTOM = 8.0, 26.0, 24.0


@dataclass(frozen=True)
class Line:
    """What one line of the plot shows.

    Attributes:
        label: at its left; a letter or two.
        value: the dot; None where the figure is undefined, and then nothing is drawn.
        low, high: ends of the interval; None where there is none.
        seeds: one small dot each.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    seeds: Sequence[float | None] = ()


@dataclass(frozen=True)
class Placed:
    """A line in the units of the drawing; positions are None where there is nothing to draw."""

    label: str
    y: float
    value: float | None
    span: tuple[float, float] | None
    seeds: list[float]


@dataclass(frozen=True)
class Forest:
    """Positions ready for the template.

    Attributes:
        lines: from top to bottom.
        ticks: position and text.
        zero: position of no difference; None where 0 is no landmark.
        text: the plot in words, for those who cannot see it.
    """

    title: str
    width: float
    height: float
    left: float
    right: float
    bottom: float
    lines: list[Placed]
    ticks: list[tuple[float, str]]
    zero: float | None
    text: str


def forest(title: str, lines: Sequence[Line], differences: bool = False) -> Forest:
    """Lay out a plot whose axis holds every dot and interval.

    Args:
        title: what is measured.
        lines: from top to bottom.
        differences: draw the line of no difference, which the axis then holds.

    Example:
        >>> plot = forest("kappa", [Line("A", 0.5, 0.4, 0.6), Line("B", None)])
        >>> [line.value is None for line in plot.lines], plot.ticks[0][1], plot.ticks[-1][1]
        ([False, True], '0.40', '0.60')
    """
    values = [
        v for one in lines for v in (one.value, one.low, one.high, *one.seeds) if v is not None and known(v)
    ]
    axis = Axis.over([*values, *([0.0] if differences else [])], title)
    bottom = _TOP + _STEP * len(lines)

    def across(value: float) -> float:
        return round(_LEFT + (value - axis.low) / (axis.high - axis.low) * (_WIDTH - _LEFT - _RIGHT), 1)

    placed = []
    for k, one in enumerate(lines):
        span = (across(one.low), across(one.high)) if one.low is not None and one.high is not None else None
        at = None if one.value is None else across(one.value)
        seeds = [across(value) for value in one.seeds if value is not None]
        placed.append(
            Placed(one.label, _TOP + _STEP * (k + 0.5), at, span if at is not None else None, seeds)
        )
    texts = axis.texts()
    skip = 2 if len(texts) > 5 else 1
    ticks = [(across(tick), text) for tick, text in zip(axis.ticks, texts, strict=True)][::skip]
    said = "; ".join(
        f"{one.label} {'undefined' if one.value is None else f'{one.value:.3f}'}" for one in lines
    )
    return Forest(
        title, _WIDTH, bottom + _BOTTOM, _LEFT, _WIDTH - _RIGHT, bottom, placed, ticks,
        across(0.0) if differences else None, f"{title}: {said}",
    )  # fmt: skip
