"""Validation after a number of batches, whatever the epoch: a broken training goes on to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback

from retinalab.experiment import load_experiment
from retinalab.runner import Result, run

EVERY = 3
SMALL = (
    "data.options.photographs=24", "data.size=64", "data.batch_size=4", "l-net.task.backbone=test_resnet",
    "l-net.task.network=l-net-32s", "l-net.task.optimiser=sgd", "l-net.task.schedule=plateau",
    "l-net.task.dual_after=null", "l-net.task.patience=1", "l-net.task.prior=0.5",
    "l-net.trainer={max_epochs: 3, accelerator: cpu, devices: 1, precision: 32-true, check_val_every_n_epoch: null, "
    f"val_check_interval: {EVERY}, checkpoint_every_n_steps: 1}}",
)  # fmt: skip


class BrokenError(Exception):
    """Stands for a machine that dies."""


class Breaker(Callback):
    """Dies at a step, before it is trained or before the validation that follows it."""

    def __init__(self, step: int, validating: bool) -> None:
        self.step, self.validating = step, validating

    def on_train_batch_start(self, trainer: Any, task: Any, batch: Any, batch_idx: int) -> None:
        if not self.validating and trainer.global_step == self.step:
            raise BrokenError

    def on_validation_start(self, trainer: Any, task: Any) -> None:
        if self.validating and trainer.global_step == self.step:
            raise BrokenError


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resumed")


def made(place: Path, name: str) -> Any:
    return load_experiment(
        "sian", "synthetic-lesions", [*SMALL, f"data.cache={place / 'cache'}", f"output={place / name}"]
    )


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Result:
    return run(made(place, "whole"))


def stored(result: Result, which: str) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(
        result.folder / "checkpoints" / "l-net" / f"{which}.ckpt", weights_only=True
    )
    return found


@pytest.mark.parametrize(
    ("step", "validating"), [(2, False), (2 * EVERY - 1, False), (EVERY, True), (2 * EVERY, True)]
)
def test_a_training_broken_between_validations_goes_on_to_the_same_bits(
    step: int, validating: bool, place: Path, undisturbed: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retinalab.runner import stage

    original = stage.build_trainer
    experiment = made(place, f"{step}-{validating}")
    with monkeypatch.context() as patch:
        breaker = Breaker(step, validating)

        def broken(*words: Any) -> Any:
            return original(*([*word, breaker] if isinstance(word, list) else word for word in words))

        patch.setattr(stage, "build_trainer", broken)
        with pytest.raises(BrokenError):
            run(experiment)
    again = run(experiment)
    for which in ("best", "last"):
        whole, resumed = stored(undisturbed, which), stored(again, which)
        assert whole["global_step"] == resumed["global_step"]
        assert whole["plateau"] == resumed["plateau"]
        for name, value in whole["state_dict"].items():
            assert torch.equal(value, resumed["state_dict"][name]), name


def test_validations_count_across_epochs(undisturbed: Result) -> None:
    """Epochs have fewer batches than two validations lie apart, and the rate has fallen on their count."""
    steps = stored(undisturbed, "last")["global_step"]
    assert steps % 3 == 0
    assert steps / 3 != EVERY
    assert stored(undisturbed, "last")["plateau"]["last_epoch"] == steps // EVERY
