"""A training that is measured in steps ends at its last one, which is validated and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from retinalab.errors import RetinalabError
from retinalab.runner import Result, run
from retinalab.smoke import smoke
from retinalab.tasks.base import Task

ONE = ("stages.train.trainer.max_epochs=1",)  # of 5 steps; without effect beside max_steps


def last(result: Result, stage: str = "train") -> dict[str, Any]:
    stored: dict[str, Any] = torch.load(result.folder / f"checkpoints/{stage}/last.ckpt", weights_only=True)
    return stored


def validated(result: Result, stage: str = "train") -> list[int]:
    """Steps that had been taken at each validation."""
    table = pd.read_csv(result.folder / f"history/{stage}/metrics.csv").dropna(subset=["val/loss"])
    return [int(step) + 1 for step in table["step"]]


@pytest.mark.parametrize(("steps", "seen"), [(3, [3]), (10, [5, 10]), (12, [5, 10, 12])])
def test_the_last_step_is_validated_wherever_it_falls(
    make: Callable[..., Any], steps: int, seen: list[int]
) -> None:
    result = run(make("one", *ONE, f"train.trainer.max_steps={steps}"))
    assert validated(result) == seen
    assert last(result)["global_step"] == steps
    (schedule,) = last(result)["lr_schedulers"]
    assert schedule["total_iters"] == steps  # a rate that falls by step reaches its end
    assert schedule["_last_lr"] == [0.0]


def test_steps_that_gather_several_batches_are_counted_once(make: Callable[..., Any]) -> None:
    result = run(make("one", "train.trainer.max_steps=4", "train.trainer.accumulate_grad_batches=2"))
    assert last(result)["global_step"] == 4  # 3 in an epoch of 5 batches
    assert validated(result) == [3, 4]


def test_where_epochs_alternate_steps_end_it_within_either(make: Callable[..., Any]) -> None:
    result = run(
        make("rounds", "round.rounds=1", "round.train.trainer.max_steps=9")
    )  # epochs of 5 and 8 in turn
    assert validated(result, "round-1.train") == [5, 9]
    assert last(result, "round-1.train")["global_step"] == 9


@pytest.mark.parametrize("stop", [(1, 7), (2, 0)])
def test_a_training_by_steps_that_was_broken_off_goes_on_to_the_same_bits(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: tuple[int, int]
) -> None:
    recipe = (
        "round.rounds=1",
        "round.train.trainer.max_steps=15",
        "round.train.trainer.checkpoint_every_n_steps=1",
    )
    whole = run(make("rounds", *recipe, output=tmp_path / "a"))
    plain = Task.training_step

    def dying(self: Task, batch: Any, batch_idx: int) -> Any:
        if self.stream and (self.current_epoch, batch_idx) == stop:
            raise KeyError("dies")
        return plain(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", dying)
        with pytest.raises(KeyError, match="dies"):
            run(make("rounds", *recipe, output=tmp_path / "b"))
    again = run(make("rounds", *recipe, output=tmp_path / "b"))
    one, other = (last(result, "round-1.train") for result in (whole, again))
    assert one["global_step"] == other["global_step"] == 15
    for name, value in one["state_dict"].items():
        assert torch.equal(value, other["state_dict"][name]), name


def test_a_training_that_died_in_its_last_validation_repeats_it(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ("train.trainer.max_steps=7", "train.trainer.checkpoint_every_n_steps=1")
    whole = run(make("one", *recipe, output=tmp_path / "a"))

    def dying(self: Task) -> None:
        if self.global_step == 7:
            raise KeyError("dies")

    with monkeypatch.context() as patch:
        patch.setattr(Task, "on_validation_start", dying)
        with pytest.raises(KeyError, match="dies"):
            run(make("one", *recipe, output=tmp_path / "b"))
    again = run(make("one", *recipe, output=tmp_path / "b"))
    assert validated(again)[-1] == 7
    assert last(again)["global_step"] == 7
    pd.testing.assert_frame_equal(whole.predictions, again.predictions, check_exact=True)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["train.trainer.max_steps=0"], "which trains nothing"),
        (
            ["train.trainer.max_steps=5", "train.trainer.weight_averaging.learning_rate=0.1"],
            "weight_averaging counts epochs",
        ),
        (["train.trainer.extra={max_steps: 5}"], "extra gives 'max_steps', an option of the trainer itself"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    make: Callable[..., Any], overrides: list[str], said: str
) -> None:
    with pytest.raises(RetinalabError, match=said) as error:
        make("one", *overrides)
    assert len(str(error.value).splitlines()) == 1


def test_a_smoke_run_stays_two_steps(make: Callable[..., Any]) -> None:
    small = smoke(make("one", "train.trainer.max_steps=5000"))
    assert last(run(small))["global_step"] == 2
