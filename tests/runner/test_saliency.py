"""Saliency maps that a run makes of the photographs shown: of which, of what, where they lie, and what is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.data.batch import Batch
from retinalab.experiment import experiment_id, stage_id
from retinalab.metrics import read_table
from retinalab.registry import task_class
from retinalab.runner import run
from retinalab.runner import saliency as room
from retinalab.runner.modules import stage_modules
from retinalab.runner.pictures import pictures
from retinalab.tasks import Outputs

Make = Callable[..., Any]
SHORT = ("train.trainer.max_epochs=1", "data.augment.flip_horizontal=0")


class _Bright(nn.Module):
    """Severity: the mean brightness by a positive weight. Its one feature map is the brightness of every pixel."""

    def __init__(self, diseases: int) -> None:
        super().__init__()
        self.grey = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.constant_(self.grey.weight, 1 / 3).requires_grad_(False)
        self.weights = nn.Parameter(torch.ones(diseases))

    def forward(self, images: Tensor) -> Tensor:
        return self.grey(images).mean((2, 3)) * self.weights.abs().clamp(min=0.1)


class _Contrary(nn.Module):
    """Grade 0 where a photograph is brighter than ``level``, else 1: the feature maps are brightness and darkness."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.seen = nn.Conv2d(3, 2, 1)
        weights = torch.tensor([1 / 3, -1 / 3])[:, None, None, None].expand(2, 3, 1, 1)
        self.seen.weight.data.copy_(weights)
        self.seen.bias.data.copy_(torch.tensor([0.0, 1.0]))  # type: ignore[union-attr]
        self.seen.requires_grad_(False)
        self.level = level
        self.learned = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        bright, dark = self.seen(images).mean((2, 3)).unbind(1)
        third = self.learned * 0 - 9
        return {"dme": torch.stack([bright - self.level, dark - 1 + self.level, third.expand_as(dark)], 1)}


