"""Blocks of rounds are written out with references to the right round."""

from __future__ import annotations

from typing import Any

import pytest

from retinalab.config import TaskConfig
from retinalab.errors import RetinalabError
from retinalab.experiment import as_mapping, experiment_id, resolve
from retinalab.overrides import overridden
from retinalab.rounds import expanded
from retinalab.smoke import smoke

BASELINE = {"name": "baseline", "backbone": "resnet18"}


def _raw(rounds: Any = 2, **train: Any) -> dict[str, Any]:
    return {
        "name": "made",
        "paper": "baseline",
        "protocol": {"diseases": {"dr": "icdr5"}},
        "data": {"set": "synthetic", "size": 64},
        "stages": {
            "first": {"task": BASELINE},
            "round": {
                "rounds": rounds,
                "make": {"kind": "make_data", "task": BASELINE, "start_from": {"stage": "before"}},
                "train": {"task": BASELINE, "start_from": {"stage": "before"}, "adds": ["make"], **train},
            },
        },
    }


def test_each_round_starts_from_the_one_before() -> None:
    stages = resolve(_raw(3)).stages
    assert list(stages) == ["first"] + [f"round-{k}.{name}" for k in (1, 2, 3) for name in ("make", "train")]
    starts = {name: stage.start_from.stage for name, stage in stages.items() if stage.start_from}
    assert starts == {
        "round-1.make": "first",
        "round-1.train": "first",
        "round-2.make": "round-1.train",
        "round-2.train": "round-1.train",
        "round-3.make": "round-2.train",
        "round-3.train": "round-2.train",
    }
    assert [stages[f"round-{k}.train"].adds for k in (1, 2, 3)] == [(f"round-{k}.make",) for k in (1, 2, 3)]


def test_stages_that_train_in_rounds_are_numbered_over_all_blocks() -> None:
    raw = _raw(2)
    raw["stages"]["again"] = {"rounds": 2, "train": {"task": BASELINE, "start_from": {"stage": "before"}}}
    streams = {name: stage.stream for name, stage in resolve(raw).stages.items() if stage.stream}
    assert streams == {"round-1.train": 1, "round-2.train": 2, "again-1.train": 3, "again-2.train": 4}
    raw["stages"]["round"]["make"] = None
    raw["stages"]["round"]["train"] |= {"adds": []}
    assert resolve(raw).stages["again-2.train"].stream == 4  # leaving generation out changes no draw


def test_a_stage_of_the_round_is_this_rounds() -> None:
    block = {
        "rounds": 2,
        "make": {"kind": "make_data", "start_from": {"stage": "before"}},
        "original": {"start_from": {"stage": "before"}},
        "combined": {"start_from": {"stage": "original"}, "adds": ["make"]},
    }
    stages = expanded({"first": {}, "round": block}, [])
    assert stages["round-2.combined"]["start_from"]["stage"] == "round-2.original"
    assert stages["round-2.make"]["start_from"]["stage"] == "round-1.combined"
    assert block["make"] == {"kind": "make_data", "start_from": {"stage": "before"}}


def test_no_round_leaves_the_stages_before() -> None:
    assert list(resolve(_raw("0")).stages) == ["first"]


def test_overrides_reach_into_the_block_and_data_reaches_every_stage() -> None:
    raw = _raw(1, data={"batch_size": 4})
    changed = resolve(
        overridden(raw, ["round.rounds=2", "round.train.trainer.max_epochs=3", "data.batch_size=5"])
    )
    assert changed.stages["round-2.train"].trainer.max_epochs == 3
    assert {stage.data.batch_size for stage in changed.stages.values()} == {5}


