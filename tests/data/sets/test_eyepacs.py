"""EyePACS: names, parts, halves of the test part, nested folders, other versions of the label files."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from retinalab.data.sets import open_set
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.errors import RetinalabError
from retinalab.testing import write_fake_set

TRAIN, SOLUTION = "trainLabels.csv", "retinopathy_solution.csv"
PUBLISHED = {"train": (25810, 2443, 5292, 873, 708), "test": (39533, 3762, 7861, 1214, 1206)}


def refused(root: Path, **options: Any) -> str:
    with pytest.raises(RetinalabError) as caught:
        open_set("eyepacs", root, options).records()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def published(root: Path, parts: tuple[str, ...] = ("train", "test"), shift: int = 0) -> Path:
    """Label files of the published size; ``shift`` photographs of grade 4 become grade 3."""
    root.mkdir(exist_ok=True)
    first = 10
    for part in parts:
        counts = PUBLISHED[part]
        grades = [grade for grade, n in enumerate(counts) for _ in range(n)]
        grades[len(grades) - shift :] = [3] * shift
        rows = [
            {"image": f"{first + index // 2}_{('left', 'right')[index % 2]}", "level": grade}
            for index, grade in enumerate(grades)
        ]
        first += len(rows)
        if part == "test":
            rows = [{**row, "Usage": "Public" if i % 5 == 0 else "Private"} for i, row in enumerate(rows)]
        write_csv(root / {"train": TRAIN, "test": SOLUTION}[part], rows)
    return root


def test_round_trip(tmp_path: Path) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    records = open_set("eyepacs", root).records()
    rows = {**written(root / TRAIN), **written(root / SOLUTION)}
    assert len(records) == len(rows) == 24
    for row in records.table.to_dict("records"):
        part, file = row["image"].split("/")
        name = file.removesuffix(".jpeg")
        assert row["part"] == part == ("test" if "Usage" in rows[name] else "train")
        assert f"{row['patient']}_{row['eye']}" == name
        assert row["dr"] == int(rows[name]["level"])
        assert row["usage"] == rows[name].get("Usage", "")
    patients = records.table.groupby("patient")
    assert (patients["eye"].nunique() == 2).all()
    assert (patients["part"].nunique() == 1).all()
    assert records.further == ["usage"]
    assert (records.table["dme"] == -1).all()
    assert not records.table["annotated_MA"].any()


@pytest.mark.parametrize("half", ["Public", "Private"])
def test_half_of_the_test_part(tmp_path: Path, half: str) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    records = open_set("eyepacs", root, {"test": half.lower()}).records()
    test = records.table[records.table["part"] == "test"]
    assert set(test["usage"]) == {half}
    assert len(test) == sum(row["Usage"] == half for row in written(root / SOLUTION).values()) == 4
    assert f"4 test photographs that are not {half.lower()} left out" in records.notes
    assert (records.table["part"] == "train").sum() == 16


def test_without_the_solution(tmp_path: Path) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    (root / SOLUTION).unlink()
    records = open_set("eyepacs", root).records()
    assert len(records) == 16
    assert set(records.table["part"]) == {""}
    assert "no test part was read: the official parts are left empty" in records.notes
    assert f"8 photographs of 'test' have no labels without {SOLUTION}" in records.notes
    assert any("photographs 16 instead of 35126" in note for note in records.notes)
    assert not any("88702" in note for note in records.notes)
    assert "Unknown file 'retinopathy_solution.csv'" in refused(root, test="private")


def test_training_part_alone(tmp_path: Path) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    shutil.rmtree(root / "test")
    line = refused(root)
    assert f"none of the 8 photographs that {SOLUTION} lists" in line
    assert "looked in 'test' and 'test/test' and the folder itself" in line
    assert line.endswith("Or read the training part alone: test=none.")
    assert len(open_set("eyepacs", root, {"test": "none"}).records()) == 16


@pytest.mark.parametrize("folder", ["train/train", ""])
def test_nested_folder_or_none(tmp_path: Path, folder: str) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    whole = open_set("eyepacs", root).records().table
    (root / "train").rename(root / "moved")
    (root / folder).mkdir(parents=True, exist_ok=True)
    for path in (root / "moved").iterdir():
        path.rename(root / folder / path.name)
    table = open_set("eyepacs", root).records().table
    assert table["image"].iloc[0] == f"{folder}/10_left.jpeg".lstrip("/")
    assert (root / table["image"].iloc[0]).is_file()
    assert table.drop(columns="image").equals(whole.drop(columns="image"))


def test_other_suffix_names_with_suffix_and_stray_files(tmp_path: Path) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    (root / "train" / "10_left.jpeg").rename(root / "train" / "10_left.jpg")
    fake_photograph(root / "train" / "99_left.jpeg", 0)
    (root / "train" / "Thumbs.db").touch()
    text = (
        (root / TRAIN)
        .read_text()
        .replace("image,level", " image , level ,\n,,")
        .replace("10_right", "10_right.jpeg")
    )
    (root / TRAIN).write_text("\n".join(line.ljust(1) for line in text.splitlines()))
    records = open_set("eyepacs", root).records()
    assert records.table["image"].tolist()[:2] == ["train/10_left.jpg", "train/10_right.jpeg"]
    assert records.table["eye"].tolist()[:2] == ["left", "right"]
    assert any(note.startswith("1 photographs lie in") and "99_left" in note for note in records.notes)


def test_published_counts(tmp_path: Path) -> None:
    root = published(tmp_path)
    records = open_set("eyepacs", root, {"labels_only": True}, strict=True).records()
    assert len(records) == 88702
    assert records.notes == ()
    train = records.table[records.table["part"] == "train"]
    assert tuple(train["dr"].value_counts().sort_index()) == PUBLISHED["train"]
    assert train["patient"].nunique() == 17563


def test_published_counts_of_the_training_part(tmp_path: Path) -> None:
    options = {"labels_only": True}
    root = published(tmp_path / "whole", ("train",))
    records = open_set("eyepacs", root, options, strict=True).records()
    assert records.notes == ("no test part was read: the official parts are left empty",)
    other = published(tmp_path / "other", ("train",), shift=2)
    notes = open_set("eyepacs", other, options).records().notes
    assert notes[-1] == (
        "eyepacs: counts differ from the published ones: dr=3 875 instead of 873, dr=4 706 instead of 708"
    )


def test_wrong_folder_names_the_right_one(tmp_path: Path) -> None:
    root = write_fake_set("eyepacs", tmp_path / "eyepacs")
    line = refused(root / "train")
    assert "no folder 'train'" in line
    assert "'10_left.jpeg'" in line
    assert f"It lies in {root}: give that folder." in line
    assert f"It lies in {root}: give that folder." in refused(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "found there: nothing" in refused(tmp_path / "empty")


def test_half_a_download(tmp_path: Path) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    for name in ("13_left", "16_right"):
        (root / "train" / f"{name}.jpeg").unlink()
    line = refused(root)
    assert "trainLabels.csv or retinopathy_solution.csv lists 'train/13_left.jpeg', which is absent" in line
    assert "(2 of 24 photographs are)" in line


def test_label_files_of_other_versions(tmp_path: Path) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    whole = (root / TRAIN).read_text()
    (root / TRAIN).write_text(whole.replace("image,level", "id_code,diagnosis"))
    line = refused(root)
    assert "Unknown column 'image'" in line
    assert "Columns of trainLabels.csv: diagnosis, id_code." in line
    (root / TRAIN).write_text(whole.replace("image,level", "images,levels"))
    assert "Did you mean 'images'?" in refused(root)
    (root / TRAIN).write_text(whole)
    solution = (root / SOLUTION).read_text()
    (root / SOLUTION).write_text(solution.replace("Usage", "usage"))
    assert "Unknown column 'Usage'. Did you mean 'usage'?" in refused(root)
    (root / SOLUTION).write_text(solution.replace("Public", "public"))
    line = refused(root)
    assert "Unknown usage 'public'. Did you mean 'Public'?" in line
    assert "retinopathy_solution.csv" in line


@pytest.mark.parametrize(
    ("old", "replacement", "words"),
    [
        (
            "10_left",
            "10_middle",
            "row 2: '10_middle' is not named PATIENT_left or PATIENT_right (1 such rows)",
        ),
        ("10_right", "10_left", "lists 'train/10_left.jpeg' twice (1 such rows)"),
        ("10_right,1", "10_right,mild", "row 3: level is 'mild', not a whole number"),
        (
            "10_right,1",
            "10_right,7",
            "dr grade 7 of 'train/10_right.jpeg' is outside its scale (icdr5 has 0-4",
        ),
    ],
)
def test_bad_rows(tmp_path: Path, old: str, replacement: str, words: str) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    (root / TRAIN).write_text((root / TRAIN).read_text().replace(old, replacement, 1))
    line = refused(root)
    assert words in line
    assert "trainLabels.csv" in line


def test_packed_labels(tmp_path: Path) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    (root / TRAIN).rename(root / f"{TRAIN}.zip")
    assert "only as 'trainLabels.csv.zip'. Unpack it there." in refused(root)
