"""Too little memory is one line and exit status 2, whatever the command was doing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import retinalab.cli
from retinalab.cli import main
from retinalab.tasks.base import Task

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB."


def test_a_prediction_that_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(_: Any) -> int:
        raise torch.OutOfMemoryError(CUDA)

    monkeypatch.setattr(retinalab.cli, "predict", lacking)
    assert main(["predict", "run", "photographs"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("retinalab predict: the memory of the GPU does not suffice.")
    assert "CUDA_VISIBLE_DEVICES=" in line


def test_the_machine_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(retinalab.cli, "explain", lambda _: torch.empty(1 << 55))
    assert main(["explain", "run", "--out", "maps"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("retinalab explain: the memory of the machine does not suffice.")


def test_other_errors_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_: Any) -> int:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(retinalab.cli, "predict", wrong)
    with pytest.raises(RuntimeError, match="mat1"):
        main(["predict", "run", "photographs"])


@pytest.mark.parametrize("step", ["training_step", "test_step"])
def test_a_stage_names_its_batch(
    step: str,
    made_up: None,
    fake_sets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def lacking(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError(CUDA)

    monkeypatch.setattr(Task, step, lacking)
    places = [
        f"data.root={fake_sets / 'table'}",
        f"data.cache={tmp_path / 'cache'}",
        f"output={tmp_path / 'runs'}",
    ]
    assert main(["exp", "madeup", "one", "train.trainer.max_epochs=1", "data.batch_size=6", *places]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab")]
    assert len(told) == 1
    assert "Stage 'train' ran out of memory of the GPU, with batches of 6" in told[0]
    assert "stages.train.trainer.auto_batch_size=true" in told[0]
