"""An estimate counts what the training then does, measures real steps, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from retinalab.cli.estimated import print_estimate
from retinalab.runner import run
from retinalab.runner.estimate import estimate
from retinalab.runner.modules import stage_module
from retinalab.runner.peak import forget_peak, free_memory, peak_memory, resident_memory
from retinalab.runner.trial import try_steps
from retinalab.tasks.base import Task

Make = Callable[..., Any]
MB = 1_000_000


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.trainer.accumulate_grad_batches=3"],
        ["data.drop_last=true", "data.batch_size=5", "train.trainer.limit_train_batches=0.7"],
        ["train.trainer.max_steps=7", "data.batch_size=6"],
    ],
)
def test_as_many_steps_as_the_trainer_takes(make: Make, overrides: list[str]) -> None:
    experiment = make("one", "train.trainer.max_epochs=2", "test.saliency=false", *overrides)
    (stage,) = estimate(experiment).stages
    result = run(experiment)
    last = torch.load(result.folder / "checkpoints/train/last.ckpt", weights_only=True)
    assert stage.steps == last["global_step"]
    assert stage.epochs == last["epoch"] + 1
    tested = result.predictions["part"].value_counts()
    assert stage.photographs[1:] == (tested["val"], tested["test"])


def test_nothing_is_prepared_or_written(make: Make, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = estimate(make("one", f"data.cache={cache}"))
    assert not list(tmp_path.iterdir())
    (room,) = found.rooms.values()
    assert not room.prepared
    assert room.needed.photographs == 32
    assert found.memory > 0


def test_prepared_photographs_are_read(make: Make) -> None:
    experiment = make("one")
    parts = stage_module(experiment, "train", None, 0).parts
    found = estimate(experiment)
    assert [room.prepared for room in found.rooms.values()] == [True]
    assert found.stages[0].photographs == (len(parts.train), len(parts.val), len(parts.tests["table"]))


def test_every_fold_and_seed_counts(make: Make) -> None:
    experiment = make("one", "folds=3", "protocol.split=folds", "seeds=2")
    found = estimate(experiment)
    assert found.runs == 6
    assert found.seconds == pytest.approx(6 * found.stages[0].seconds)


def test_what_cannot_be_counted_is_said(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = make("whole", f"data.cache={tmp_path / 'empty'}")
    print_estimate(experiment)
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Estimate for madeup whole")
    rows = {line.split()[0]: line.split() for line in lines[4:7]}
    assert rows["patches"][1:] == ["-"] * 9
    assert rows["severity"][4] == "4"
    assert "patches: no estimate: its windows are counted in prepared photographs" in said
    assert "of each stage on one processor" in said


def test_the_memory_is_that_of_the_steps(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fills 300 MB takes 300 MB more than the process had, and not 600."""
    taken, plain = 300 * MB, Task.training_step

    def step(self: Task, batch: Any, batch_idx: int) -> torch.Tensor:
        held = torch.ones(taken, dtype=torch.uint8)
        return plain(self, batch, batch_idx) + 0 * held[0]

    monkeypatch.setattr(Task, "training_step", step)
    experiment = make("one")
    module = stage_module(experiment, "train", None, 0)
    _ = module.parts
    before = resident_memory()
    trial = try_steps(experiment, "train", module)
    assert before + 0.9 * taken < trial.memory < before + 2 * taken
    assert trial.batches == 4
    assert trial.step > 0
    assert trial.validation > 0


def test_a_peak_is_forgotten() -> None:
    device = torch.device("cpu")
    forget_peak(device)
    held = torch.ones(200 * MB, dtype=torch.uint8)
    high = peak_memory(device)
    del held
    forget_peak(device)
    assert peak_memory(device) < high - 100 * MB
    assert free_memory(device) > resident_memory() > 0
