"""Maps on their way from a task into the table: reduced by area, named, one row for each photograph and map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from retinalab.config import DataConfig
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.metrics import read_table, write_table
from retinalab.registry import task_class
from retinalab.runner import run
from retinalab.runner.gather import joined
from retinalab.runner.maps import LONGEST, extent_of, map_frame, reduced
from retinalab.tasks import Outputs


def test_a_small_map_is_kept_as_it_is() -> None:
    values = torch.rand(3, 16, 12, generator=torch.Generator().manual_seed(0))
    kept = reduced({"one": values})["one"]
    assert (kept.values == np.rint(values.numpy() * 255).astype(np.uint8)).all()
    assert kept.peaks.tolist() == values.amax((1, 2)).tolist()
    assert (kept.height, kept.width) == (16, 12)


@pytest.mark.parametrize(
    ("shape", "places"), [((96, 64), (32, 21)), ((100, 37), (32, 12)), ((1, 70), (1, 32))]
)
def test_a_large_map_is_reduced_by_area(shape: tuple[int, int], places: tuple[int, int]) -> None:
    values = np.random.default_rng(1).random((2, *shape), np.float32)
    kept = reduced({"one": torch.from_numpy(values)})["one"]
    expected = np.stack([cv2.resize(v, places[::-1], interpolation=cv2.INTER_AREA) for v in values])
    assert kept.values.shape == (2, *places)
    assert np.abs(kept.values / 255 - expected).max() < 0.5 / 255 + 1e-4
    assert kept.peaks.tolist() == values.max((1, 2)).tolist()  # not of the reduced map


def test_a_place_between_two_pixels_takes_its_share_of_both() -> None:
    kept = reduced({"one": torch.tensor([[[1.0, 0.0, 0.5]]])}, longest=2)["one"]
    assert kept.values.tolist() == [[[170, 85]]]  # (1 + 0/2) / 1.5, (0/2 + 0.5) / 1.5


def test_what_is_no_number_is_kept_as_nothing_and_its_peak_as_no_number() -> None:
    values = torch.full((2, 4, 4), 0.2)
    values[1, 0, 0] = torch.nan
    kept = reduced({"one": values})["one"]
    assert kept.values[1].ravel().tolist() == [0] + [51] * 15
    assert kept.peaks[0] == pytest.approx(0.2)
    assert np.isnan(kept.peaks[1])


@pytest.mark.parametrize(
    "values", [torch.full((1, 2, 2), 1.5), torch.full((1, 2, 2), -0.4), torch.ones(1, 3, 2, 2)]
)
def test_maps_that_break_the_agreement_are_refused(values: Tensor) -> None:
    with pytest.raises(RetinalabError, match=r"Map 'one' has .* Outputs\.maps"):
        reduced({"one": values})


@pytest.mark.parametrize(
    ("crop", "view", "share"), [(None, "whole", 1), (96, "whole", 1), (96, "centre", 0.75)]
)
def test_the_share_of_the_photograph_that_the_input_shows(crop: int | None, view: Any, share: float) -> None:
    assert extent_of(DataConfig(set="table", size=128, crop=crop, view=view)) == pytest.approx(share)


def named(*images: str) -> pd.DataFrame:
    return pd.DataFrame({"image": images, "set": "s", "part": "test", "fold": -1, "seed": 0, "group": "g"})


def table(*names: str) -> pd.DataFrame:
    values = torch.arange(12).reshape(2, 2, 3) / 16
    return map_frame(named("a", "b"), reduced(dict.fromkeys(names, values)), 1.0)


def test_the_table_gives_back_what_was_put_in(tmp_path: Path) -> None:
    write_table(table("one", "two"), tmp_path / "maps.parquet", "maps")
    back = read_table(tmp_path / "maps.parquet", "maps")
    assert list(zip(back["image"], back["map"], strict=True)) == [
        ("a", "one"), ("a", "two"), ("b", "one"), ("b", "two"),
    ]  # fmt: skip
    last = back.iloc[3]
    pixels = np.frombuffer(last["values"], np.uint8).reshape(last["height"], last["width"])
    assert np.allclose(pixels / 255, np.arange(6, 12).reshape(2, 3) / 16, atol=0.5 / 255)
    assert last["peak"] == pytest.approx(11 / 16)


def test_stages_that_name_a_map_alike_are_told_apart(tmp_path: Path) -> None:
    for stage, names in (("first", ["shared", "mine"]), ("second", ["shared"])):
        (tmp_path / stage).mkdir()
        write_table(table(*names), tmp_path / stage / "maps.parquet", "maps")
    found = joined(tmp_path, ["first", "second", "third"], "maps")
    assert found is not None
    assert found.loc[found["image"] == "b", "map"].tolist() == ["shared (first)", "mine", "shared (second)"]
    assert joined(tmp_path, ["third"], "maps") is None


@pytest.fixture
def with_maps(made_up: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up regression gives two maps: the red channel, 40 × 40 pixels, and its mean, one place."""
    kind = task_class("madeup-severity")
    plain = kind.outputs

    def outputs(self: Any, batch: Batch) -> Outputs:
        red = batch["image"][:, 0].clamp(0, 1)
        return replace(plain(self, batch), maps={"red": red, "mean": red.mean((1, 2), keepdim=True)})

    monkeypatch.setattr(kind, "outputs", outputs)


