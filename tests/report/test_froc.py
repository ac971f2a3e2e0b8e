"""The curve of sensitivity against false findings, beside counts made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retinalab.metrics import evaluate, write_table
from retinalab.metrics.lesions import BINS, THRESHOLDS
from retinalab.report.folder import read_run
from retinalab.report.froc import froc
from retinalab.report.lesions import lesion_grid

MakeRun = Callable[..., Path]
LEVELS = len(THRESHOLDS)


def steps(*pieces: tuple[int, int]) -> list[int]:
    """(value, how many thresholds have it), from the lowest threshold."""
    out = [value for value, count in pieces for _ in range(count)]
    assert len(out) == LEVELS
    return out


@pytest.fixture
def table() -> pd.DataFrame:
    """Two photographs: three lesions and one. At low thresholds all are hit among 6 findings that are false."""
    counts = {"tp": 1, "fp": 0, "fn": 1, "false_components": 0}
    rows = [
        {
            "image": "a",
            "hits": 2,
            "misses": 1,
            "hits_at": steps((3, 6), (2, 10)),
            "false_at": steps((5, 6), (1, 10)),
        },
        {
            "image": "b",
            "hits": 0,
            "misses": 1,
            "hits_at": steps((1, 6), (0, 10)),
            "false_at": steps((1, 6), (0, 10)),
        },
    ]
    empty = np.zeros(BINS, np.int64)
    common = {
        "set": "made",
        "part": "test",
        "fold": -1,
        "seed": 0,
        "lesion": "MA",
        "hist_in": empty,
        "hist_out": empty,
    }
    return pd.DataFrame([{**row, **counts, **common, "group": row["image"]} for row in rows])


def test_the_curve_and_the_table_read_from_it(make_run: MakeRun, table: pd.DataFrame) -> None:
    folder = make_run()
    write_table(table, folder / "lesions.parquet", "lesions")
    metrics = json.loads((folder / "metrics.json").read_text())
    nothing = pd.DataFrame(columns=["image", "set", "part"])
    metrics |= evaluate(nothing, {}, table, resamples=20, primary_set="made")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    found = froc(read_run(folder), "test")
    assert found.grid is not None
    ((lesion, cells),) = found.grid.rows
    assert lesion == "MA"
    # 0.5 false findings a photograph reach 2 of 4 lesions, 3 reach all; the rates are 1/8, 1/4, 1/2, 1, 2, 4, 8
    assert cells[:7] == ["0.000", "0.000", "0.500", "0.500", "0.500", "1.000", "1.000"]
    assert cells[7].startswith(f"{(3 * 0.5 + 2 * 1.0) / 7:.3f}")
    assert cells[8] == "2"
    (drawn,) = found.charts
    assert drawn.title == "FROC: MA"


def test_lesions_stand_beside_how_many_were_marked_in_how_many_photographs(
    make_run: MakeRun, table: pd.DataFrame
) -> None:
    folder = make_run()
    healthy = table.iloc[[1]].assign(image="c", group="c", hits=0, misses=0, tp=0, fn=0)
    again = table.assign(seed=1)
    write_table(pd.concat([table, healthy, again]), folder / "lesions.parquet", "lesions")
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["test/lesion/MA/f1"] = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3, "n_groups": 3}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    found = lesion_grid(read_run(folder), "test")
    assert found is not None
    assert found.columns[0] == "marked, in photographs"
    assert found.rows == [("MA", ["4 in 2 of 3", "0.500 [0.400, 0.600]"])]


def test_runs_that_counted_no_thresholds_have_none(make_run: MakeRun, table: pd.DataFrame) -> None:
    folder = make_run()
    write_table(table.drop(columns=["hits_at", "false_at"]), folder / "lesions.parquet", "lesions")
    found = froc(read_run(folder), "test")
    assert not found.charts
    assert found.grid is None