@pytest.fixture
def bright(made_up: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up regression by brightness."""
    kind = task_class("madeup-severity")
    monkeypatch.setattr(kind, "build_network", lambda self: _Bright(len(self.scales)))
    monkeypatch.setattr(kind, "feature_maps", lambda self: {"grey": self.network.grey})
    monkeypatch.setattr(
        kind, "logits", lambda self, given: {d: given[:, k, None] for k, d in enumerate(self.scales)}
    )


def classify_by_brightness(monkeypatch: pytest.MonkeyPatch, level: float) -> None:
    """Make the made-up task a classifier."""

    def outputs(self: Any, batch: Batch) -> Outputs:
        logits = self(batch["image"])["dme"]
        return Outputs(F.cross_entropy(logits, batch["grades"]["dme"]), grades={"dme": logits.softmax(1)})

    kind = task_class("madeup-severity")
    monkeypatch.setattr(kind, "build_network", lambda self: _Contrary(level))
    monkeypatch.setattr(kind, "feature_maps", lambda self: {"seen": self.network.seen})
    monkeypatch.setattr(kind, "outputs", outputs)


def note(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "saliency.json").read_text())
    return found


def kept(folder: Path) -> pd.DataFrame:
    return read_table(folder / "maps.parquet", "maps")


def shown_on(page: str) -> set[str]:
    """Names of the photographs that a page shows with errors, as tiles, or with maps."""
    page = page[: page.index('id="notes"')]
    return set(re.findall(r'<span class="file">(?:[^<:]*: )?([^<]+)</span>', page))


def scaled(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (values.max() - values.min())


def of_row(row: pd.Series) -> np.ndarray:
    return np.frombuffer(row["values"], np.uint8).reshape(row["height"], row["width"]) / 255


@pytest.mark.parametrize("processes", [(), ("train.trainer.devices=2", "train.trainer.strategy=ddp_fork")])
def test_the_map_lies_over_the_pixels_that_it_is_of(
    bright: None, make: Make, processes: tuple[str, ...]
) -> None:
    """Working images of 64 pixels, of which the network sees the central 32: the map is their brightness."""
    experiment = make("one", "data.size=64", "data.crop=32", "data.view=centre", *SHORT, *processes)
    folder = run(experiment).folder
    found = kept(folder)
    picture = pictures(stage_modules(experiment, None, 0)["train"].parts)
    assert len(found) == 2 * found["image"].nunique() > 0
    for _, row in found.iterrows():
        working = picture(row["set"], row["image"])
        assert working is not None
        assert working.shape == (64, 64, 3)
        expected = scaled(working[16:48, 16:48].mean(2))
        assert np.abs(of_row(row) - expected).max() < 1 / 255
    assert (found["extent"] == 0.5).all()
    assert found["peak"].to_numpy() == pytest.approx(1)
    page = (folder / "report.html").read_text()
    assert set(found["image"]) == shown_on(page)
    assert "central 50 %" in page
    assert set(found["map"]) == {"Grad-CAM++ of the DR severity", "Grad-CAM++ of the DME severity"}
    count = found["image"].nunique()
    for name, caption in note(folder)["captions"].items():
        assert f"{name}: {caption}" in page
        assert "32 × 32 places of feature map grey" in caption
        assert f"for {count} of the {count} photographs" in caption
    assert "where a map is strongest" not in page  # each is as strong as any


def test_what_is_explained_is_the_grade_of_the_table(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the photographs are called bright; the map of these is their brightness, of the others their darkness."""
    experiment = make("one", "train.diseases=[dme]", *SHORT)
    part = stage_modules(experiment, None, 0)["train"].parts.tests["table"]
    working = dict(zip(part.records.table["image"], part.cache.images(part.rows) / 255, strict=True))
    level = float(np.median([image.mean() for image in working.values()]))
    classify_by_brightness(monkeypatch, level)
    result = run(experiment)
    found = kept(result.folder).merge(result.predictions, on=["image", "set", "part"])
    assert found["dme_grade"].value_counts().tolist() == [4, 4]
    for _, row in found.iterrows():
        grey = working[row["image"]].mean(2)
        assert row["dme_grade"] == int(grey.mean() < level)
        assert np.abs(of_row(row) - scaled(1 - grey if row["dme_grade"] else grey)).max() < 1 / 255
    (name,), (caption,) = zip(*note(result.folder)["captions"].items(), strict=True)
    assert name == found["map"].unique().item() == "Grad-CAM++ of the DME grade"
    assert "raise the logit of the predicted DME grade, right or wrong" in caption


def test_folds_are_explained_by_their_own_network_and_the_first_seed_alone(
    bright: None, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("folds=2", "seeds=2", "seed=3", "protocol.split=folds", *SHORT)
    experiment = make("one", *options)
    result = run(experiment)
    found, predicted = kept(result.folder), result.predictions
    assert set(found["seed"]) == {3}
    assert set(found["fold"]) == {0, 1}
    tested = predicted[predicted["part"] == "test"].set_index("image")["fold"]
    assert (found["part"] == "test").all()
    assert all((tested[row["image"]] == row["fold"]).all() for _, row in found.iterrows())
    assert set(found["image"]) == shown_on((result.folder / "report.html").read_text())

    (result.folder / "fold-1_seed-3/checkpoints/train/best.ckpt").unlink()
    again = run(experiment, gather=True).folder
    assert again == result.folder
    left = kept(again)
    assert set(left["fold"]) == {0}
    pd.testing.assert_frame_equal(left, found[found["fold"] == 0].reset_index(drop=True))
    missing = note(again)["missing"]
    assert len(missing) == 1
    assert "fold-1_seed-3" in missing[0]
    assert "No saliency maps of stage" in (again / "report.html").read_text()


def test_the_number_is_bounded(bright: None, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST", 3)
    folder = run(make("one", *SHORT)).folder
    found = kept(folder)
    assert found["image"].nunique() == 3
    every = len(shown_on((folder / "report.html").read_text()))
    assert every > 3
    assert all(f"for 3 of the {every} photographs" in one for one in note(folder)["captions"].values())


def test_a_network_without_feature_maps_is_left_without_and_the_page_says_why(
    made_up: None, make: Make
) -> None:
    folder = run(make("one", *SHORT)).folder
    assert not (folder / "maps.parquet").exists()
    (line,) = note(folder)["missing"]
    assert "'madeup-severity' names no feature maps" in line
    page = (folder / "report.html").read_text()
    assert page.count("No saliency maps of stage") == 1


def test_a_device_without_the_memory_leaves_a_line(
    bright: None, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("out of memory\ntried to allocate")

    monkeypatch.setattr(room, "maps_of", full)
    folder = run(make("one", *SHORT)).folder
    assert note(folder) == {"captions": {}, "missing": ["No saliency maps of stage 'train': out of memory"]}


def test_a_mistake_in_a_network_is_not_passed_over(
    bright: None, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: Any) -> None:
        raise TypeError("a mistake")

    monkeypatch.setattr(room, "maps_of", wrong)
    experiment = make("one", *SHORT)
    with pytest.raises(TypeError, match="a mistake"):
        run(experiment)
    folder = next(experiment.output.rglob("metrics.json")).parent  # the figures are there
    without = make("one", *SHORT, "test.saliency=false")
    assert run(without).folder == folder  # the same run goes on without them
    assert not (folder / "maps.parquet").exists()


def test_a_stage_with_maps_of_its_own_is_left_as_it_is(
    bright: None, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = task_class("madeup-severity")
    plain = kind.outputs
    monkeypatch.setattr(
        kind,
        "outputs",
        lambda self, batch: replace(plain(self, batch), maps={"red": batch["image"][:, 0].clamp(0, 1)}),
    )
    folder = run(make("one", *SHORT)).folder
    assert set(kept(folder)["map"]) == {"red"}
    assert not (folder / "saliency.json").exists()


def test_without_it_the_experiment_is_the_same(bright: None, make: Make) -> None:
    on, off = make("one", *SHORT), make("one", *SHORT, "test.saliency=false")
    assert experiment_id(on) == experiment_id(off)
    assert stage_id(on, "train") == stage_id(off, "train")
    folder = run(off).folder
    assert not (folder / "maps.parquet").exists()
    assert not (folder / "saliency.json").exists()
    assert (kept(run(on, gather=True).folder)["seed"] == 0).all()
    assert not (run(off, gather=True).folder / "maps.parquet").exists()
