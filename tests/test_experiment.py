"""From a file and overrides to an experiment, and one line for each thing that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import as_mapping, as_yaml, experiment_id, load_experiment, resolve
from retinalab.smoke import smoke

BASE = """
protocol:
  diseases: {dr: icdr5, dme: risk3}
data: {set: idrid, size: 64, batch_size: 8}
stages:
  first:
    task: {name: baseline, backbone: resnet10t}
  second:
    task: {name: baseline, output: severity}
    data: {size: 32}
    start_from: {stage: first, strict: false}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(BASE)
    return str(path)


def faults(file: str, *overrides: str) -> list[str]:
    with pytest.raises(RetinalabError) as raised:
        load_experiment("baseline", file, overrides)
    return str(raised.value).splitlines()


def test_defaults_yield_to_the_file_and_the_file_to_overrides(file: str) -> None:
    plain = load_experiment("baseline", file)
    assert plain.stages["first"].task.learning_rate == 3e-4  # the paper's default
    assert plain.stages["first"].task.backbone == "resnet10t"  # the file
    assert (plain.stages["first"].data.size, plain.stages["second"].data.size) == (64, 32)
    assert (plain.name, plain.paper) == ("mine", "baseline")
    changed = load_experiment(
        "baseline",
        file,
        ["first.task.backbone=resnet18", "--second.task.learning_rate=1e-2", "data.batch_size=2"],
    )
    assert changed.stages["first"].task.backbone == "resnet18"
    assert changed.stages["second"].task.learning_rate == 0.01
    assert [stage.data.batch_size for stage in changed.stages.values()] == [2, 2]
    assert load_experiment("baseline", file, ["data.size=16"]).stages["second"].data.size == 16


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "first.trainer.max_epoch=3",
            ["stages.first.trainer.max_epoch", "'3'", "did you mean stages.first.trainer.max_epochs?"],
        ),
        (
            "first.task.learning_rat=3",
            ["stages.first.task.learning_rat", "did you mean", "learning_rate?", "backbone"],
        ),
        ("first.task.dropout=1.5", ["stages.first.task.dropout='1.5'", "less than 1"]),
        ("first.task.output=sevrity", ["'sevrity'", "'classes' or 'severity'", "did you mean 'severity'?"]),
        ("first.task.name=baselin", ["stages.first.task.name", "Did you mean 'baseline'?"]),
        ("first.data.size=big", ["stages.first.data.size='big'", "integer"]),
        (
            "data.augment.rotate=3",
            ["stages.first.data.augment.rotate", "did you mean", "augment.rotation?", "crop_area"],
        ),
        ("data.crop=none", ["stages.first.data.crop='none'", "did you mean 'null'?"]),
        ("first.data.windows.kind=gird", ["did you mean 'grid'?"]),
        ("protocol.split=holdout", ["protocol.split='holdout'", "did you mean 'held-out'?"]),
        ("protocol.diseases.dr=icdr", ["protocol.diseases", "Did you mean 'icdr5'?"]),
        ("protocol.splitt=folds", ["protocol.splitt", "did you mean protocol.split?"]),
        ("loger=csv", ["loger", "did you mean logger?"]),
        ("stagess=[1]", ["stagess", "did you mean stages?"]),
        ("fist.task.dropout=0.1", ["fist", "unknown option"]),
        ("folds=0", ["folds='0'", "greater than or equal to 1"]),
        ("folds=x", ["folds='x'", "integer"]),
        ("seed=-1", ["seed='-1'"]),
        ("fold=3", ["fold 3 does not exist"]),
        ("protocol.split=folds", ["folds is 1"]),
        ("protocol.select_on=test", ["protocol.split=as-published"]),
        ("second.start_from.stage=third", ["stages.second.start_from", "'third'"]),
        ("second.diseases=[amd]", ["stages.second.diseases", "'amd'"]),
        ("test.stages=[third]", ["test.stages", "'third'"]),
        ("first.task=baseline", ["stages.first.task", "needs a mapping"]),
        ("first=3", ["stages.first='3'", "a stage is a mapping"]),
        ("stages=3", ["stages='3'"]),
        ("data=idrid", ["data", "'idrid'"]),
        ("data.augment.crop_area=[1.0, 0.5]", ["crop_area must be (low, high)"]),
    ],
)
def test_each_fault_is_one_line_with_place_value_and_remedy(
    file: str, override: str, words: list[str]
) -> None:
    lines = faults(file, override)
    assert len(lines) <= 3  # a shared data section is read by both stages
    assert lines[0].startswith("mine.yaml: ")
    for word in words:
        assert word in lines[0]


