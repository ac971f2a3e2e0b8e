"""Two processes make what one makes, and a failure of one ends both with its message."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from retinalab.config import TrainerConfig
from retinalab.errors import RetinalabError
from retinalab.runner.make import make_stage
from retinalab.runner.modules import stage_modules
from retinalab.runner.plan import PLAN
from retinalab.runner.processes import on_devices
from retinalab.runner.stage import build_task

pytestmark = pytest.mark.usefixtures("impatient", "one_thread")

MANY = (
    "round.rounds=1",
    "round.make.task.count=150",
    "round.make.data.batch_size=24",
    "round.train.data.batch_size=24",
)
TWO = ("round.make.trainer.devices=2", "round.make.trainer.strategy=ddp_fork")


@pytest.fixture
def mirror(made_up: None) -> Any:
    """The made-up maker."""
    from retinalab_madeup.mirror import MirrorMaker

    return MirrorMaker


@pytest.fixture
def making(make: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """Runs the stage that makes photographs alone, on a network with drawn weights; gives its folder."""

    def go(name: str, *overrides: str, weights: int = 0) -> Path:
        experiment, folder = make("rounds", *MANY, *overrides), tmp_path / name
        module = stage_modules(experiment, None, 0)["round-1.make"]
        checkpoint = folder / "checkpoints" / "first" / "best.ckpt"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": build_task(experiment, "first", weights).state_dict()}, checkpoint)
        make_stage(experiment, "round-1.make", module, folder, 0)
        return folder / "made" / "round-1.make"

    return go


@pytest.fixture
def workers(
    mirror: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], dict[int, list[int]]]:
    """Process -> numbers of the photographs that it made, in order."""
    log, plain = tmp_path / "made.log", mirror.make

    def watched(self: Any, task: Any, originals: Any, rows: pd.DataFrame) -> Any:
        with log.open("a") as file:
            file.write(f"{os.getpid()} {' '.join(map(str, rows['number']))}\n")
        return plain(self, task, originals, rows)

    monkeypatch.setattr(mirror, "make", watched)

    def read() -> dict[int, list[int]]:
        made: dict[int, list[int]] = {}
        for line in log.read_text().splitlines() if log.exists() else []:
            process, *numbers = map(int, line.split())
            made.setdefault(process, []).extend(numbers)
        log.unlink(missing_ok=True)
        return made

    return read


def content(place: Path) -> dict[str, bytes]:
    """All files but the plan's, which name the versions that wrote them."""
    return {
        str(file.relative_to(place)): file.read_bytes()
        for file in sorted(place.rglob("*"))
        if file.is_file() and file.suffix != ".parquet"
    }


def test_two_processes_make_what_one_makes_without_doing_anything_twice(
    making: Callable[..., Path], workers: Callable[[], dict[int, list[int]]]
) -> None:
    one = making("one")
    assert workers() == {os.getpid(): list(range(150))}
    two = making("two", *TWO)
    made = workers()
    assert len(made) == 2
    assert os.getpid() not in made
    assert sorted(number for numbers in made.values() for number in numbers) == list(range(150))
    assert sorted(map(len, made.values())) == [64, 86]  # shards of 64, 64 and 22
    assert content(one) == content(two)
    assert {"00000.images", "00001.images", "00002.images", "review.json", "plan.json"} <= set(content(one))
    for name in ("made.parquet", "seen.parquet", PLAN):
        pd.testing.assert_frame_equal(
            pd.read_parquet(one / name), pd.read_parquet(two / name), check_exact=True
        )


@pytest.mark.parametrize("error", [RetinalabError("Cannot make it. Give another."), KeyError("lost")])
def test_what_fails_in_one_process_ends_both_with_its_message(
    making: Callable[..., Path], mirror: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    plain = mirror.make

    def failing(self: Any, task: Any, originals: Any, rows: pd.DataFrame) -> Any:
        if 64 <= rows["number"].iloc[0] < 128:  # the second process' shard
            raise error
        return plain(self, task, originals, rows)

    monkeypatch.setattr(mirror, "make", failing)
    kind, said = (type(error), "Cannot make it") if isinstance(error, RetinalabError) else (Exception, "lost")
    with pytest.raises(kind, match=said) as raised:
        making("two", *TWO)
    if isinstance(error, RetinalabError):
        assert str(raised.value) == "Cannot make it. Give another."


def test_a_stage_goes_on_by_the_answers_and_the_plan_that_it_began_with(
    making: Callable[..., Path], workers: Callable[[], dict[int, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = making("one")
    whole = content(place)
    workers()
    (place / "00001.json").unlink()  # as if broken off there

    def never(*_: Any) -> Any:
        raise AssertionError("the photographs are looked at again")

    with monkeypatch.context() as patch:
        patch.setattr("retinalab.runner.make._look", never)
        making("one", *TWO)
    assert list(chain(*workers().values())) == list(range(64, 128))
    assert content(place) == whole


@pytest.mark.parametrize("change", ["weights", "choice", "nothing kept"])
def test_what_another_plan_made_is_made_anew(
    making: Callable[..., Path],
    mirror: Any,
    workers: Callable[[], dict[int, list[int]]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    change: str,
) -> None:
    place = making("one")
    (place / "stray.images").touch()
    workers()
    if change == "nothing kept":
        (place / "plan.json").unlink()
    if change == "choice":  # the maker itself has changed
        plain = mirror.plan

        def shifted(self: Any, seen: pd.DataFrame) -> Any:
            plan = plain(self, seen)
            plan.rows["target"] = (plan.rows["target"] + 1) % len(seen)
            return plan

        monkeypatch.setattr(mirror, "plan", shifted)
    again = making("one", weights=int(change == "weights"))
    assert list(chain(*workers().values())) == list(range(150))
    assert not (again / "stray.images").exists()
    assert "was made by another plan and is made anew" in caplog.text
    assert len(pd.read_parquet(again / "made.parquet")) == 150


def test_devices_that_there_are_not_are_one_line() -> None:
    config = TrainerConfig(accelerator="cpu", devices=1, strategy="dpp")
    with pytest.raises(RetinalabError, match=r"Lightning refuses stages\.make\.trainer") as error:
        on_devices(config, "make", lambda device: None)
    assert len(str(error.value).splitlines()) == 1
