"""Averages of weights against recursions by hand, the statistics that go with them, and what is tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab.config import TrainerConfig, WeightAveraging
from retinalab.errors import RetinalabError
from retinalab.runner import run
from retinalab.runner.averaging import first_epoch
from retinalab.runner.modules import stage_modules
from retinalab.tasks.base import Task

SWA = ("train.trainer.weight_averaging.kind=swa",)
EMA = ("train.trainer.weight_averaging.kind=ema", "train.trainer.weight_averaging.decay=0.9")
LONG = ("train.trainer.max_epochs=4", "train.task.dropout=0")


def weights(task: Task) -> dict[str, np.ndarray]:
    return {f"network.{name}": one.detach().double().numpy() for name, one in task.network.named_parameters()}


def watched(monkeypatch: pytest.MonkeyPatch, hook: str, into: list[dict[str, np.ndarray]]) -> None:
    def look(self: Task, *_: Any) -> None:
        into.append(weights(self))

    monkeypatch.setattr(Task, hook, look)


def checkpoint(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "checkpoints/train" / f"{name}.ckpt", weights_only=True)
    return found


def close(mine: dict[str, Tensor], expected: dict[str, np.ndarray]) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(mine[name].double().numpy(), value, rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_mean_over_the_last_epochs_is_what_is_kept_and_tested(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[dict[str, np.ndarray]] = []
    tested: list[dict[str, np.ndarray]] = []
    watched(monkeypatch, "on_train_epoch_end", ends)
    watched(monkeypatch, "on_test_epoch_start", tested)
    found = run(make("one", *LONG, *SWA, "train.trainer.weight_averaging.epoch_start=0.5"))
    last = checkpoint(found.folder, "last")
    mean = {name: (ends[2][name] + ends[3][name]) / 2 for name in ends[0]}
    close(last["state_dict"], mean)
    close(last["current_model_state"], ends[3])
    best = checkpoint(found.folder, "best")
    assert best["epoch"] >= 2
    expected = {2: ends[2], 3: mean}[best["epoch"]]
    close(best["state_dict"], expected)
    for name, value in tested[-1].items():
        np.testing.assert_array_equal(value, best["state_dict"][name].double().numpy())
    report = (found.folder / "report.html").read_text(encoding="utf-8")
    assert "the mean over the ends of its epochs from the 3. on" in report


def test_statistics_are_those_of_the_averaged_weights(make: Callable[..., Any]) -> None:
    experiment = make(
        "one", "train.trainer.max_epochs=1", *SWA, "train.trainer.weight_averaging.epoch_start=0"
    )
    state = checkpoint(run(experiment).folder, "best")["state_dict"]
    module = stage_modules(experiment, None, experiment.seed)["train"]
    weight, bias = state["network.encoder.0.weight"], state["network.encoder.0.bias"]
    means, variances = [], []
    for batch in module.train_dataloader():
        images = module.on_after_batch_transfer(batch, 0)["image"]
        values = F.conv2d(images, weight, bias, padding=1).double().numpy()
        means.append(values.mean((0, 2, 3)))
        variances.append(values.var((0, 2, 3), ddof=1))
    np.testing.assert_allclose(
        state["network.encoder.1.running_mean"], np.mean(means, 0), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        state["network.encoder.1.running_var"], np.mean(variances, 0), rtol=1e-4, atol=1e-6
    )
    assert int(state["network.encoder.1.num_batches_tracked"]) == len(means)


def test_frozen_statistics_are_not_taken_anew(make: Callable[..., Any]) -> None:
    frozen = ("train.task.freeze=encoder", "train.trainer.weight_averaging.epoch_start=0")
    found = run(make("one", "train.trainer.max_epochs=1", *SWA, *frozen))
    state = checkpoint(found.folder, "best")["state_dict"]
    assert torch.equal(state["network.encoder.1.running_mean"], torch.zeros(8))
    assert torch.equal(state["network.encoder.1.running_var"], torch.ones(8))


def test_the_exponential_average_is_the_recursion(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[dict[str, np.ndarray]] = []
    watched(monkeypatch, "on_train_batch_end", steps)
    found = run(make("one", *LONG, *EMA, "train.trainer.max_steps=7"))
    assert len(steps) == 7
    mean = steps[0]
    for n, now in enumerate(steps[1:], 1):
        d = min(0.9, (1 + n) / (10 + n))
        mean = {name: d * mean[name] + (1 - d) * now[name] for name in now}
    last = checkpoint(found.folder, "last")
    close(last["state_dict"], mean)
    close(last["current_model_state"], steps[-1])


@pytest.mark.parametrize("how", [SWA, EMA], ids=["swa", "ema"])
def test_an_interrupted_training_ends_alike(
    how: tuple[str, ...], make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = (
        *LONG,
        *how,
        "train.trainer.weight_averaging.epoch_start=0.5",
        "train.trainer.checkpoint_every_n_steps=1",
    )
    whole = run(make("one", *recipe, output=tmp_path / "a"))

    def dying(self: Task, *_: Any) -> None:
        if self.current_epoch == 3:
            raise KeyError("dies")

    with monkeypatch.context() as patch:
        patch.setattr(Task, "on_train_batch_end", dying)
        with pytest.raises(KeyError, match="dies"):
            run(make("one", *recipe, output=tmp_path / "b"))
    again = run(make("one", *recipe, output=tmp_path / "b"))
    pd.testing.assert_frame_equal(whole.predictions, again.predictions, check_exact=True)
    mine, theirs = (checkpoint(one.folder, "last")["state_dict"] for one in (whole, again))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_rate_of_its_own_is_constant(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[tuple[int, float]] = []

    def look(self: Task, *_: Any) -> None:
        rates.append((self.current_epoch, self.optimizers().param_groups[0]["lr"]))  # type: ignore[union-attr]

    monkeypatch.setattr(Task, "on_before_zero_grad", look)
    options = (
        "train.trainer.weight_averaging.epoch_start=2",
        "train.trainer.weight_averaging.learning_rate=0.125",
    )
    run(make("one", *LONG, *SWA, *options))
    assert {rate for epoch, rate in rates if epoch >= 2} == {0.125}
    assert 0.125 not in {rate for epoch, rate in rates if epoch < 2}


def test_where_averages_begin() -> None:
    assert first_epoch(WeightAveraging(), 10) == 8
    assert first_epoch(WeightAveraging(kind="ema"), 10) == 0
    assert first_epoch(WeightAveraging(epoch_start=30), 10) == 9
    assert first_epoch(WeightAveraging(epoch_start=1), 5) == 4


def test_a_training_that_may_end_before_is_refused(make: Callable[..., Any]) -> None:
    with pytest.raises(RetinalabError, match="before weight_averaging has begun"):
        make("one", *SWA, "train.trainer.early_stopping.patience=2")
    TrainerConfig.model_validate({"weight_averaging": {"kind": "ema"}, "early_stopping": {"patience": 2}})


@pytest.mark.parametrize("strategy", ["fsdp", "fsdp_cpu_offload", "deepspeed_stage_3"])
def test_weights_in_parts_are_not_averaged(make: Callable[..., Any], strategy: str) -> None:
    wanted = f"train.trainer.strategy={strategy}"
    for average in (SWA, EMA):
        with pytest.raises(RetinalabError) as error:
            make("one", *average, wanted)
        (line,) = str(error.value).splitlines()
        assert (
            f"strategy={strategy} leaves a part on each; set strategy=ddp, or leave weight_averaging" in line
        )
    make("one", wanted)
    make("one", *SWA, "train.trainer.strategy=ddp")
