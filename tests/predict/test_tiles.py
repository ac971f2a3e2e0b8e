"""A run on tiles maps the whole photograph: held to its own evaluation, and to tiles cut by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from retinalab.cli import main
from retinalab.data.module import FundusDataModule
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.metrics import read_table
from retinalab.predict.finished import FinishedRun, read_finished
from retinalab.predict.network import load_task
from retinalab.predict.photograph import Photograph
from retinalab.predict.predictor import Predictor
from retinalab.predict.prepare import read_working
from retinalab.records import LESIONS
from retinalab.runner import run

SIDE, TILE = 96, 64
TRAINER = "{max_epochs: 1, precision: 32-true, accelerator: cpu, monitor: val/loss, mode: min}"


def tiled(folder: Path, root: Path, stride: int, *more: str) -> FinishedRun:
    given = [
        f"output={folder / 'runs'}", f"data.cache={folder / 'cache'}", f"data.root={root}", f"data.size={SIDE}",
        f"data.windows={{kind: grid, size: {TILE}, stride: {stride}}}", "data.overlap=exclude", "protocol.split=folds",
        "folds=2", "fold=0", "name=tiles", f"stages.train.trainer={TRAINER}", *more,
    ]  # fmt: skip
    return read_finished(run(load_experiment("baseline", "synthetic-lesions", given)).folder)


LESION_MAPS = (
    "data.set=idrid",
    "data.options={task: segmentation}",
    "train.task.options={decoder_channels: [8, 8, 8, 8, 4]}",
    "train.task.prior=0.5",
)


@pytest.fixture(scope="module")
def overlapping(fake_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Four tiles of 64 pixels in 96, 32 apart."""
    return tiled(tmp_path_factory.mktemp("overlapping"), fake_sets / "idrid", 32, *LESION_MAPS)


def told(run: FinishedRun, root: Path, names: list[str]) -> list[dict[str, np.ndarray]]:
    found = list(Predictor(run).predict([Photograph(n, root / n) for n in names], lesion_maps=True))
    maps = [one.lesion_maps for one in found]
    for one in found:
        assert not one.reason
        assert one.answers == {}
    return [dict(one.values) for one in maps if one is not None]


def test_a_photograph_is_mapped_by_the_mean_of_its_tiles(overlapping: FinishedRun, fake_sets: Path) -> None:
    root = fake_sets / "idrid"
    photograph = next((root / "A. Segmentation").rglob("*.jpg"))
    task = load_task(overlapping.members[0].checkpoint, "baseline-segmentation")
    pixels = torch.from_numpy(read_working(photograph, SIDE).pixels).permute(2, 0, 1).float() / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    image = (pixels - mean[:, None, None]) / deviation[:, None, None]
    total, times = torch.zeros(8, SIDE, SIDE), torch.zeros(SIDE, SIDE)
    for top in (0, 32):
        for left in (0, 32):
            rows, columns = slice(top, top + TILE), slice(left, left + TILE)
            with torch.inference_mode():
                total[:, rows, columns] += task(image[None, :, rows, columns]).sigmoid()[0]
            times[rows, columns] += 1
    wanted = (total / times).numpy()
    (maps,) = told(overlapping, root, [str(photograph.relative_to(root))])
    assert tuple(maps) == ("MA", "HE", "EX", "SE")
    for lesion, values in maps.items():
        np.testing.assert_allclose(values, wanted[LESIONS.index(lesion)], atol=1e-5)
    (one,) = Predictor(overlapping).predict([Photograph("one", photograph)])
    assert one.lesions["EX"] == pytest.approx(wanted[LESIONS.index("EX")].max(), abs=1e-5)


@pytest.mark.parametrize("processes", [(), ("train.trainer.devices=2", "train.trainer.strategy=ddp_fork")])
def test_the_evaluation_counts_every_pixel_and_lesion_of_a_photograph_once(
    processes: tuple[str, ...], fake_sets: Path, tmp_path: Path
) -> None:
    """Tiles overlap unevenly; against the predicted map, the masks and SciPy's components."""
    root = fake_sets / "idrid"
    finished = tiled(tmp_path, root, 48, *LESION_MAPS, "data.size=128", *processes)
    counts = read_table(finished.path / "lesions.parquet", "lesions").set_index(["image", "lesion"])
    assert not counts.index.duplicated().any()
    module = FundusDataModule(
        finished.experiment.stages["train"].data.model_copy(update={"windows": None}),
        finished.experiment.protocol,
        fold=0,
        folds=2,
    )
    seen, around = 0, np.ones((3, 3))
    for part in module.evaluation_parts():
        names = part.records.table["image"].tolist()
        planes = part.cache.planes(part.rows)
        for name, maps, (marked, _) in zip(names, told(finished, root, names), planes, strict=True):
            for lesion, score in maps.items():
                row, truth = counts.loc[(name, lesion)], ((marked >> LESIONS.index(lesion)) & 1).astype(bool)
                found = score >= 0.5
                near = int((np.abs(score - 0.5) < 1e-5).sum())  # may fall on either side
                assert row["tp"] == pytest.approx(np.sum(found & truth), abs=near)
                assert row["fp"] == pytest.approx(np.sum(found & ~truth), abs=near)
                assert row["tp"] + row["fn"] == row["hist_in"].sum() == truth.sum()
                assert row["hist_in"].sum() + row["hist_out"].sum() == 128 * 128
                assert row["hits"] + row["misses"] == ndimage.label(truth, around)[1]
                seen += int(truth.sum())
    assert len(counts) == 4 * sum(len(part) for part in module.evaluation_parts())
    assert seen > 0


def test_masks_of_a_run_on_tiles(overlapping: FinishedRun, fake_sets: Path, tmp_path: Path) -> None:
    photograph = next((fake_sets / "idrid" / "A. Segmentation").rglob("*.jpg"))
    out = tmp_path / "out"
    words = ["predict", str(overlapping.path), str(photograph), "--out", str(out), "--masks", "--overlays"]
    assert main(words) == 0
    (row,) = pd.read_csv(out / "predictions.csv").to_dict("records")
    assert (out / row["lesion_EX_mask"]).is_file()
    assert (out / row["overlay"]).is_file()


def test_a_run_on_windows_that_maps_no_lesions_is_refused(overlapping: FinishedRun, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.symlink_to(overlapping.path)
    predictor = Predictor(read_finished(folder))
    assert predictor.scales == {}
    text = (overlapping.path / "experiment.yaml").read_text(encoding="utf-8")
    other = tmp_path / "lesions"
    other.mkdir()
    for file in overlapping.path.iterdir():
        (other / file.name).symlink_to(file)
    (other / "experiment.yaml").unlink()
    (other / "experiment.yaml").write_text(text.replace("kind: grid", "kind: lesions"), encoding="utf-8")
    with pytest.raises(RetinalabError, match="classifies windows of photographs"):
        read_finished(other)
