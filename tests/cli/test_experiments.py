"""What retinalab exp prints when a run is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import retinalab.runner
from retinalab.cli import main
from retinalab.runner import Result

FIGURE = {"test/dr/kappa": {"value": 0.5, "low": 0.25, "high": 0.75, "n": 20}}


@pytest.mark.parametrize("only", [[], ["--only", "seed-0"]])
@pytest.mark.parametrize("first", [True, False])
def test_one_of_several_processes_speaks(
    first: bool,
    only: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ran(*_: Any) -> Result:
        return Result(tmp_path, FIGURE if first else {}, pd.DataFrame(), first=first)

    label = "synthetic: drawn photographs, not a result on patients"
    (tmp_path / "provenance.json").write_text(json.dumps({"labels": [label]}))

    monkeypatch.setattr(retinalab.runner, "run", ran)
    assert main(["exp", "baseline", "synthetic", *only]) == 0
    said = capsys.readouterr().out
    assert bool(said) == first
    assert ("metrics.json" in said) == (first and not only)
    assert (f"The run is labelled {label!r}\n" in said) == (first and not only)
    assert ("All is done" in said) == (first and bool(only))
