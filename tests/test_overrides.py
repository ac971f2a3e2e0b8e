"""What is typed behind an experiment's name."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from retinalab.errors import RetinalabError
from retinalab.overrides import merged, overridden, parse_override

WORD = st.text("abcdefghij_", min_size=1, max_size=6)
TREE = st.recursive(st.integers(), lambda inner: st.dictionaries(WORD, inner, max_size=3), max_leaves=8)
MAPPING = st.dictionaries(WORD, TREE, max_size=3)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("seed=3", ("seed",), "3"),
        ("--seed=3", ("seed",), "3"),
        ("--train.task.learning_rate=1e-4", ("train", "task", "learning_rate"), "1e-4"),
        ("name=a=b", ("name",), "a=b"),
        ("test.sets=[a, b]", ("test", "sets"), ["a", "b"]),
        ("protocol.diseases={dr: icdr5}", ("protocol", "diseases"), {"dr": "icdr5"}),
        ("data.crop=null", ("data", "crop"), None),
        ("data.crop=None", ("data", "crop"), None),
        ("train.task.dependence=none", ("train", "task", "dependence"), "none"),
        ("data.strict=on", ("data", "strict"), "on"),
        ("data.cache=", ("data", "cache"), ""),
    ],
)
def test_overrides_are_read(text: str, path: tuple[str, ...], value: Any) -> None:
    assert parse_override(text) == (path, value)


@pytest.mark.parametrize("text", ["seed", "=3", ".seed=3", "a..b=3", "--", "train.=1"])
def test_what_is_no_override_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RetinalabError, match=r"is not of the form key\.path=value, such as"):
        parse_override(text)


def test_an_unreadable_list_is_refused_on_one_line() -> None:
    with pytest.raises(RetinalabError, match="the list or mapping cannot be read") as raised:
        parse_override("test.sets=[a, b")
    assert "\n" not in str(raised.value)


def test_a_stage_is_named_without_its_prefix() -> None:
    raw = {"stages": {"train": {"task": {"name": "x"}}}}
    assert overridden(raw, ["train.task.rate=1"]) == overridden(raw, ["stages.train.task.rate=1"])
    assert raw == {"stages": {"train": {"task": {"name": "x"}}}}


def test_data_reaches_every_stage_unless_one_is_named() -> None:
    raw = {"data": {"size": 64}, "stages": {"a": {"data": {"size": 32}}, "b": {}}}
    changed = overridden(raw, ["data.size=16"])
    assert changed["data"]["size"] == "16"
    assert changed["stages"]["a"]["data"] == {}
    assert overridden(raw, ["a.data.size=16"])["stages"]["a"]["data"]["size"] == "16"


def test_a_value_cannot_be_stepped_into() -> None:
    with pytest.raises(RetinalabError, match=r"seed is a value and holds no 'x'"):
        overridden({"seed": 3}, ["seed.x=1"])


def test_a_value_is_replaced_by_a_whole_mapping() -> None:
    raw = {"data": {"background": 0.02}}
    with pytest.raises(RetinalabError) as raised:
        overridden(raw, ["data.background.kind=median"])
    remedy = "data.background={kind: median}"
    assert f"data.background=VALUE or, where it takes a mapping, the whole of it: '{remedy}'." in str(
        raised.value
    )
    assert overridden(raw, [remedy]) == {"data": {"background": {"kind": "median"}}}


def test_the_last_of_two_overrides_wins() -> None:
    assert overridden({}, ["seed=1", "seed=2"]) == {"seed": "2"}


@settings(deadline=None)
@given(MAPPING, MAPPING)
def test_merging_keeps_what_is_not_overridden_and_changes_no_argument(
    base: dict[str, Any], over: dict[str, Any]
) -> None:
    before = repr((base, over))
    result = merged(base, over)
    assert repr((base, over)) == before
    assert set(result) == set(base) | set(over)
    assert merged(result, over) == result
    assert merged(base, {}) == base
    for key, value in over.items():
        if not isinstance(value, dict):
            assert result[key] == value


def test_an_override_of_one_stage_leaves_another_that_yaml_wrote_with_the_same_anchor() -> None:
    raw = yaml.safe_load(
        "stages: {a: {trainer: &short {max_epochs: 2}}, b: {trainer: *short, task: {widths: [1]}}}"
    )
    found = overridden(raw, ["a.trainer.max_epochs=7"])
    assert found["stages"]["a"]["trainer"]["max_epochs"] == "7"
    assert found["stages"]["b"]["trainer"]["max_epochs"] == 2
    assert raw["stages"]["a"]["trainer"]["max_epochs"] == 2
