"""The background and window sections: what may be given, what it means, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from retinalab.config import BackgroundConfig, DataConfig, WindowConfig
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment

MEDIAN = BackgroundConfig(kind="median", scale=0.05, gain=4.0, circle=0.9, outside="black")

GIVEN: list[tuple[Any, BackgroundConfig | None]] = [
    (None, None),
    (0.0167, BackgroundConfig(scale=0.0167)),
    ("0.0167", BackgroundConfig(scale=0.0167)),
    (1, BackgroundConfig(scale=1.0)),
    ({}, BackgroundConfig(kind="gaussian", scale=1 / 60, gain=4.0, circle=None, outside="mid")),
    ({"kind": "median"}, MEDIAN),
    ({"kind": "median", "circle": None, "gain": 2}, MEDIAN.model_copy(update={"circle": None, "gain": 2.0})),
    ({"scale": 0.02, "outside": "black"}, BackgroundConfig(scale=0.02, outside="black")),
    (MEDIAN, MEDIAN),
]


@pytest.mark.parametrize(("given", "meant"), GIVEN, ids=str)
def test_a_background_is_a_number_or_a_mapping_and_survives_json(
    given: Any, meant: BackgroundConfig | None
) -> None:
    data = DataConfig(background=given)
    assert data.background == meant
    stored = json.loads(json.dumps(data.model_dump(mode="json")))
    assert DataConfig.model_validate(stored) == data
    assert isinstance(stored["background"], float) == (
        meant is not None and meant == BackgroundConfig(scale=meant.scale)
    )


@pytest.mark.parametrize("given", ["median", "1/60", "", True, False, [0.02]], ids=str)
def test_what_is_no_background_is_told_what_to_give(given: Any) -> None:
    with pytest.raises(
        ValidationError, match=r"give a number .* a mapping such as \{kind: median\} .* or null"
    ):
        DataConfig(background=given)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (0, "greater than 0"),
        (1.5, "less than or equal to 1"),
        ("nan", "finite"),
        ({"kind": "box"}, "'gaussian' or 'median'"),
        ({"outside": "white"}, "'mid' or 'black'"),
        ({"sigma": 3}, "not permitted"),
        ({"kind": "median", "scale": 0.3}, r"at most 0\.25 where kind is median, got 0\.3"),
    ],
    ids=str,
)
def test_impossible_backgrounds(given: Any, word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        DataConfig(background=given)


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("data.background=0.0167", BackgroundConfig(scale=0.0167)),
        ("data.background={kind: median}", MEDIAN),
        ("train.data.background={scale: 0.03, circle: 0.9}", BackgroundConfig(scale=0.03, circle=0.9)),
        ("data.background=null", None),
    ],
)
def test_overrides(override: str, meant: BackgroundConfig | None, fake_sets: Path) -> None:
    root = f"data.root={fake_sets / 'dr600'}"
    assert load_experiment("baseline", "dr600", [root, override]).stages["train"].data.background == meant


def test_an_override_that_is_none_is_said_on_one_line(fake_sets: Path) -> None:
    given = [f"data.root={fake_sets / 'dr600'}", "data.background=median"]
    with pytest.raises(
        RetinalabError, match=r"data\.background='median': give a number .* or null"
    ) as raised:
        load_experiment("baseline", "dr600", given)
    assert "\n" not in str(raised.value)


def test_windows_round_trip_and_set_the_inputs_side() -> None:
    windows = {
        "kind": "lesions",
        "size": 20,
        "classes": ["MA", "EX"],
        "negatives_from": "same",
        "discard": 0.5,
    }
    data = DataConfig.model_validate({"size": 96, "windows": windows})
    assert data.input_size == 20
    assert data.windows == WindowConfig.model_validate(windows)
    assert DataConfig.model_validate(json.loads(json.dumps(data.model_dump(mode="json")))) == data


@pytest.mark.parametrize(
    "given",
    [{"size": 7}, {"discard": 0.91}, {"negatives": -1}, {"negatives_from": "other"}, {"stride": 0}],
    ids=str,
)
def test_impossible_windows(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValidationError, match=rf"WindowConfig\n{name}\n"):
        WindowConfig.model_validate(given)
