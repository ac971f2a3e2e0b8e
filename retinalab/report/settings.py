"""In which settings experiments differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retinalab.report.numbers import plain

__all__ = ["differing_settings"]

_APART = frozenset({"name", "output", "logger"})


def differing_settings(experiments: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Dotted path of every setting that is not the same in all, and its value in each; "–" where one lacks it.

    Names, folders of output and loggers are no settings.

    Example:
        >>> differing_settings([{"name": "a", "x": {"y": 1}}, {"name": "b", "x": {"y": 2, "z": [3]}}])
        [('x.y', ['1', '2']), ('x.z', ['–', '3'])]
    """
    flat = [dict(_leaves(one)) for one in experiments]
    paths = dict.fromkeys(path for one in flat for path in one)
    table = [(path, [one.get(path, "–") for one in flat]) for path in paths]
    return [(path, texts) for path, texts in table if len(set(texts)) > 1]


def _leaves(value: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    out = []
    for name, one in value.items():
        if not above and name in _APART:
            continue
        path = f"{above}.{name}" if above else str(name)
        out += _leaves(one, path) if isinstance(one, Mapping) and one else [(path, plain(one) or "–")]
    return out
