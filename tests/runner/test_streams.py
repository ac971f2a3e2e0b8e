"""Stages of rounds draw apart from each other and from those outside, which draw as the seed alone says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from retinalab.data.sampler import EpochSampler
from retinalab.experiment import experiment_id
from retinalab.runner import run
from retinalab.runner.modules import stage_modules
from retinalab.tasks.base import Task
from retinalab.transforms.draw import draw_colours, draw_warps, generator

TRAINED = 20
EPOCHS = 4
ORDER = 0x0DE7


class BrokenError(Exception):
    """Stands for a machine that dies."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, list[int], int]]:
    """Stream, epoch, rows and dropout's seed of every training step, in order."""
    kept: list[tuple[int, int, list[int], int]] = []
    plain = Task.training_step

    def watched(self: Task, batch: Any, batch_idx: int) -> Any:
        kept.append((self.stream, self.current_epoch, batch["index"].tolist(), torch.initial_seed()))
        return plain(self, batch, batch_idx)

    monkeypatch.setattr(Task, "training_step", watched)
    return kept


def order(steps: list[Any], stream: int, epoch: int) -> list[int]:
    return [row for s, e, rows, _ in steps for row in rows if (s, e) == (stream, epoch)]


def seeded(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def test_every_round_has_an_order_and_dropout_of_its_own(make: Callable[..., Any], steps: list[Any]) -> None:
    experiment = make("rounds", "stages.first.trainer.max_epochs=2", "seed=3")
    streams = {name: stage.stream for name, stage in experiment.stages.items()}
    assert streams == {
        "first": 0, "round-1.make": 0, "round-1.train": 1, "round-2.make": 0, "round-2.train": 2,
    }  # fmt: skip
    run(experiment)
    for epoch in (0, 1):
        expected = generator(3, epoch, ORDER).permutation(TRAINED).tolist()
        assert order(steps, 0, epoch) == expected  # outside of rounds as the seed alone says
    for epoch in range(EPOCHS):
        one, two = order(steps, 1, epoch), order(steps, 2, epoch)
        assert sorted(one) == sorted(two)
        assert one != two
        size = TRAINED if epoch % 2 == 0 else TRAINED + 9
        assert one == generator(3, epoch, ORDER, 1).permutation(size).tolist()
        assert two == generator(3, epoch, ORDER, 2).permutation(size).tolist()
    assert order(steps, 1, 0) != order(steps, 0, 0)
    outside = [seed for stream, _, _, seed in steps if stream == 0]
    assert outside == [seeded(3, epoch, batch, 0) for epoch in (0, 1) for batch in range(5)]
    assert len({seed for _, _, _, seed in steps}) == len(steps) == 10 + 2 * (2 * 5 + 2 * 8)


@pytest.mark.parametrize("stream", [0, 2])
def test_augmentation_follows_from_seed_epoch_position_and_stream(
    make: Callable[..., Any], stream: int
) -> None:
    experiment = make(
        "one", "data.augment.rotation=90", "data.augment.brightness=0.3", f"train.stream={stream}", "seed=5"
    )
    module = stage_modules(experiment, None, 5)["train"]
    dataset = module.dataset(module.parts.train, training=True)
    keys = [(1, 0, 4), (1, 7, 2), (3, 0, 4)]
    dataset.on_device = True  # the draws then travel with the batch
    batch = dataset.__getitems__(keys)
    augment, size, crop = dataset.data.augment, dataset.data.size, dataset.data.input_size
    for k, (epoch, position, _) in enumerate(keys):
        rng = generator(5, epoch, position, *([stream] if stream else []))
        np.testing.assert_array_equal(batch["warp"][k], draw_warps(augment, size, crop, "whole", [rng])[0])
        np.testing.assert_array_equal(batch["colour"][k], draw_colours(augment, [rng])[0])
    other = generator(5, 1, 0, *([] if stream else [2]))
    assert not np.array_equal(batch["warp"][0], draw_warps(augment, size, crop, "whole", [other])[0])
    plain = module.dataset(module.parts.val).__getitems__([(0, 0, 0)])
    again = module.dataset(module.parts.val).__getitems__([(9, 5, 0)])
    assert torch.equal(plain["image"], again["image"])


def test_draws_with_replacement_have_streams_too() -> None:
    classes = np.array([0] * 30 + [1] * 10)
    weights = np.where(classes == 0, 1 / 60, 1 / 20)
    for stream in (0, 1):
        sampler = EpochSampler(40, 7, True, classes, stream=stream)
        rng = generator(7, 0, ORDER, *([stream] if stream else []))
        assert [row for _, _, row in sampler] == rng.choice(40, 40, p=weights).tolist()


def test_a_round_that_was_broken_off_goes_on_with_its_own_draws(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = (
        "data.augment.rotation=90",
        "round.train.task.dropout=0.3",
        "round.train.trainer.checkpoint_every_n_steps=1",
    )
    whole = run(make("rounds", *recipe, output=tmp_path / "a"))
    plain = Task.training_step

    def dying(self: Task, batch: Any, batch_idx: int) -> Any:
        if (self.stream, self.current_epoch, batch_idx) == (2, 1, 3):
            raise BrokenError
        return plain(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", dying)
        with pytest.raises(BrokenError):
            run(make("rounds", *recipe, output=tmp_path / "b"))
    again = run(make("rounds", *recipe, output=tmp_path / "b"))
    for which in ("best", "last"):
        one, other = (
            torch.load(r.folder / f"checkpoints/round-2.train/{which}.ckpt", weights_only=True)
            for r in (whole, again)
        )
        assert one["global_step"] == other["global_step"]
        for name, value in one["state_dict"].items():
            assert torch.equal(value, other["state_dict"][name]), name


def test_a_stream_is_part_of_what_is_computed_and_none_is_not(make: Callable[..., Any]) -> None:
    plain = experiment_id(make("one"))
    assert experiment_id(make("one", "train.stream=0")) == plain
    assert experiment_id(make("one", "train.stream=1")) != plain
