"""A loss that is no longer finite ends the training: where, on what, and with which checkpoint to go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from retinalab.cli import main
from retinalab.errors import RetinalabError
from retinalab.experiment import as_yaml, experiment_id
from retinalab.registry import task_class
from retinalab.runner import run
from retinalab.runner.divergence import finite_weights
from retinalab.runner.modules import stage_modules
from retinalab.tasks.base import Task

Make = Callable[..., Any]
BATCHES = 5  # of an epoch of the experiment "one"


def breaks(
    monkeypatch: pytest.MonkeyPatch, epoch: int, batch: int, value: float, stream: int = 0
) -> list[Any]:
    """Let the loss of one batch be ``value``; the batches that were trained on, in their order."""
    plain, seen = Task.training_step, []

    def step(self: Task, given: Any, batch_idx: int) -> Any:
        if self.stream == stream:
            seen.append(((self.current_epoch, batch_idx), given["index"].tolist()))
        loss = plain(self, given, batch_idx)
        return (
            loss * value if (self.stream, self.current_epoch, batch_idx) == (stream, epoch, batch) else loss
        )

    monkeypatch.setattr(Task, "training_step", step)
    return seen


def folder_of(experiment: Any) -> Path:
    (found,) = (Path(experiment.output) / experiment.paper).glob(f"*/{experiment_id(experiment)}*")
    return found


def finite(checkpoint: Path) -> bool:
    stored = torch.load(checkpoint, weights_only=True)
    return all(bool(one.isfinite().all()) for one in stored["state_dict"].values() if one.is_floating_point())


@pytest.mark.parametrize(("every", "value"), [(1, float("nan")), (3, float("inf")), (50, float("nan"))])
def test_training_stops_within_so_many_batches_and_names_them(
    make: Make, monkeypatch: pytest.MonkeyPatch, every: int, value: float
) -> None:
    seen = breaks(monkeypatch, 1, 1, value)
    experiment = make("one", "train.trainer.max_epochs=4", f"train.trainer.check_loss_every_n_steps={every}")
    with pytest.raises(RetinalabError) as error:
        run(experiment)
    folder = folder_of(experiment)
    stopped = min(-(-(BATCHES + 2) // every) * every, 2 * BATCHES)  # at the latest where the epoch ends
    assert len(seen) == stopped
    said = str(error.value)
    assert len(said.splitlines()) == 1
    assert f"at step {BATCHES + 2} (epoch 1, batch 1)" in said
    assert f"The last good checkpoint is {folder / 'checkpoints/train/last.ckpt'}" in said

    table = pd.read_csv(folder / "diverged-train.csv")
    expected = seen[-min(every, stopped) :]
    assert list(dict.fromkeys(zip(table["epoch"], table["batch"], strict=True))) == [
        one for one, _ in expected
    ]
    names = stage_modules(experiment, None, 0)["train"].parts.train.records.table["image"]
    assert table["image"].tolist() == [names[row] for _, rows in expected for row in rows]
    broken = table[(table["epoch"] == 1) & (table["batch"] == 1)]
    assert not broken["loss"].map(lambda loss: abs(loss) < float("inf")).any()
    assert broken["image"].iloc[0] in said


def test_what_is_kept_was_saved_before(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks(monkeypatch, 1, 1, float("nan"))
    steps = "train.trainer.checkpoint_every_n_steps=1"
    experiment = make("one", "train.trainer.max_epochs=4", steps)
    with pytest.raises(RetinalabError, match=r"step\.ckpt"):
        run(experiment)
    kept = {path.name: path for path in (folder_of(experiment) / "checkpoints/train").iterdir()}
    assert set(kept) == {"best.ckpt", "last.ckpt", "step.ckpt"}
    assert all(map(finite, kept.values()))
    assert torch.load(kept["step.ckpt"], weights_only=True)["global_step"] == BATCHES + 1
    assert torch.load(kept["last.ckpt"], weights_only=True)["global_step"] == BATCHES


def test_weights_that_a_last_step_took_to_infinity_are_not_saved(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(self: Task, optimiser: torch.optim.Optimizer) -> None:
        if self.global_step == 2 * BATCHES - 1:
            next(self.parameters()).grad.fill_(torch.nan)

    monkeypatch.setattr(Task, "on_before_optimizer_step", spoil)
    experiment = make("one", "train.trainer.max_epochs=2")
    with pytest.raises(RetinalabError, match=f"after step {2 * BATCHES} its weights are no longer finite"):
        run(experiment)
    kept = list((folder_of(experiment) / "checkpoints/train").iterdir())
    assert kept
    assert all(map(finite, kept))


def test_a_later_of_several_stages_stops_and_goes_on_once_it_is_mended(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make("rounds", "round.rounds=1")
    with monkeypatch.context() as patch:
        breaks(patch, 0, 2, float("nan"), stream=1)
        with pytest.raises(
            RetinalabError, match=r"'round-1.train' diverged.*No checkpoint had been saved yet"
        ):
            run(experiment)
    folder = folder_of(experiment)
    assert (folder / "diverged-round-1.train.csv").is_file()
    assert not (folder / "metrics.json").exists()
    result = run(experiment)
    assert result.folder == folder
    assert not (folder / "diverged-round-1.train.csv").exists()


def test_the_command_says_so_in_one_line_and_ends_with_2(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    breaks(monkeypatch, 0, 0, float("nan"))
    file = tmp_path / "one.yaml"
    file.write_text(as_yaml(make("one")), encoding="utf-8")
    roots = [f"roots.{name}={root}" for name, root in make("one").roots.items()]
    assert main(["exp", "madeup", str(file), *roots, f"output={tmp_path / 'runs'}"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert "Traceback" not in "".join(said)
    assert sum("diverged" in line for line in said) == 1


class Reads(TorchDispatchMode):
    """Counts how often a value is read on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func._schema.name == "aten::_local_scalar_dense"
        return func(*args, **(kwargs or {}))


def test_nothing_but_the_flag_is_read_by_the_trainer_task_and_callbacks(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    modes: list[Reads] = []
    begin = Task.on_train_batch_start

    def enter(self: Task, batch: Any, batch_idx: int) -> None:
        begin(self, batch, batch_idx)
        modes.append(Reads())
        modes[-1].__enter__()

    def leave(self: Task, outputs: Any, batch: Any, batch_idx: int) -> None:  # after the callbacks
        modes[-1].__exit__(None, None, None)
        counts.append(modes[-1].count)

    def plain(self: Task) -> Any:  # Adam keeps its steps on the host, where reading them waits for nothing
        return torch.optim.SGD(self.parameters(), 1e-3)

    monkeypatch.setattr(Task, "on_train_batch_start", enter)
    monkeypatch.setattr(Task, "on_train_batch_end", leave)
    monkeypatch.setattr(task_class("madeup-severity"), "configure_optimizers", plain)
    run(make("one", "train.trainer.max_epochs=2", "train.trainer.check_loss_every_n_steps=4"))
    assert counts == [int((batch + 1) % 4 == 0) for batch in range(2 * BATCHES)]


def test_running_statistics_count_as_weights() -> None:
    module: Any = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    assert finite_weights(module)
    module[1].running_var[1] = torch.inf
    assert not finite_weights(module)
    assert finite_weights(torch.nn.Identity())  # type: ignore[arg-type]  # nothing to lose
