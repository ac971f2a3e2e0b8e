"""Repeating, resuming, locking: the same experiment gives the same bits however often it is broken off."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from filelock import FileLock
from lightning import Callback

from retinalab.errors import RetinalabError
from retinalab.runner import Result, run

RECIPE = ("stages.train.trainer.max_epochs=3", "stages.train.task.dropout=0.3", "data.augment.rotation=90")
STEPS = 5  # 20 training photographs in batches of 4


class BrokenError(Exception):
    """Stands for a machine that dies."""


class Breaker(Callback):
    """Dies at a named moment of a named epoch."""

    def __init__(self, moment: str, epoch: int, batch: int = 0) -> None:
        self.moment, self.epoch, self.batch = moment, epoch, batch

    def _die(self, moment: str, trainer: Any, batch: int = 0) -> None:
        if (moment, trainer.current_epoch, batch) == (self.moment, self.epoch, self.batch):
            raise BrokenError

    def on_train_batch_start(self, trainer: Any, task: Any, batch: Any, batch_idx: int) -> None:
        self._die("batch", trainer, batch_idx)

    def on_validation_start(self, trainer: Any, task: Any) -> None:
        self._die("validation", trainer)

    def on_train_epoch_start(self, trainer: Any, task: Any) -> None:
        self._die("epoch", trainer)

    def on_test_start(self, trainer: Any, task: Any) -> None:
        if self.moment == "test":
            raise BrokenError


@pytest.fixture
def one_stage(make: Callable[..., Any]) -> Callable[..., Any]:
    def made(*overrides: str, output: Path) -> Any:
        return make("one", *RECIPE, *overrides, output=output)

    return made


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, Breaker], None]:
    """Run an experiment that dies where the breaker says."""
    from retinalab.runner import stage

    def go(experiment: Any, breaker: Breaker) -> None:
        original = stage.build_trainer
        with monkeypatch.context() as patch:
            patch.setattr(
                stage, "build_trainer", lambda *words: original(*words[:5], [*words[5], breaker], *words[6:])
            )
            with pytest.raises(BrokenError):
                run(experiment)

    return go


def weights(result: Result, which: str = "last") -> dict[str, Any]:
    path = result.folder / "checkpoints" / "train" / f"{which}.ckpt"
    stored: dict[str, Any] = torch.load(path, weights_only=True)
    return stored


def equal(one: Result, other: Result) -> None:
    pd.testing.assert_frame_equal(one.predictions, other.predictions, check_exact=True)
    for which in ("best", "last"):
        first, second = weights(one, which), weights(other, which)
        assert first["global_step"] == second["global_step"]
        for name, value in first["state_dict"].items():
            assert torch.equal(value, second["state_dict"][name]), name


@pytest.fixture(scope="session")
def undisturbed(
    made_up: None, fake_sets: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Result:
    from retinalab.experiment import load_experiment

    roots = [f"roots.{folder.name}={folder}" for folder in sorted(fake_sets.iterdir())]
    output = tmp_path_factory.mktemp("undisturbed")
    return run(
        load_experiment("madeup", "one", [*roots, f"data.cache={prepared}", f"output={output}", *RECIPE])
    )


@pytest.mark.parametrize(
    ("breaker", "every", "steps_left"),
    [
        (Breaker("batch", 0, 3), None, 15),  # nothing saved yet: from the start
        (Breaker("batch", 1, 3), None, 10),  # from the end of the first epoch
        (Breaker("batch", 1, 3), 1, 7),  # within the second epoch
        (Breaker("batch", 0, 3), 2, 13),
        (
            Breaker("validation", 1),
            1,
            6,
        ),  # trained, but not yet validated: the last step again, then validation
        (Breaker("epoch", 1), 1, 10),
        (Breaker("epoch", 2), None, 5),
        (Breaker("test", 0), None, 0),  # trained and validated to the end
    ],
    ids=lambda value: (
        f"{value.moment}-{value.epoch}-{value.batch}" if isinstance(value, Breaker) else str(value)
    ),
)
def test_a_broken_run_goes_on_to_the_same_bits(
    one_stage: Callable[..., Any],
    breaking: Callable[..., None],
    undisturbed: Result,
    tmp_path: Path,
    breaker: Breaker,
    every: int | None,
    steps_left: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extra = [f"stages.train.trainer.checkpoint_every_n_steps={every}"] if every else []
    experiment = one_stage(*extra, output=tmp_path)
    breaking(experiment, breaker)
    (folder,) = [path for path in (tmp_path / "runs/madeup/one").iterdir() if path.is_dir()]
    assert not (folder / "metrics.json").exists()
    assert not (folder.parent / "latest").exists()

    taken = []
    from retinalab_madeup.task import SeverityTask

    original = SeverityTask.training_step
    monkeypatch.setattr(
        SeverityTask, "training_step", lambda self, batch, i: taken.append(i) or original(self, batch, i)
    )
    result = run(experiment)
    assert result.folder.resolve() == folder.resolve()
    assert len(taken) == steps_left
    equal(result, undisturbed)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_do_not_depend_on_workers(
    one_stage: Callable[..., Any], undisturbed: Result, tmp_path: Path, workers: int
) -> None:
    equal(run(one_stage(f"data.workers={workers}", output=tmp_path)), undisturbed)


def test_a_run_broken_within_an_epoch_goes_on_with_workers(
    one_stage: Callable[..., Any], breaking: Callable[..., None], undisturbed: Result, tmp_path: Path
) -> None:
    experiment = one_stage(
        "stages.train.trainer.checkpoint_every_n_steps=1", "data.workers=2", output=tmp_path
    )
    breaking(experiment, Breaker("batch", 1, 2))
    equal(run(experiment), undisturbed)


def test_a_finished_run_is_repeated_under_the_next_number(
    one_stage: Callable[..., Any], undisturbed: Result, tmp_path: Path
) -> None:
    first, second = (run(one_stage(output=tmp_path)) for _ in range(2))
    assert first.folder.name.endswith("-1")
    assert second.folder.name == f"{first.folder.name[:-1]}2"
    assert (first.folder.parent / "latest").resolve() == second.folder.resolve()
    equal(first, second)
    equal(first, undisturbed)


def test_another_seed_is_another_result(
    one_stage: Callable[..., Any], undisturbed: Result, tmp_path: Path
) -> None:
    other = run(one_stage("seed=1", output=tmp_path))
    assert other.predictions["dr_score"].tolist() != undisturbed.predictions["dr_score"].tolist()
    assert set(other.predictions["image"]) == set(
        undisturbed.predictions["image"]
    )  # the split has its own seed


def test_other_photographs_are_not_mixed_into_an_unfinished_run(
    one_stage: Callable[..., Any], breaking: Callable[..., None], tmp_path: Path
) -> None:
    from retinalab.testing import write_fake_set

    experiment = one_stage(output=tmp_path)
    breaking(experiment, Breaker("batch", 1, 0))
    other = write_fake_set("table", tmp_path / "other" / "table", 32, seed=99)
    result = run(one_stage(f"data.root={other}", output=tmp_path))
    assert result.folder.name.endswith("-2")


def test_a_second_process_is_kept_out(
    one_stage: Callable[..., Any], breaking: Callable[..., None], tmp_path: Path
) -> None:
    experiment = one_stage(output=tmp_path)
    breaking(experiment, Breaker("batch", 0, 0))
    (folder,) = [path for path in (tmp_path / "runs/madeup/one").iterdir() if path.is_dir()]
    with (
        FileLock(folder / ".lock"),
        pytest.raises(RetinalabError, match=r"Another process works on .*seed=1"),
    ):
        run(experiment)
    run(experiment)


def test_an_output_that_cannot_be_written_is_one_line(one_stage: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RetinalabError, match=r"Cannot write to .*output=PATH"):
        run(one_stage(output=tmp_path))


def test_bad_data_leave_no_run_folder(one_stage: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(RetinalabError, match="No folder"):
        run(one_stage(f"data.root={tmp_path}/nowhere", output=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_folder_beside_the_runs_does_no_harm(one_stage: Callable[..., Any], tmp_path: Path) -> None:
    from retinalab.experiment import experiment_id

    experiment = one_stage("stages.train.trainer.max_epochs=1", output=tmp_path)
    (tmp_path / "runs/madeup/one" / f"{experiment_id(experiment)}-copy").mkdir(parents=True)
    assert run(experiment).folder.name.endswith("-1")


def test_a_metric_that_is_not_logged_is_named_with_those_that_are(
    one_stage: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(
        RetinalabError, match=r"Stage 'train' has no metric 'val/kapa'.*val/dr/kappa"
    ) as raised:
        run(one_stage("stages.train.trainer.monitor=val/kapa", output=tmp_path))
    assert "\n" not in str(raised.value)


def test_the_keyboard_stops_a_run_as_an_interrupt(
    one_stage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    from retinalab_madeup.task import SeverityTask

    def interrupt(self: Any, batch: Any, index: int) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(SeverityTask, "training_step", interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(one_stage(output=tmp_path))
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, before)


def test_two_processes_judge_each_photograph_once_and_agree_on_the_figures(
    one_stage: Callable[..., Any], tmp_path: Path
) -> None:
    two = run(
        one_stage(
            "stages.train.trainer.devices=2",
            "stages.train.trainer.strategy=ddp_fork",
            output=tmp_path / "two",
        )
    )
    table = two.predictions
    assert not table.duplicated(["image", "set", "part"]).any()
    assert table.groupby("part").size().to_dict() == {"test": 8, "val": 4}
    last = pd.read_csv(two.folder / "history/train/metrics.csv").dropna(subset=["val/loss"]).iloc[-1]
    best = weights(two, "best")
    assert best["global_step"] <= 9  # 10 photographs a process, batches of 4: 3 steps an epoch
    assert last["val/dr/accuracy"] in (0.0, 0.25, 0.5, 0.75, 1.0)  # of 4 photographs, not of 2
    assert json.loads((two.folder / "state.json").read_text())["finished"]
    assert "RETINALAB_RUN" not in os.environ


@pytest.mark.parametrize("sizes", [["data.batch_size=3"], ["data.batch_size=2", "data.limit=5"]])
def test_two_processes_evaluate_as_one(
    one_stage: Callable[..., Any], tmp_path: Path, sizes: list[str]
) -> None:
    """With a learning rate of nothing the weights stay, so that only the evaluation could differ.

    In the second case one process has a batch more than the other to test on.
    """
    still = ("stages.train.trainer.max_epochs=1", "stages.train.task.learning_rate=1e-30", *sizes)
    one = run(one_stage(*still, output=tmp_path / "one"))
    split = ("stages.train.trainer.devices=2", "stages.train.trainer.strategy=ddp_fork")
    two = run(one_stage(*still, *split, output=tmp_path / "two"))
    keys = ["part", "image"]
    columns = [*keys, "dr", "dr_grade", "dme", "dme_grade"]
    pd.testing.assert_frame_equal(
        one.predictions.sort_values(keys)[columns].reset_index(drop=True),
        two.predictions.sort_values(keys)[columns].reset_index(drop=True),
    )
