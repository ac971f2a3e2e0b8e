"""Stages that make photographs: what is made, that it is made once, and when it is trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from retinalab.data.made import open_made
from retinalab.errors import RetinalabError
from retinalab.runner import run
from retinalab.tasks.base import Task

TRAINED = 20  # training photographs of the drawn set


class StoppedError(Exception):
    """Stands for a machine that dies."""


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int]]]:
    """Epoch and rows of every training batch, in order."""
    batches: list[tuple[int, list[int]]] = []
    step = Task.training_step

    def watched(self: Task, batch: Any, batch_idx: int) -> Any:
        batches.append((self.current_epoch, batch["index"].tolist()))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Task, "training_step", watched)
    return batches


def test_rounds_make_and_add(make: Callable[..., Any]) -> None:
    experiment = make("rounds")
    result = run(experiment)
    made = result.folder / "made"
    assert sorted(place.name for place in made.iterdir()) == ["round-1.make", "round-2.make"]
    state = json.loads((result.folder / "state.json").read_text())
    assert state["stages"] == ["first", "round-1.make", "round-1.train", "round-2.make", "round-2.train"]
    for place in made.iterdir():
        table = pd.read_parquet(place / "made.parquet")
        assert table["left_out"].tolist() == [k % 7 == 6 for k in range(10)]
        assert "1 of 10 photographs show nothing" in (place / "notes.txt").read_text()
        split = pd.read_csv(result.folder / "split-first.csv")
        assert (split["part"] == "train").sum() == TRAINED
        pictures = sorted((place / "pictures").iterdir())
        assert len(pictures) == 10
        assert json.loads((pictures[0] / "captions.json").read_text()) == ["before", "after"]
    tested = result.predictions[result.predictions["part"] == "test"]
    assert set(tested["set"]) == {"table"}
    assert not tested["image"].duplicated().any()


def test_made_photographs_come_in_every_other_epoch(make: Callable[..., Any], seen: list[Any]) -> None:
    run(make("rounds", "round.rounds=1"))
    first, rest = seen[:5], seen[5:]
    assert {row for _, rows in first for row in rows} == set(range(TRAINED))
    epochs = [{row for epoch, rows in rest if epoch == k for row in rows} for k in range(4)]
    own, both = set(range(TRAINED)), set(range(TRAINED + 9))
    assert epochs == [own, both, own, both]
    assert len(rest) == 2 * 5 + 2 * 8  # batches of 4


def test_a_made_photograph_is_what_the_maker_gave(make: Callable[..., Any]) -> None:
    experiment = make("rounds", "round.rounds=1")
    result = run(experiment)
    part = open_made(
        result.folder / "made" / "round-1.make", 10, "round-1.make", {"dr": "icdr5", "dme": "risk3"}
    )
    from retinalab.runner.modules import stage_modules

    train = stage_modules(experiment, None, 0)["first"].parts.train
    expected = train.cache.images(train.rows[:10])[:, ::-1]
    np.testing.assert_array_equal(part.cache.images(part.rows), expected)


def test_a_stage_that_was_broken_off_makes_only_the_rest(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from retinalab_madeup.mirror import MirrorMaker

    many = ("round.rounds=1", "round.make.task.count=150")
    whole = run(make("rounds", *many, output=Path(make("rounds").output).parent / "a"))
    calls: list[int] = []
    plain = MirrorMaker.make

    def dying(self: Any, task: Any, originals: Any, rows: pd.DataFrame) -> Any:
        calls.append(int(rows["number"].iloc[0]))
        if rows["number"].iloc[0] >= 64 and len(calls) < 20:
            raise StoppedError
        return plain(self, task, originals, rows)

    experiment = make("rounds", *many, output=Path(make("rounds").output).parent / "b")
    monkeypatch.setattr(MirrorMaker, "make", dying)
    with pytest.raises(StoppedError):
        run(experiment)
    calls.extend([-1] * 20)
    again = run(experiment)
    assert min(call for call in calls[17 + 20 :] if call >= 0) == 64
    one, other = (
        pd.read_parquet(r.folder / "made" / "round-1.make" / "made.parquet") for r in (whole, again)
    )
    pd.testing.assert_frame_equal(one, other)
    states = [
        torch.load(r.folder / "checkpoints" / "round-1.train" / "last.ckpt", weights_only=True)["state_dict"]
        for r in (whole, again)
    ]
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key])


def test_a_round_that_makes_nothing_trains_on_the_originals(
    make: Callable[..., Any], seen: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="retinalab")
    run(make("rounds", "round.rounds=1", "round.make.task.count=0"))
    assert max(row for _, rows in seen for row in rows) == TRAINED - 1
    assert "round-1.make: Nothing was asked for." in caplog.text


def test_made_photographs_need_the_working_size_of_the_stage_that_adds_them(make: Callable[..., Any]) -> None:
    with pytest.raises(RetinalabError, match="make the two the same"):
        make("rounds", "round.train.data.size=48")
