"""Stages taken over from another run: the result is that of computing them, and another stage is never taken."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import stage_id
from retinalab.runner import Result, run

Make = Callable[..., Any]
LAST = "severity.task.learning_rate=0.003"


def provenance(result: Result) -> dict[str, Any]:
    known: dict[str, Any] = json.loads((result.folder / "provenance.json").read_text())
    return known


def test_a_row_of_an_ablation_is_the_same_with_and_without_the_stages_of_another(
    make: Make, whole: tuple[Experiment, Result], tmp_path: Path
) -> None:
    _, first = whole
    computed = run(make("whole", LAST, output=tmp_path / "a"))
    reused = run(make("whole", LAST, output=tmp_path / "b"), reuse=[first.folder])
    pd.testing.assert_frame_equal(computed.predictions, reused.predictions)
    assert json.dumps(computed.metrics) == json.dumps(reused.metrics)
    known = provenance(reused)
    assert set(known["reused"]) == {"marks", "patches"}
    assert {one["run"] for one in known["reused"].values()} == {str(first.folder.resolve())}
    assert [note for note in known["notes"] if note.startswith("taken over, not computed here: ")]
    assert "reused" not in provenance(computed)


def test_a_stage_of_other_options_seed_or_labels_is_computed(
    make: Make, whole: tuple[Experiment, Result], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, first = whole
    caplog.set_level(logging.INFO, logger="retinalab")
    result = run(make("whole", "marks.task.learning_rate=0.002", output=tmp_path), reuse=[first.folder])
    assert set(provenance(result)["reused"]) == {"patches"}
    assert "marks: not taken over" in caplog.text
    assert (
        "its options, those of a stage before it, the protocol, folds or test sets are others" in caplog.text
    )


def test_another_seed_or_another_run_gives_nothing(
    make: Make, whole: tuple[Experiment, Result], tmp_path: Path
) -> None:
    _, first = whole
    result = run(make("whole", "seed=1", output=tmp_path), reuse=[first.folder])
    assert "reused" not in provenance(result)


def test_what_is_no_run_is_refused_before_anything_is_made(make: Make, tmp_path: Path) -> None:
    with pytest.raises(
        RetinalabError, match=r"--reuse .*nowhere: no run can be read there .FileNotFoundError."
    ):
        run(make("whole", output=tmp_path / "out"), reuse=[tmp_path / "nowhere"])
    assert not (tmp_path / "out").exists()


def test_a_stage_is_named_by_itself_and_what_is_behind_it(make: Make) -> None:
    plain = make("whole")
    same = make("whole", "seed=4", "name=other", "data.workers=2")
    assert all(stage_id(plain, name) == stage_id(same, name) for name in plain.stages)
    earlier = make("whole", "marks.trainer.max_epochs=7")
    assert stage_id(plain, "patches") == stage_id(earlier, "patches")
    assert stage_id(plain, "marks") != stage_id(earlier, "marks")
    assert stage_id(plain, "severity") != stage_id(
        earlier, "severity"
    )  # it starts from the encoder of the marks
    assert stage_id(plain, "marks") != stage_id(make("whole", "protocol.split_seed=3"), "marks")