def means(found: pd.DataFrame, name: str) -> dict[tuple[str, int], float]:
    rows = found[found["map"] == name]
    return {
        (row["image"], row["seed"]): float(np.frombuffer(row["values"], np.uint8).mean() / 255)
        for _, row in rows.iterrows()
    }


@pytest.mark.parametrize("processes", [(), ("train.trainer.devices=2", "train.trainer.strategy=ddp_fork")])
def test_a_run_keeps_the_maps_of_every_evaluated_photograph(
    with_maps: None, make: Callable[..., Any], processes: tuple[str, ...]
) -> None:
    result = run(make("one", "data.size=40", "train.trainer.max_epochs=1", *processes))
    found = read_table(result.folder / "maps.parquet", "maps")
    keys = ["image", "set", "part", "fold", "seed"]
    expected = sorted(map(tuple, result.predictions[keys].to_numpy()))
    for name, size, native in (("red", LONGEST, 40), ("mean", 1, 1)):
        rows = found[found["map"] == name]
        assert sorted(map(tuple, rows[keys].to_numpy())) == expected
        assert (rows[["height", "width"]] == size).all(axis=None)
        assert (rows[["native_height", "native_width"]] == native).all(axis=None)
    assert (found["extent"] == 1).all()
    red, mean = means(found, "red"), means(found, "mean")
    assert all(red[key] == pytest.approx(mean[key], abs=1 / 255) for key in red)
    assert len(set(mean.values())) > 1
    assert "maps over the photographs" in (result.folder / "report.html").read_text().lower()


def test_folds_and_seeds_are_gathered(with_maps: None, make: Callable[..., Any]) -> None:
    options = ("folds=2", "seeds=2", "protocol.split=folds", "train.trainer.max_epochs=1")
    result = run(make("one", *options))
    found = read_table(result.folder / "maps.parquet", "maps")
    keys = ["image", "set", "part", "fold", "seed"]
    assert len(found) == 2 * len(result.predictions)
    assert set(map(tuple, found[keys].to_numpy())) == set(map(tuple, result.predictions[keys].to_numpy()))


def test_a_run_without_maps_leaves_none(made_up: None, make: Callable[..., Any]) -> None:
    result = run(make("one", "train.trainer.max_epochs=1"))
    assert not list(result.folder.rglob("maps.parquet"))
    assert "maps over the photographs" not in (result.folder / "report.html").read_text().lower()