def test_what_was_written_out_reads_back_the_same() -> None:
    experiment = resolve(_raw(2, alternate=True))
    again = resolve(as_mapping(experiment))
    assert again == experiment
    assert experiment_id(again) == experiment_id(experiment)
    assert experiment.evaluated == ("round-2.train",)
    assert smoke(experiment).stages["round-1.train"].adds == ("round-1.make",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"rounds": "many"},
            "stages.round.rounds='many': how often the block is run, a number from 0 to 999",
        ),
        ({"rounds": -1}, "stages.round.rounds=-1"),
        ({"rounds": 1, "make": 3}, "stages.round.make=3: a block of rounds holds stages"),
        (
            {"rounds": 2, "train": {"task": BASELINE, "stream": 3}},
            "stages.round.train.stream=3: each round has a stream of its own; leave it out",
        ),
        ({"rounds": 1, "train": None}, None),
    ],
)
def test_a_wrong_block_is_one_line(change: dict[str, Any], said: str | None) -> None:
    raw = _raw()
    raw["stages"]["round"] |= change
    if said is None:
        assert list(resolve(raw).stages) == ["first", "round-1.make"]
        return
    with pytest.raises(RetinalabError) as error:
        resolve(raw)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"adds": ["first"]}, "adds names 'first'; earlier stages that make photographs: ['round-1.make']"),
        (
            {"start_from": {"stage": "make"}},
            "start_from names 'round-1.make'; earlier stages that are trained",
        ),
        ({"data": {"size": 32}}, "data.size is 32, stages.round-1.make.data.size 64"),
        ({"data": {"windows": {"kind": "grid", "size": 32}, "masks": True}}, "made photographs are whole"),
        ({"adds": [], "alternate": True}, "alternate needs adds"),
    ],
)
def test_a_wrong_reference_is_one_line(change: dict[str, Any], said: str) -> None:
    with pytest.raises(RetinalabError) as error:
        resolve(_raw(1, **change))
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_maker_needs_a_network_and_the_photographs_that_its_own_are_added_to() -> None:
    raw = _raw(1)
    del raw["stages"]["round"]["make"]["start_from"]
    with pytest.raises(RetinalabError, match="needs start_from"):
        resolve(raw)
    raw = _raw(1)
    raw["stages"]["round"]["make"]["data"] = {"set": "aptos"}
    with pytest.raises(RetinalabError, match="make the two the same"):
        resolve(raw)
    raw["stages"]["round"]["train"]["data"] = {"set": "aptos"}
    assert resolve(raw).stages["round-1.make"].data.set == "aptos"  # looked at by a network of another set


def test_a_block_at_the_beginning_has_nothing_before_it() -> None:
    raw = _raw(1)
    del raw["stages"]["first"]
    with pytest.raises(RetinalabError, match="no stage is trained before it"):
        resolve(raw)


@pytest.mark.parametrize(
    ("task", "trainer", "said"),
    [
        ({"freeze": "backbone"}, {}, "task.freeze=['backbone']"),
        ({"freeze": ["backbone.layer1"], "freeze_epochs": 2}, {}, "task.freeze=['backbone.layer1']"),
        ({"layer_decay": 0.7}, {}, "task.layer_decay=0.7"),
        ({"class_weights": "balanced"}, {}, "task.class_weights={'all': 'balanced'}"),
        ({}, {"weight_averaging": {"kind": "ema"}}, "trainer.weight_averaging={'kind': 'ema'"),
        ({}, {"early_stopping": {}}, "trainer.early_stopping={'patience': 10"),
        ({}, {"auto_batch_size": True}, "trainer.auto_batch_size=True"),
    ],
)
def test_what_only_a_training_follows_is_refused_where_photographs_are_made(
    task: dict[str, Any], trainer: dict[str, Any], said: str
) -> None:
    raw = _raw(1)
    raw["stages"]["round"]["train"] |= {"task": {**BASELINE, **task}, "trainer": trainer}
    resolve(raw)
    raw["stages"]["round"]["make"] |= {"task": {**BASELINE, **task}, "trainer": trainer}
    with pytest.raises(RetinalabError) as error:
        resolve(raw)
    (line,) = str(error.value).splitlines()
    assert f"stages.round-1.make.{said}" in line
    assert "has no effect: the stage makes photographs and trains nothing" in line
    assert "set it in a stage that is trained, such as stages.first, or leave it out" in line


def test_devices_and_what_a_maker_names_itself_are_let_pass() -> None:
    raw = _raw(1)
    shared = {"max_epochs": 1, "precision": "32-true", "accelerator": "cpu", "devices": 1}
    raw["stages"]["round"]["make"]["trainer"] = shared
    assert resolve(raw).stages["round-1.make"].trainer.accelerator == "cpu"

    class OwnWeights(TaskConfig):
        """A maker that weighs grades itself."""

        class_weights: tuple[float, ...] = ()

    assert OwnWeights(name="own", class_weights=(1.0, 2.0)).of_training() == {}
    assert TaskConfig(name="plain", layer_decay=0.5).of_training() == {"layer_decay": 0.5}