def test_a_stage_that_is_null_is_left_out(file: str) -> None:
    assert list(load_experiment("baseline", file, ["second=null"]).stages) == ["first"]
    alone = load_experiment("baseline", file, ["stages.first=null", "second.start_from=null"])
    assert list(alone.stages) == ["second"]
    assert alone.evaluated == ("second",)
    assert resolve(yaml.safe_load(as_yaml(alone))).stages == alone.stages
    data = ["data={size: 64}", "first.data.set=idrid", "second=null"]
    assert load_experiment("baseline", file, [*data, "data.root=/x"]).stages["first"].data.root == Path("/x")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["first=null"],
            [
                "mine.yaml: stages.second.start_from names 'first', which is left out (stages.first=null); set "
                "stages.second.start_from=null (its weights are drawn at random then), or keep the stage"
            ],
        ),
        (
            ["first=null", "second.start_from=null", "test.stages=[first, second]"],
            [
                "mine.yaml: test.stages names 'first', which is left out (stages.first=null); set "
                "test.stages=[second], or keep the stage"
            ],
        ),
        (["first=null", "second=null"], ["mine.yaml: stages={}: Dictionary should have at least 1 item"]),
    ],
)
def test_a_stage_that_is_null_may_not_be_named(file: str, overrides: list[str], expected: list[str]) -> None:
    lines = faults(file, *overrides)
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert line.startswith(words)


def test_published_counts_of_windows_name_no_other_computation(file: str) -> None:
    plain, beside = (
        load_experiment("baseline", file, [f"first.data.windows={{kind: lesions{more}}}"])
        for more in ("", ", published: {train: {EX: 6305}}")
    )
    assert experiment_id(plain) == experiment_id(beside)


