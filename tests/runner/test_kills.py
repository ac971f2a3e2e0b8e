"""An experiment, a prediction and a preparation that are killed at random moments end as undisturbed ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

BENCH = Path(__file__).resolve().parents[2] / "experiments/bench/kills.py"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}


@pytest.fixture(scope="module")
def kills(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("kills")


def test_three_kills_change_nothing(tmp_path: Path) -> None:
    """In an interpreter of its own, which has no threads when it forks."""
    out = tmp_path / "kills.json"
    words = ["--moments", "3", "--papers", "canet", "--seed", "1", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(BENCH), *words],
        capture_output=True,
        text=True,
        timeout=580,
        env={**os.environ, **ENVIRONMENT},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))["kills"]
    assert [row["command"] for row in found] == ["canet", "predict", "prepare"]
    assert {row["outcome"] for row in found} == {"the same"}


def test_what_differs_is_seen(kills: ModuleType, tmp_path: Path) -> None:
    """Else every comparison would pass."""
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        pd.DataFrame({"image": ["a", "b"], "dr_p0": [0.1, 0.2]}).to_parquet(folder / "predictions.parquet")
        (folder / "rows.csv").write_text("image\na\n")
    assert kills.difference(one, other) == ""
    pd.DataFrame({"image": ["a", "b"], "dr_p0": [0.1, 0.2 + 1e-16]}).to_parquet(one / "predictions.parquet")
    assert kills.difference(one, other) == "predictions.parquet differs"
    pd.DataFrame({"image": ["a", "b"], "dr_p0": [0.1, 0.2]}).to_parquet(one / "predictions.parquet")
    (one / "rows.csv").write_text("image\na\nb\n")
    assert kills.difference(one, other) == "rows.csv differs"
    (one / ".state.json.tmp").touch()
    assert kills.difference(one, other) == "left over or missing: .state.json.tmp"
