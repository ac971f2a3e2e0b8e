"""Two experiments are one when they compute the same, whatever they are called and wherever they ran."""

from __future__ import annotations

import pytest
import yaml

from retinalab.config import Experiment
from retinalab.experiment import as_yaml, load_experiment, resolve
from retinalab.reproduction.settings import differences, needed_stages, shown, trained_by


def apart(
    name: str, *overrides: str, paper: str = "canet", of: tuple[str, ...] = ()
) -> dict[str, tuple[str, str]]:
    """Setting -> its value in the experiment, and with overrides laid over it."""
    found = differences(load_experiment(paper, name, of), load_experiment(paper, name, overrides))
    return {one.key: (shown(one.published), shown(one.run)) for one in found}


@pytest.mark.parametrize(
    "override",
    [
        "name=mine",
        "output=elsewhere",
        "logger=csv",
        "roots.messidor=somewhere",
        "data.root=somewhere",
        "data.workers=4",
        "data.cache=there",
        "data.codec=delta",
        "data.strict=true",
        "train.trainer.devices=2",
        "train.trainer.accelerator=cpu",
        "seed=7",
        "seeds=3",
        "folds=12",
        "train.data.balance.decay=0.5",
    ],
)
def test_what_changes_no_figure_is_no_difference(override: str) -> None:
    assert apart("messidor", override) == {}


@pytest.mark.parametrize(
    ("override", "key", "values"),
    [
        ("train.trainer.max_epochs=2", "train.trainer.max_epochs", ("1000", "2")),
        ("train.task.backbone=resnet18", "train.task.backbone", ("resnet50", "resnet18")),
        ("train.task.specific_weight=0.5", "train.task.specific_weight", ("0.25", "0.5")),
        ("data.set=idrid", "train.data.set", ("messidor", "idrid")),
        ("data.size=300", "train.data.size", ("256", "300")),
        ("train.data.augment.rotation=90", "train.data.augment.rotation", ("0.0", "90.0")),
        ("data.sampler=balanced", "train.data.sampler", ("shuffle", "balanced")),
        ("protocol.diseases.dr=any", "protocol.diseases.dr", ("referable", "any")),
        ("protocol.lists=here", "protocol.lists", ("none", "here")),
        ("test.sets=[idrid]", "test.sets", ("[]", "[idrid]")),
        ("train.diseases=[dr]", "train.diseases", ("none", "[dr]")),
        ("folds=5", "folds", ("10", "5")),
        ("fold=3", "fold", ("none", "3")),
    ],
)
def test_what_changes_a_figure_is_named(override: str, key: str, values: tuple[str, str]) -> None:
    assert apart("messidor", override) == {key: values}


def test_fewer_seeds_are_a_difference_and_more_are_none() -> None:
    assert apart("messidor", of=("seeds=3",)) == {"seeds": ("3", "1")}
    assert apart("messidor", "seeds=5", of=("seeds=3",)) == {}


def test_a_saved_experiment_is_the_same_one() -> None:
    published = load_experiment("canet", "messidor")
    assert differences(published, resolve(yaml.safe_load(as_yaml(published)))) == ()


def two_stages(**first: object) -> Experiment:
    task = {"name": "baseline", "backbone": "resnet18"}
    stages = {"one": {"task": task, **first}, "two": {"task": task, "start_from": {"stage": "one"}}}
    return resolve({"name": "x", "paper": "y", "stages": stages})


def test_what_all_stages_differ_in_alike_is_said_once() -> None:
    published = two_stages()
    smaller = resolve(yaml.safe_load(as_yaml(published).replace("size: 256", "size: 128")))
    assert [str(one) for one in differences(published, smaller)] == ["data.size 256 → 128"]
    longer = two_stages(trainer={"max_epochs": 3})
    assert [one.key for one in differences(published, longer)] == ["one.trainer.max_epochs"]


def test_a_stage_that_nothing_comes_from_counts_for_nothing() -> None:
    alone = two_stages()
    mapping = yaml.safe_load(as_yaml(alone))
    mapping["stages"]["two"]["start_from"] = None
    idle = resolve(mapping)
    assert needed_stages(alone) == ("one", "two")
    assert needed_stages(idle) == ("two",)
    mapping["stages"]["one"]["trainer"]["max_epochs"] = 99
    assert differences(idle, resolve(mapping)) == ()
    assert [one.key for one in differences(alone, idle)] == ["stages", "two.start_from"]


def test_tasks_of_the_stages_that_count() -> None:
    assert trained_by(two_stages()) == {("train", "baseline")}