def test_several_faults_are_several_lines(file: str) -> None:
    lines = faults(file, "first.task.dropout=2", "first.trainer.max_epoch=3", "seed=x")
    assert len(lines) == 3
    assert {line.split("=")[0].split(": ")[1] for line in lines} == {
        "stages.first.task.dropout",
        "stages.first.trainer.max_epoch",
        "seed",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["holds no mapping"]),
        ("- 1", ["holds no mapping"]),
        ("a: [1", ["line", "not valid YAML"]),
        ("a: *b", ["not valid YAML", "undefined alias"]),
        ("\x00", ["not valid YAML"]),
        ("name: x", ["stages: required and not given"]),
        ("stages: {}", ["stages"]),
        ("stages: {a: {}}", ["stages.a.task"]),
        ("stages: {a: {task: {name: 3}}}", ["stages.a.task"]),
        ("stages: {a: {task: {name: baseline}, data: 3}}", ["stages.a.data"]),
    ],
)
def test_odd_files_are_refused_by_name(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    said = "\n".join(faults(str(path)))
    assert "odd.yaml" in said
    for word in words:
        assert word in said


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(b"name: \xff\xfe")
    assert "not valid YAML" in faults(str(path))[0]


def test_what_is_resolved_reads_back_the_same_with_every_option_of_the_plugin(file: str) -> None:
    experiment = load_experiment(
        "baseline", file, ["first.task.dropout=0.25", "test=[dr600]", "roots.dr600=/x"]
    )
    text = as_yaml(experiment)
    assert yaml.safe_load(text)["stages"]["first"]["task"] == {
        "name": "baseline",
        "backbone": "resnet10t",
        "weights": "none",
        "dropout": 0.25,
        "output": "classes",
        "presence_weight": 0.0,
        "learning_rate": 3e-4,
        "weight_decay": 1e-4,
        "freeze": [],
        "freeze_epochs": None,
        "layer_decay": 1.0,
        "class_weights": None,
    }
    again = resolve(yaml.safe_load(text))
    assert again == experiment.model_copy(update={"data": {}})
    assert experiment_id(again) == experiment_id(experiment)


def test_a_shared_folder_and_options_are_the_primary_sets_own(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "data: {set: idrid, options: {task: grading}}\n"
        "stages:\n"
        "  a: {task: {name: baseline}, data: {set: hei-med}}\n"
        "  b: {task: {name: baseline}}\n"
    )
    stages = load_experiment(
        "baseline", str(path), ["data.root=/idrid", "roots.hei-med=/hei", "test=[dr-600]"]
    )
    assert (stages.stages["a"].data.set, stages.stages["a"].data.root) == ("hei_med", None)
    assert stages.stages["a"].data.options == {}
    assert stages.stages["b"].data.root == Path("/idrid")
    assert stages.roots == {"hei_med": Path("/hei")}
    assert stages.test.sets == ("dr_600",)


def test_experiments_cannot_be_changed_in_place(file: str) -> None:
    experiment = load_experiment("baseline", file)
    for model, name in (
        (experiment, "seed"),
        (experiment.protocol, "split"),
        (experiment.stages["first"], "data"),
        (experiment.stages["first"].task, "backbone"),
        (experiment.stages["first"].data.augment, "rotation"),
        (experiment.stages["first"].trainer, "max_epochs"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, name, 1)


SAME = {
    "logger": st.sampled_from(["none", "csv", "wandb"]),
    "output": st.text("abc", min_size=1),
    "roots.idrid": st.text("abc", min_size=1),
    "data.root": st.text("abc", min_size=1),
    "data.cache": st.text("abc", min_size=1),
    "data.codec": st.sampled_from(["auto", "raw", "delta"]),
    "data.workers": st.integers(0, 8),
    "first.trainer.accelerator": st.sampled_from(["auto", "cpu", "gpu"]),
    "first.trainer.devices": st.integers(1, 8),
    "first.trainer.strategy": st.sampled_from(["auto", "ddp", "fsdp"]),
    "first.trainer.num_nodes": st.integers(1, 3),
}
OTHER = {
    "seed": st.integers(1, 99),
    "seeds": st.integers(2, 5),
    "name": st.just("other"),
    "data.size": st.integers(65, 128),
    "data.batch_size": st.integers(9, 64),
    "data.limit": st.integers(2, 9),
    "data.mix": st.sampled_from(
        ["[dr600]", "[dr600, hei_med]", "{sets: [dr600], options: {dr600: {suffix: .jpg}}}"]
    ),
    "data.overlap": st.just("exclude"),
    "data.codec": st.just("jpeg"),
    "first.task.dropout": st.floats(0.01, 0.9),
    "second.task.learning_rate": st.floats(1e-3, 1.0),
    "first.trainer.max_epochs": st.integers(11, 99),
    "first.trainer.precision": st.just("32-true"),
    "protocol.diseases.dr": st.just("any"),
    "protocol.split_seed": st.integers(1, 9),
    "test.sets": st.just("[dr600]"),
}


def one_of(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(fields)).flatmap(lambda k: fields[k].map(lambda value: f"{k}={value}"))


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_the_identity_holds_what_is_computed_and_nothing_else(data: st.DataObject) -> None:
    def made(*overrides: str) -> Experiment:
        from retinalab.overrides import overridden

        return resolve(overridden({**yaml.safe_load(BASE), "name": "x", "paper": "baseline"}, overrides))

    plain = experiment_id(made())
    assert experiment_id(made(*data.draw(st.lists(one_of(SAME), max_size=4)))) == plain
    assert experiment_id(made(data.draw(one_of(OTHER)))) != plain


def test_smoke_makes_runs_small_and_keeps_the_rest(file: str) -> None:
    big = load_experiment(
        "baseline",
        file,
        ["data.size=512", "data.crop=448", "data.batch_size=40", "seeds=3", "first.trainer.max_epochs=1000"],
    )
    small = smoke(big)
    first = small.stages["first"]
    assert (first.data.size, first.data.crop, first.data.batch_size, first.data.limit) == (128, 64, 4, 12)
    assert (first.trainer.max_epochs, first.trainer.limit_train_batches, small.seeds) == (1, 2, 1)
    assert first.task.learning_rate == big.stages["first"].task.learning_rate
    assert small.name == "mine-smoke"
    resolve(as_mapping(small))


@pytest.mark.parametrize(
    ("overrides", "folds", "fold"),
    [
        (["folds=5", "protocol.split=folds"], 2, None),
        (["folds=5", "fold=4", "protocol.split=folds"], 2, 1),
        (["folds=10", "protocol.split=as-published", "protocol.lists=x"], 10, 0),
        (["folds=10", "fold=7", "protocol.split=as-published", "protocol.lists=x"], 10, 7),
        (["protocol.split=as-published", "protocol.lists=x"], 1, None),
    ],
)
def test_smoke_keeps_folds_that_exist(file: str, overrides: list[str], folds: int, fold: int | None) -> None:
    small = smoke(load_experiment("baseline", file, overrides))
    assert (small.folds, small.fold) == (folds, fold)
    resolve(as_mapping(small))


def test_smoke_never_enlarges(file: str) -> None:
    small = smoke(
        load_experiment("baseline", file, ["data.size=32", "data.crop=24", "data.windows.size=200"])
    )
    assert (small.stages["first"].data.size, small.stages["first"].data.crop) == (32, 24)
    assert small.stages["first"].data.windows is not None
    assert small.stages["first"].data.windows.size == 32
