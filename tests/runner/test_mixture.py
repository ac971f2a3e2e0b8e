"""A run on two sets at once, from overrides to its tables; what leaks is refused before it starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pytest
import yaml

from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import experiment_id, load_experiment, resolve
from retinalab.runner import pictures_of, run
from retinalab.smoke import smoke

Make = Callable[..., Any]

SMALL = ("train.task.backbone=test_resnet", "train.trainer.accelerator=cpu", "train.trainer.devices=1")


@pytest.fixture
def mixture(fake_sets: Path, prepared: Path, tmp_path: Path) -> Callable[..., Experiment]:
    """The baseline on a table and dr600 together, reduced to two steps."""

    def made(*overrides: str) -> Experiment:
        roots = [f"roots.{folder.name}={folder}" for folder in sorted(fake_sets.iterdir())]
        data = [
            "data.set=table",
            "data.mix=[dr600]",
            "data.size=64",
            "data.crop=64",
            f"data.cache={prepared}",
        ]
        given = [*SMALL, *roots, *data, "train.trainer.precision=32-true", f"output={tmp_path}", *overrides]
        return smoke(load_experiment("baseline", "deepdrid", given))

    return made


def test_a_mixture_trains_and_tests_each_set_apart(mixture: Callable[..., Experiment]) -> None:
    experiment = mixture("data.sampler=sets")
    result = run(experiment)
    table = result.predictions
    assert table.groupby(["set", "part"]).size().to_dict() == {
        ("table", "val"): 4, ("dr600", "val"): 2, ("table", "test"): 8, ("dr600", "test"): 2,
    }  # fmt: skip
    assert not table.duplicated(["set", "image", "part"]).any()
    assert {"test/dr/accuracy", "test@dr600/dr/accuracy"} <= set(result.metrics)
    for name, key in (("table", "test/dr/accuracy"), ("dr600", "test@dr600/dr/accuracy")):
        rows = table[(table["set"] == name) & (table["part"] == "test")]
        assert result.metrics[key]["value"] == pytest.approx((rows["dr"] == rows["dr_grade"]).mean())
    split = pd.read_csv(result.folder / "split-train.csv")
    assert split.groupby(["set", "part"]).size().to_dict() == {
        ("table", "train"): 20, ("table", "val"): 4, ("table", "test"): 8,
        ("dr600", "train"): 8, ("dr600", "val"): 2, ("dr600", "test"): 2,
    }  # fmt: skip
    known = json.loads((result.folder / "provenance.json").read_text())
    assert {name: entry["photographs"] for name, entry in known["data"]["train"].items()} == {
        "table": {"train": 12, "val": 4, "test": 8},
        "dr600": {"train": 8, "val": 2, "test": 2},
    }
    assert known["notes"][0].startswith("mixture of 2 data sets (photographs): table 12 train")
    picture = pictures_of(experiment)
    for name, image in table[["set", "image"]].drop_duplicates().itertuples(index=False):
        assert picture(name, image) is not None
    again = resolve(yaml.safe_load((result.folder / "experiment.yaml").read_text()))
    assert experiment_id(again) == experiment_id(experiment)


def test_the_run_is_named_after_its_mixture(mixture: Callable[..., Experiment]) -> None:
    named = {
        experiment_id(mixture(*override))
        for override in ((), ("data.mix=[]",), ("data.mix=[idrid]",), ("data.overlap=exclude",), ("seed=1",))
    }
    assert len(named) == 5


def test_drawn_photographs_in_a_mixture_label_the_result(mixture: Callable[..., Experiment]) -> None:
    drawn = "data.mix={sets: [synthetic], options: {synthetic: {photographs: 60}}}"
    known = json.loads((run(mixture(drawn)).folder / "provenance.json").read_text())
    assert known["labels"] == ["synthetic: drawn photographs, not a result on patients"]


@pytest.fixture
def leaky(fake_sets: Path, tmp_path: Path) -> Path:
    """A table of which one training photograph is a test photograph of dr600, saved again."""
    root = tmp_path / "leaky"
    shutil.copytree(fake_sets / "table", root)
    table = pd.read_csv(root / "records.csv")
    (image,) = table.loc[table["split"] == "train", "image"].iloc[:1]
    generated = cv2.imread(str(fake_sets / "dr600" / "images" / "Patient004_L.jpg"))
    cv2.imwrite(str(root / image), generated, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return root


def test_overlaps_are_refused_before_a_folder_is_made_and_can_be_excluded(
    make: Make, leaky: Path, tmp_path: Path
) -> None:
    given = ["protocol.diseases.dme=binary", f"data.root={leaky}", "test=[dr600]", "data.size=96"]
    short = ["train.trainer.max_epochs=1"]
    with pytest.raises(
        RetinalabError, match=r"1 photograph of (train|val) \(leaky\) is in test \(dr600\) too"
    ):
        run(make("one", *given, *short))
    assert not list(tmp_path.glob("runs/*/*/*-*"))
    result = run(make("one", *given, *short, "data.overlap=exclude"))
    found = pd.read_csv(result.folder / "overlap-train.csv")
    assert found["by"].tolist()[0] == "picture"
    assert found["other_image"].tolist()[0] == "images/Patient004_L.jpg"
    assert found["left_out"].all()
    notes = json.loads((result.folder / "provenance.json").read_text())["notes"]
    assert any("left out of" in note for note in notes)
    split = pd.read_csv(result.folder / "split-train.csv")
    assert not set(found["image"]) & set(split["image"])
    published = run(make("one", *given, *short, "protocol.split=as-published"))
    known = json.loads((published.folder / "provenance.json").read_text())
    assert [label.split(":")[0] for label in known["labels"]] == ["leaky"]
    assert "leaky" in (published.folder / "report.html").read_text()


def test_a_stage_may_not_start_from_weights_that_saw_the_test_part(
    make: Make, fake_sets: Path, tmp_path: Path
) -> None:
    """The maps were learned on photographs that the severity is later tested on, read under another name."""
    table = pd.read_csv(fake_sets / "table" / "records.csv")
    root = tmp_path / "marked"
    shutil.copytree(fake_sets / "idrid", root)
    seg = next(root.glob("A. Segmentation/1. Original Images/a. Training Set"))
    first = sorted(seg.iterdir())[0]
    tested = table.loc[(table["split"] == "test") & (table["dr"] > 1), "image"].iloc[0]
    picture = cv2.imread(str(fake_sets / "table" / tested))
    size = cv2.imread(str(first)).shape[1::-1]
    cv2.imwrite(str(first), cv2.resize(picture, size))
    given = [f"roots.idrid={root}", "data.size=96", "patches.data.size=96", "test=[]"]
    with pytest.raises(
        RetinalabError, match=r"Stage 'marks', whose weights 'severity' starts from: 1 photograph of"
    ):
        run(make("whole", *given))
