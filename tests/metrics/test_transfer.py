"""Training by test sets: a hand-made table read back cell by cell, and what does not fit into one."""

from __future__ import annotations

from typing import Any

import pytest

from retinalab.errors import RetinalabError
from retinalab.metrics.transfer import TestedRun, transfer, transfer_lines


def metric(value: float | None, n: int = 240) -> dict[str, Any]:
    half = 0.05
    bounds = (None, None) if value is None else (value - half, value + half)
    return {"value": value, "low": bounds[0], "high": bounds[1], "n": n, "n_groups": n}


def a_run(name: str, on: str, figures: dict[str, float | None], **changes: Any) -> TestedRun:
    prefixes = {("test" if where == on else f"test@{where}"): where for where in figures}
    content: dict[str, Any] = {
        "name": name,
        "trained_on": (on,),
        "sets": prefixes,
        "metrics": {f"{p}/dr/kappa": metric(figures[w]) for p, w in prefixes.items()},
        "fingerprints": {where: [f"hash of {where}"] for where in figures},
        "scales": {"dr": "icdr5"},
    }
    return TestedRun(**(content | changes))


# CLPI's rows of Table VI, kappa
TABLE_VI = [
    a_run("a", "private", {"private": 0.908, "messidor2": 0.703, "liq_eyepacs": 0.692}),
    a_run("b", "messidor2", {"messidor2": 0.832, "private": 0.838, "liq_eyepacs": 0.514}),
]


def test_rows_are_runs_and_columns_are_sets_trained_ones_first() -> None:
    table = transfer(TABLE_VI, "dr/kappa")
    assert table["sets"] == ["private", "messidor2", "liq_eyepacs"]
    values = [[row["tested_on"][name]["value"] for name in table["sets"]] for row in table["rows"]]
    assert values == [[0.908, 0.703, 0.692], [0.838, 0.832, 0.514]]
    assert transfer(TABLE_VI, "test/dr/kappa") == table


def test_the_text_holds_every_cell_in_80_columns() -> None:
    figures = {"screening": None, "a_very_long_name_of_a_set": -0.5, "x": 0.5}
    wide = [*TABLE_VI, a_run("c", "screening", figures)]
    lines = transfer_lines(transfer(wide, "dr/kappa"))
    assert max(map(len, lines)) <= 80
    head = lines.index("                private         messidor2       screening       liq_eyepacs")
    assert lines[head + 1].split() == ["1", "private", "0.908*", "240", "0.703", "240", "-", "0.692", "240"]
    assert lines[head + 2].split("[")[1:] == [
        "0.858, 0.958]  ",
        "0.653, 0.753]                  ",
        "0.642, 0.742]",
    ]
    assert lines[head + 3].split() == ["2", "messidor2", "0.838", "240", "0.832*", "240", "-", "0.514", "240"]
    assert lines[head + 5].split() == ["3", "screening", "-", "-", "-", "-"]
    below = next(k for k, line in enumerate(lines) if "a_very_long_na…" in line)
    assert below > head + 5
    assert lines[below + 5].split() == ["3", "screening", "-0.500", "240", "0.500", "240"]


@pytest.mark.parametrize(
    ("second", "name", "message"),
    [
        ({}, "dr/kapa", r"Unknown metric 'dr/kapa'\. Did you mean 'dr/kappa'"),
        ({"scales": {"dr": "messidor4"}}, "dr/kappa", r"b grades dr on messidor4, a on icdr5"),
        (
            {"fingerprints": {"private": ["another"]}},
            "dr/kappa",
            r"b and a both call a test set private, with other photographs or labels",
        ),
    ],
)
def test_what_does_not_fit_into_one_table(second: dict[str, Any], name: str, message: str) -> None:
    runs = [TABLE_VI[0], a_run("b", "messidor2", {"messidor2": 0.8, "private": 0.8}, **second)]
    with pytest.raises(RetinalabError, match=message):
        transfer(runs, name)
