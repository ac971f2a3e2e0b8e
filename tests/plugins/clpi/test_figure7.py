"""Figure 7 from two small runs: held to the runs' own tables and checkpoints; what is no such run is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from retinalab_clpi.figure7 import Grader, Pair, predicted_units, read_pair
from retinalab_clpi.figure7_drawing import draw_figure7
from retinalab_clpi.generator import CLASSES
from retinalab_clpi.task import ClpiTask

from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.explain.grid import in_frame
from retinalab.explain.grid_tracking import GridTracking
from retinalab.metrics import read_table
from retinalab.predict.finished import read_finished
from retinalab.runner import run

SMALL = (
    "data.options.photographs=24",
    "data.size=128",
    "lesions.data.batch_size=16",
    "lesions.data.drop_last=false",
    "lesions.trainer.limit_train_batches=8",
    "lesions.task.optimiser=adam",
    "lesions.task.learning_rate=0.01",
    "test.stages=[grading]",
    *(
        f"{stage}.trainer.{option}"
        for stage in ("lesions", "grading")
        for option in ("max_epochs=1", "accelerator=cpu", "devices=1", "precision=32-true")
    ),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of CLPI and one of CLPI-."""
    folder = tmp_path_factory.mktemp("figure7")
    made = []
    minus = ("grading.start_from=null", "grading.task.statistics=update", "grading.task.generator_rate=1")
    for name, further in (("clpi", ()), ("minus", minus)):
        given = [*SMALL, f"data.cache={folder / 'cache'}", f"output={folder / name}", *further]
        made.append(run(load_experiment("clpi", "synthetic", given)).folder)
    return made[0], made[1]


def copied(folder: Path, place: Path) -> Path:
    """A run's small files, and a link to its checkpoints."""
    place.mkdir()
    for file in folder.iterdir():
        if file.suffix in (".yaml", ".json", ".csv"):
            shutil.copy(file, place)
    (place / "checkpoints").symlink_to(folder / "checkpoints")
    return place


@pytest.fixture(scope="module")
def pair(runs: tuple[Path, Path]) -> Pair:
    return read_pair(*runs)


def test_units_whose_most_probable_class_is_a_lesion() -> None:
    given = np.zeros((4, 2, 2), np.float32)
    given[0] = [[0.4, 0.9], [0.1, 0.3]]
    given[1] = [[0.3, 0.1], [0.2, 0.3]]
    given[2] = [[0.3, 0.0], [0.3, 0.3]]
    given[3] = [[0.0, 0.0], [0.4, 0.1]]
    found = predicted_units(given, 128)
    assert found["boxes"].tolist() == [
        [0.0, 62.0, 66.0, 128.0]
    ]  # none wins at 0.4, 0.9 and, first of equals, 0.3
    assert found["labels"].tolist() == [3]
    assert found["scores"].tolist() == pytest.approx([0.4])
    central = predicted_units(given, 256, extent=0.75)
    # a unit of 64 is 96 pixels of the photograph, its two pixels of margin 3; the square begins at 32
    assert central["boxes"].tolist() == [[32.0, 125.0, 131.0, 224.0]]


def test_the_photographs_are_those_of_the_test_part_that_neither_run_learned_from(
    pair: Pair, runs: tuple[Path, Path]
) -> None:
    tested = read_table(runs[0] / "predictions.parquet", "predictions")
    assert set(pair.photographs) == set(tested.loc[tested["part"] == "test", "image"])
    chosen = pair.telling(3)
    labels = [pair.read(image).lesions["labels"].tolist() for image in pair.photographs]
    most = max(len(set(each)) for each in labels)
    first = pair.read(chosen[0]).lesions["labels"].tolist()
    assert len(set(first)) == most
    assert len(first) == min(len(each) for each in labels if len(set(each)) == most)
    stem = chosen[0].rsplit("/", 1)[-1].rsplit(".", 1)[0]
    assert pair.named([stem, chosen[1]]) == chosen[:2]


