"""Lesions of a run's own test photographs: the table's probabilities, masks at the file's size, overlays, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from retinalab.cli import main
from retinalab.experiment import load_experiment
from retinalab.explain import LESION_COLOURS
from retinalab.explain.framing import Framing
from retinalab.metrics import read_table
from retinalab.predict.finished import FinishedRun, read_finished
from retinalab.predict.masks import masks_on_photograph
from retinalab.predict.photograph import Photograph
from retinalab.predict.predictor import LesionMaps, Predictor
from retinalab.runner import run

TAUGHT = ("MA", "HE", "EX", "SE")


@pytest.fixture(scope="session")
def segmented(fake_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Maps of the four lesions of IDRiD, begun at a probability of one half so that some pixels are found."""
    folder = tmp_path_factory.mktemp("segmented")
    given = [
        f"output={folder / 'runs'}", f"data.cache={folder / 'cache'}", f"data.root={fake_sets / 'idrid'}",
        "data.set=idrid", "data.options={task: segmentation}", "data.size=64", "data.crop=64", "data.overlap=exclude",
        "protocol.split=folds", "folds=2", "fold=0", "train.task.options={decoder_channels: [8, 8, 8, 8, 4]}",
        "train.task.prior=0.5", "name=lesions",
        "stages.train.trainer={max_epochs: 1, precision: 32-true, accelerator: cpu, monitor: val/loss, mode: min}",
    ]  # fmt: skip
    return read_finished(run(load_experiment("baseline", "synthetic-lesions", given)).folder)


def test_probabilities_are_those_of_the_runs_own_evaluation(segmented: FinishedRun, fake_sets: Path) -> None:
    assert segmented.taught == TAUGHT
    table = read_table(segmented.path / "predictions.parquet", "predictions")
    root = fake_sets / "idrid"
    found = list(Predictor(segmented).predict([Photograph(name, root / name) for name in table["image"]]))
    assert len(found) >= 3
    for row, one in zip(table.itertuples(), found, strict=True):
        assert tuple(one.lesions) == TAUGHT
        for lesion, chance in one.lesions.items():
            assert chance == pytest.approx(getattr(row, f"lesion_{lesion}_p"), abs=1e-5)


def test_masks_and_overlays_of_a_photograph(
    segmented: FinishedRun, fake_sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph = next((fake_sets / "idrid" / "A. Segmentation").rglob("*.jpg"))
    words = ["predict", str(segmented.path), str(photograph), "--out", str(tmp_path / "out")]
    assert main([*words, "--masks", "--overlays"]) == 0
    assert "lesions MA HE EX SE" in capsys.readouterr().out
    (row,) = pd.read_csv(tmp_path / "out" / "predictions.csv").to_dict("records")
    predictor = Predictor(segmented)
    (told,) = predictor.predict([Photograph("one", photograph)], lesion_maps=True)
    assert told.lesion_maps is not None
    with Image.open(photograph) as picture:
        width, height = picture.size
    expected = masks_on_photograph(told.lesion_maps, height, width)
    for lesion in LESION_COLOURS:
        if lesion not in TAUGHT:
            assert np.isnan(row[f"lesion_{lesion}_p"])
            assert np.isnan(row[f"lesion_{lesion}_mask"])
            continue
        assert row[f"lesion_{lesion}_p"] == pytest.approx(told.lesions[lesion], abs=1e-6)
        with Image.open(tmp_path / "out" / row[f"lesion_{lesion}_mask"]) as mask:
            assert mask.size == (width, height)
            assert np.array_equal(np.asarray(mask), 255 * expected[lesion].astype(np.uint8))
    assert any(one.any() for one in expected.values())
    with Image.open(tmp_path / "out" / row["overlay"]) as sheet:
        assert sheet.size[0] == 2 * width + 8
        assert "not for diagnosis" in sheet.info["Comment"]


def test_a_mask_lies_where_the_map_does() -> None:
    values = np.zeros((32, 32), np.float32)
    values[8:16, 4:8] = 1
    found = masks_on_photograph(LesionMaps({"EX": values}, Framing.of_working(32)), 128, 128)["EX"]
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (32, 63, 16, 31)


def test_what_maps_no_lesion_is_refused(
    graded: FinishedRun, fake_sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(graded.path), str(fake_sets / "table" / "images")]
    assert main([*words, "--masks", "--out", str(tmp_path / "out")]) == 2
    assert "maps no lesions" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--overlays"]) == 2
    assert "--overlays writes pictures and needs a folder" in capsys.readouterr().err
