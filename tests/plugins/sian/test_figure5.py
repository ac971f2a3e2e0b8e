"""Figure 5 and the report's maps from two small runs, held to the runs' own tables and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from retinalab_sian.figure5 import Compared, read_compared
from retinalab_sian.maps import GROUPS, lesion_group_maps

from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.metrics import read_table
from retinalab.predict.network import load_task
from retinalab.records import LESIONS
from retinalab.runner import run

SIDE = 128
FEW = ("data.options.photographs=24", "data.background=null", f"data.size={SIDE}")
TRAINER = "trainer={max_epochs: 1, accelerator: cpu, devices: 1, precision: 32-true}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of SiAN whose maps begin at one half, and one of ABN."""
    folder = tmp_path_factory.mktemp("figure5")
    places = [*FEW, f"data.cache={folder / 'cache'}", f"output={folder / 'runs'}"]
    ours = (
        "l-net.task.network=l-net-32s", "sian.task.lesions=l-net-32s", "l-net.task.backbone=test_resnet",
        "sian.task.backbone=test_resnet", "l-net.task.prior=0.5", f"l-net.{TRAINER}", f"sian.{TRAINER}",
    )  # fmt: skip
    theirs = ("train.task.variant=abn", "train.task.backbone=resnet10t", f"train.{TRAINER}")
    return (
        run(load_experiment("sian", "synthetic", [*places, *ours])).folder,
        run(load_experiment("sian", "synthetic-grades", [*places, *theirs])).folder,
    )


@pytest.fixture(scope="module")
def compared(runs: tuple[Path, Path]) -> Compared:
    return read_compared(*runs)


def normalised(pixels: np.ndarray) -> torch.Tensor:
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return torch.from_numpy(((pixels / 255 - mean) / deviation).transpose(2, 0, 1)[None]).float()


def test_truth_grades_and_maps_are_those_of_the_runs(compared: Compared, runs: tuple[Path, Path]) -> None:
    graded = read_table(runs[0] / "predictions.parquet", "predictions").set_index("image")
    counts = read_table(runs[0] / "lesions.parquet", "lesions")
    counts = counts[counts["stage"] == "sian"] if "stage" in counts else counts
    for image in compared.telling(3):
        tested = compared.read(image)
        assert tuple(tested.masks) == LESIONS
        assert tested.grade == graded.loc[image, "dr"]
        mine = counts[counts["image"] == image].drop_duplicates("lesion").set_index("lesion")
        for lesion, mask in tested.masks.items():
            judged = int(mine.loc[lesion, "tp"] + mine.loc[lesion, "fn"]) if lesion in mine.index else 0
            assert int(mask.sum()) == judged
        sian, abn = (one.says(tested.pixels, "dr") for one in (compared.sian, compared.abn))
        assert sian.grade == graded.loc[image, "dr_grade"]
        assert sian.attention is None
        assert abn.lesions == {}
        with torch.inference_mode():
            logits = load_task(runs[0] / "checkpoints/sian/best.ckpt", "sian")(
                normalised(tested.pixels)
            ).lesions
            looked = load_task(runs[1] / "checkpoints/train/best.ckpt", "sian")(normalised(tested.pixels))
        found = logits[0].numpy()
        for lesion, mask in sian.lesions.items():
            plane = found[LESIONS.index(lesion)]
            sure = np.abs(plane) > 1e-4
            assert ((plane > 0) == mask)[sure].all()
        assert abn.attention is not None
        wanted = looked.attention[0, 0].numpy()
        assert abn.attention.shape == (SIDE, SIDE)
        centres = cv2.resize(abn.attention, wanted.shape[::-1], interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(centres, wanted, atol=0.05)


def test_the_report_shows_the_surest_pixel_of_each_place(runs: tuple[Path, Path]) -> None:
    maps = read_table(runs[0] / "maps.parquet", "maps")
    named = read_table(runs[0] / "predictions.parquet", "predictions").set_index("image")
    assert maps["map"].nunique() == len(GROUPS)
    for row in maps[maps["image"].isin(named.index)].itertuples():
        lesions = str(row.map).split("(")[1].rstrip(")").split(", ")
        highest = max(named.loc[row.image, f"lesion_{lesion}_p"] for lesion in lesions)
        assert row.peak == pytest.approx(highest, abs=1e-5)
        values = np.frombuffer(row.values, np.uint8) if isinstance(row.values, bytes) else None
        assert values is None or values.max() == round(255 * highest)
    abn = read_table(runs[1] / "maps.parquet", "maps")
    assert set(abn["map"]) == {"attention"}
    for folder in runs:
        assert "data:image" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_group_holds_what_was_taught() -> None:
    lesions = torch.zeros(1, 8, 64, 96)
    lesions[0, LESIONS.index("HE"), 3, 95] = 0.9
    lesions[0, LESIONS.index("MA"), 63, 0] = 0.7
    maps = lesion_group_maps(lesions, ("HE", "EX"))
    assert list(maps) == ["surest red lesion (HE)", "surest bright lesion (EX)"]
    red = maps["surest red lesion (HE)"][0]
    assert red.nonzero().tolist() == [[1, 31]]
    assert red[1, 31].item() == pytest.approx(0.9)


def test_the_script_writes_a_picture(
    runs: tuple[Path, Path],
    benchmark: Callable[[str], ModuleType],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = benchmark("sian_figure5")
    words = [str(runs[0]), "--abn", str(runs[1]), "--out", str(tmp_path / "out")]
    script.main([*words, "--count", "1"])
    (path,) = (tmp_path / "out").iterdir()
    assert capsys.readouterr().out.strip() == str(path)
    with Image.open(path) as picture:
        assert picture.size[0] > 3 * picture.size[1] / 2
        assert "not for diagnosis" in picture.info["Comment"]
    with pytest.raises(SystemExit, match="2"):
        script.main([*words, "--image", "nobody"])
    assert "Unknown photograph 'nobody'" in capsys.readouterr().err


def test_other_runs_are_refused(runs: tuple[Path, Path]) -> None:
    with pytest.raises(RetinalabError, match=r"variant=abn, not with 'sian' and variant=sian or concat"):
        read_compared(runs[1], runs[0])
    with pytest.raises(RetinalabError, match=r"variant=sian, not with 'sian' and variant=abn"):
        read_compared(runs[0], runs[0])


def test_photographs_of_every_grade_come_first(compared: Compared) -> None:
    chosen = [compared.read(image).grade for image in compared.telling(len(compared.photographs))]
    kinds = len(set(chosen))
    assert sorted(set(chosen), reverse=True) == chosen[:kinds]