def test_grades_and_units_are_those_of_the_runs_own_tables(pair: Pair, runs: tuple[Path, Path]) -> None:
    judged = 0
    for grader, folder in zip((pair.clpi, pair.minus), runs, strict=True):
        table = read_table(folder / "predictions.parquet", "predictions")
        maps = read_table(folder / "maps.parquet", "maps")
        for image in list(pair.photographs)[:3]:
            found = grader.explain(pair.read(image).pixels, "dr")
            row = table[(table["image"] == image) & (table["part"] == "test")].iloc[0]
            assert found.grade == row["dr_grade"]
            assert found.probability == pytest.approx(row[f"dr_p{found.grade}"], abs=1e-4)
            mine = maps[(maps["image"] == image) & (maps["part"] == "test")].set_index("map")
            assert set(mine.index) == {"EX", "HE", "MA", "any lesion"}
            assert (mine[["height", "width"]] == 2).all(axis=None)
            bytes_ = {name: np.frombuffer(mine.loc[name, "values"], np.uint8) / 255 for name in mine.index}
            assert np.allclose(bytes_["any lesion"], sum(bytes_[name] for name in CLASSES[1:]), atol=2 / 255)
            classes = np.stack([1 - bytes_["any lesion"], *(bytes_[name] for name in CLASSES[1:])])
            ordered = np.sort(classes, 0)
            clear = ordered[-1] - ordered[-2] > 2 / 255
            judged += int(clear.sum())
            units = np.zeros(4, int)
            for (left, top, _, _), label in zip(
                found.units["boxes"].tolist(), found.units["labels"].tolist(), strict=True
            ):
                units[2 * round(top / 64) + round(left / 64)] = label
            assert (units == classes.argmax(0))[clear].all()
    assert judged > 0


def test_the_activation_map_is_the_weighted_sum_of_the_features(pair: Pair, runs: tuple[Path, Path]) -> None:
    image = pair.telling(1)[0]
    pixels = pair.read(image).pixels
    found = pair.clpi.explain(pixels, "dr")
    task = ClpiTask.load_from_checkpoint(
        runs[0] / "checkpoints/grading/best.ckpt", weights_only=True, map_location="cpu"
    ).eval()
    batch = pair.clpi.predictor.batches["grading"].make(pixels[None])
    with torch.inference_mode(), GridTracking(batch["image"]) as tracking:
        features = task.network(batch["image"]).features
    head = task.network.get_submodule("heads.dr")
    activation = torch.einsum("c,bchw->bhw", head.weight[found.grade].detach(), features)
    wanted = in_frame(activation, tracking.grid(features), (128, 128))[0]
    assert found.activation.shape == (128, 128)
    assert found.activation.min() >= 0
    assert found.activation.max() <= 1
    assert np.corrcoef(found.activation.ravel(), wanted.numpy().ravel())[0, 1] > 0.99


