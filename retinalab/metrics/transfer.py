"""Trained on one set, tested on others: one figure of any number of runs, as a table of training by test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from retinalab.errors import RetinalabError, unknown
from retinalab.metrics.measure import Metric

__all__ = ["TestedRun", "Transfer", "TransferRow", "transfer", "transfer_lines"]

_COLUMN = 16


@dataclass(frozen=True)
class TestedRun:
    """What the table needs of a run.

    Attributes:
        name: how it is called.
        trained_on: its training sets.
        sets: prefix of its metrics' keys (``test``, ``test@aptos``) -> name of the test set.
        metrics: its ``metrics.json``.
        fingerprints: data set -> what its photographs and labels hash to.
        scales: disease -> name of its grade scale.
    """

    __test__ = False

    name: str
    trained_on: tuple[str, ...]
    sets: Mapping[str, str]
    metrics: Mapping[str, Metric]
    fingerprints: Mapping[str, Sequence[str]]
    scales: Mapping[str, str]


class TransferRow(TypedDict):
    """One run's figures by test set; a set that it was not tested on is absent."""

    run: str
    trained_on: list[str]
    tested_on: dict[str, Metric]


class Transfer(TypedDict):
    """The table of one metric; ``sets`` is the order of its columns."""

    metric: str
    sets: list[str]
    rows: list[TransferRow]


def transfer(runs: Sequence[TestedRun], metric: str) -> Transfer:
    """Gather one figure of every run on every test set, training sets first in the order of the runs.

    Args:
        metric: disease and name, as in the keys of ``metrics.json`` without the test set: ``dr/kappa``.

    Reference: CLPI, Table VI.

    Raises:
        RetinalabError: no run has the metric; two runs grade the disease on different scales, or call
            different photographs or labels by one name.
    """
    name = metric.removeprefix("test/")
    keys = dict.fromkeys(
        key.partition("/")[2] for run in runs for key in run.metrics if key.startswith("test")
    )
    if name not in keys:
        raise unknown("metric", metric, keys, "Name a disease and its figure.")
    _check(runs, name.partition("/")[0])
    rows: list[TransferRow] = []
    for run in runs:
        found = {where: run.metrics.get(f"{prefix}/{name}") for prefix, where in run.sets.items()}
        tested = {where: one for where, one in found.items() if one is not None}
        rows.append(TransferRow(run=run.name, trained_on=list(run.trained_on), tested_on=tested))
    trained = [where for row in rows for where in row["trained_on"]]
    every = dict.fromkeys([*trained, *(where for row in rows for where in row["tested_on"])])
    sets = [where for where in every if any(where in row["tested_on"] for row in rows)]
    return Transfer(metric=name, sets=sets, rows=rows)


def transfer_lines(table: Transfer, width: int = 80) -> list[str]:
    """The table as text: value and number of photographs, interval below; wide tables in several blocks.

    Rows carry the number of their run, in the order of the runs.
    """
    lines = [f"{table['metric']}: trained on (row), tested on (column)"]
    block = max(1, width // _COLUMN - 1)
    for start in range(0, len(table["sets"]), block):
        sets = table["sets"][start : start + block]
        lines += ["", _line("", *sets)]
        for number, row in enumerate(table["rows"], 1):
            cells = [(row["tested_on"].get(name), name in row["trained_on"]) for name in sets]
            label = f"{number} {'+'.join(row['trained_on'])}"
            lines.append(_line(label, *(_value(one, own) for one, own in cells)))
            lines.append(_line("", *(_interval(one) for one, _ in cells)))
    return [
        *lines,
        "",
        "Value and photographs, 95 % interval below; * test part of a set trained on;",
        "-: undefined, or not tested.",
    ]


def _check(runs: Sequence[TestedRun], disease: str) -> None:
    first = runs[0]
    for run in runs:
        if run.scales.get(disease) != first.scales.get(disease):
            raise RetinalabError(
                f"{run.name} grades {disease} on {run.scales.get(disease)}, {first.name} on "
                f"{first.scales.get(disease)}. Put runs on one scale into one table."
            )
    seen: dict[str, tuple[str, set[str]]] = {}
    for run in runs:
        for where in run.sets.values():
            mine = set(run.fingerprints.get(where, ())) - {""}
            other, known = seen.setdefault(where, (run.name, mine))
            if mine and known and not mine & known:
                raise RetinalabError(
                    f"{run.name} and {other} both call a test set {where}, with other photographs or labels "
                    "(fingerprints differ). Give one of them a name of its own, or repeat one on the other's files."
                )


def _value(one: Mapping[str, Any] | None, own: bool) -> str:
    if one is None or one["value"] is None:
        return "-"
    return f"{one['value']:.3f}{'*' if own else ' '} {one['n']:d}"


def _interval(one: Mapping[str, Any] | None) -> str:
    if one is None or one["low"] is None or one["high"] is None:
        return ""
    return f"[{one['low']:.3f}, {one['high']:.3f}]"


def _line(*texts: str) -> str:
    fitting = (text if len(text) < _COLUMN else text[: _COLUMN - 2] + "…" for text in texts)
    return "".join(f"{text:{_COLUMN}s}" for text in fitting).rstrip()
