"""Numbers as the report prints them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["cells", "duration", "interval", "known", "number", "plain", "probability"]


def known(value: Any) -> bool:
    """Whether a figure is defined."""
    return isinstance(value, int | float) and math.isfinite(value)


def number(value: Any) -> str:
    """Three decimals and a true minus sign; what rounds to zero has none.

    Example:
        >>> number(-0.12345), number(-0.0002), number(None)
        ('−0.123', '0.000', 'undefined')
    """
    return f"{value:z.3f}".replace("-", "−") if known(value) else "undefined"


def probability(value: Any) -> str:
    """A p-value, with as many decimals as can be told apart.

    Example:
        >>> probability(0.04321), probability(0.2), probability(0.0002), probability(None)
        ('0.043', '0.200', '< 0.001', '–')
    """
    if not known(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def interval(metric: Mapping[str, Any]) -> str:
    """Value and 95 % interval of an entry of ``metrics.json``.

    Example:
        >>> interval({"value": 0.5, "low": 0.25, "high": 0.75}), interval({"value": 0.5})
        ('0.500 [0.250, 0.750]', '0.500')
    """
    low, high = metric.get("low"), metric.get("high")
    text = number(metric.get("value"))
    return f"{text} [{number(low)}, {number(high)}]" if known(low) and known(high) else text


def cells(figures: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Entries of ``metrics.json`` in a row of a table; referrals per 1,000 photographs are whole numbers.

    Example:
        >>> found = {"ppv": {"value": 0.5}, "referrals": {"value": 41.7, "low": 30.2, "high": 55.0}}
        >>> cells(found, ["ppv", "npv", "referrals"])
        ['0.500', '–', '42 [30, 55]']
    """
    return [_cell(figures[name], name) if name in figures else "–" for name in names]


def _cell(metric: Mapping[str, Any], name: str) -> str:
    if not name.startswith("referrals") or not known(metric["value"]):
        return interval(metric)
    text = f"{metric['value']:.0f}"
    return f"{text} [{metric['low']:.0f}, {metric['high']:.0f}]" if known(metric["low"]) else text


def duration(seconds: Any) -> str:
    """Hours, minutes and seconds.

    Example:
        >>> duration(462.4), duration(9000)
        ('7 min 42 s', '2 h 30 min')
    """
    if not known(seconds):
        return ""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def plain(value: Any) -> str:
    """A value from a free mapping on one line.

    Example:
        >>> plain({"train": 12, "seeds": [0, 1]})
        'train: 12; seeds: 0, 1'
    """
    if isinstance(value, Mapping):
        return "; ".join(
            f"{key}: {plain(item)}" for key, item in value.items() if item not in (None, "", [], {})
        )
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