def test_the_picture_has_four_panels_and_says_what_it_is_not_for(pair: Pair, tmp_path: Path) -> None:
    draw_figure7(pair, pair.telling(1)[0], tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.info["Comment"] == "Research use only: not for diagnosis."
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[1] > 2.5 * pixels.shape[0]
    height = pixels.shape[0]
    inked = (pixels[int(0.3 * height) : int(0.6 * height)] < 250).any((0, 2))
    assert np.count_nonzero(np.diff(inked.astype(int), prepend=0) == 1) == 4


def other_task(runs: tuple[Path, Path], tmp_path: Path) -> list[str]:
    copy = copied(runs[0], tmp_path / "other")
    content = yaml.safe_load((copy / "experiment.yaml").read_text())
    content["stages"]["grading"]["task"] = {"name": "baseline", "backbone": "resnet18"}
    content["stages"]["grading"]["start_from"] = None
    (copy / "experiment.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return [str(copy), "--minus", str(runs[1])]


def unfinished(runs: tuple[Path, Path], tmp_path: Path) -> list[str]:
    copy = copied(runs[0], tmp_path / "unfinished")
    state = json.loads((copy / "state.json").read_text())
    (copy / "state.json").write_text(json.dumps(state | {"finished": False}))
    return [str(copy), "--minus", str(runs[1])]


def plain(runs: tuple[Path, Path], tmp_path: Path) -> list[str]:
    copy = copied(runs[1], tmp_path / "plain")
    content = yaml.safe_load((copy / "experiment.yaml").read_text())
    content["stages"]["grading"]["task"]["variant"] = "plain"
    (copy / "experiment.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return [str(runs[0]), "--minus", str(copy)]


def folds(runs: tuple[Path, Path], tmp_path: Path) -> list[str]:
    copy = copied(runs[0], tmp_path / "folds")
    content = yaml.safe_load((copy / "experiment.yaml").read_text())
    content["folds"] = 2
    content["protocol"]["split"] = "folds"
    (copy / "experiment.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for fold in ("fold-0", "fold-1"):
        (copy / fold).mkdir()
        (copy / fold / "checkpoints").symlink_to(runs[0] / "checkpoints")
    state = {"stages": [f"fold-{k}/{s}" for k in (0, 1) for s in ("lesions", "grading")], "finished": True}
    (copy / "state.json").write_text(json.dumps(state))
    return [str(copy), "--minus", str(runs[1])]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            lambda runs, _: [str(runs[0]), "--minus", str(runs[1]), "--image", "000777.png"],
            "Unknown photograph",
        ),
        (lambda runs, _: [str(runs[1]), "--minus", str(runs[1])], "has no stage of lesion patches"),
        (lambda runs, _: [str(runs[0]), "--minus", str(runs[0])], "is CLPI, not CLPI-"),
        (lambda runs, place: [str(place / "nowhere"), "--minus", str(runs[1])], "No run folder"),
        (other_task, "grades with task 'baseline', not with 'clpi'"),
        (plain, "task 'clpi' with variant=plain, not with 'clpi' and variant=clpi"),
        (unfinished, "has not finished"),
        (folds, "has 2 folds"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    arguments: Callable[[tuple[Path, Path], Path], list[str]],
    message: str,
    runs: tuple[Path, Path],
    benchmark: Callable[[str], ModuleType],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*arguments(runs, tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        benchmark("clpi_figure7").main(words)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.glob("out/*"))


def test_other_sizes_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    copy = copied(runs[1], tmp_path / "larger")
    content = yaml.safe_load((copy / "experiment.yaml").read_text())
    for stage in content["stages"].values():
        stage["data"]["size"] = 192
    (copy / "experiment.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(RetinalabError, match=r"photographs of 128 and of 192 pixels"):
        read_pair(runs[0], copy)


def test_photographs_that_a_run_learned_from_are_not_drawn(runs: tuple[Path, Path], tmp_path: Path) -> None:
    copy = copied(runs[1], tmp_path / "learned")
    split = copy / "split-grading.csv"
    split.write_text(split.read_text().replace(",test", ",train"))
    with pytest.raises(RetinalabError, match=r"No test photograph of run .* is unknown to both runs"):
        read_pair(runs[0], copy)


def test_seeds_are_averaged(runs: tuple[Path, Path], tmp_path: Path, pair: Pair) -> None:
    copy = copied(runs[0], tmp_path / "seeds")
    content = yaml.safe_load((copy / "experiment.yaml").read_text())
    content["seeds"] = 2
    (copy / "experiment.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for seed, source in (("seed-0", runs[0]), ("seed-1", runs[1])):
        (copy / seed).mkdir()
        (copy / seed / "checkpoints").symlink_to(source / "checkpoints")
    state = {"stages": [f"seed-{k}/{s}" for k in (0, 1) for s in ("lesions", "grading")], "finished": True}
    (copy / "state.json").write_text(json.dumps(state))
    pixels = pair.read(pair.telling(1)[0]).pixels
    both = Grader(read_finished(copy)).explain(pixels, "dr")
    tables = [read_table(folder / "predictions.parquet", "predictions") for folder in runs]
    image = pair.telling(1)[0]
    rows = [table[(table["image"] == image) & (table["part"] == "test")].iloc[0] for table in tables]
    mean = np.mean([[row[f"dr_p{k}"] for k in range(5)] for row in rows], axis=0)
    assert both.grade == mean.argmax()
    assert both.probability == pytest.approx(mean.max(), abs=1e-4)
