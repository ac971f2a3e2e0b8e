"""APTOS 2019: labels, the test part without labels, nested folders, bad copies."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from retinalab.data.sets import open_set
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.errors import RetinalabError
from retinalab.testing import write_fake_set


def refused(root: Path, **options: Any) -> str:
    with pytest.raises(RetinalabError) as caught:
        open_set("aptos", root, options).records()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_round_trip(tmp_path: Path) -> None:
    root = write_fake_set("aptos", tmp_path)
    with (root / "train.csv").open(newline="") as file:
        labels = {row["id_code"]: int(row["diagnosis"]) for row in csv.DictReader(file)}
    records = open_set("aptos", root).records()
    found = {
        Path(image).stem: dr for image, dr in zip(records.table["image"], records.table["dr"], strict=True)
    }
    assert found == labels
    assert len(records) == 12
    assert set(records.table["patient"]) == set(records.table["eye"]) == set(records.table["part"]) == {""}
    assert len(set(records.groups)) == 12
    assert "3 photographs of test.csv have no labels and are not read" in records.notes
    (root / "test.csv").unlink()
    assert not any("test.csv" in note for note in open_set("aptos", root).records().notes)


@pytest.mark.parametrize("folder", ["train_images/train_images", ""])
def test_nested_folder_or_none(tmp_path: Path, folder: str) -> None:
    root = write_fake_set("aptos", tmp_path)
    (root / "train_images").rename(root / "moved")
    (root / folder).mkdir(parents=True, exist_ok=True)
    for path in (root / "moved").iterdir():
        path.rename(root / folder / path.name)
    records = open_set("aptos", root).records()
    assert all(records.path(row).is_file() for row in range(len(records)))


def test_stray_files_are_noted(tmp_path: Path) -> None:
    root = write_fake_set("aptos", tmp_path)
    fake_photograph(root / "train_images" / "000.png", 0)
    (root / "train_images" / "Thumbs.db").touch()
    assert any(note.startswith("1 photographs lie in") for note in open_set("aptos", root).records().notes)


def test_published_counts(tmp_path: Path) -> None:
    grades = [grade for grade, n in enumerate((1805, 370, 999, 193, 295)) for _ in range(n)]
    rows = [{"id_code": f"{index:012x}", "diagnosis": grade} for index, grade in enumerate(grades)]
    write_csv(tmp_path / "train.csv", rows)
    options = {"labels_only": True}
    assert open_set("aptos", tmp_path, options, strict=True).records().notes == ()
    rows[0]["diagnosis"] = 1
    write_csv(tmp_path / "train.csv", rows)
    assert open_set("aptos", tmp_path, options).records().notes == (
        "aptos: counts differ from the published ones: dr=0 1804 instead of 1805, dr=1 371 instead of 370",
    )


def test_wrong_folder_and_half_a_download(tmp_path: Path) -> None:
    root = write_fake_set("aptos", tmp_path / "aptos")
    for wrong in (root / "train_images", tmp_path):
        line = refused(wrong)
        assert "no folder 'train_images' of APTOS 2019" in line
        assert f"It lies in {root}: give that folder." in line
    first = sorted((root / "train_images").iterdir())[0]
    first.unlink()
    line = refused(root)
    assert f"lists 'train_images/{first.name}', which is absent" in line
    assert "(1 of 12 photographs are)" in line
    for path in (root / "train_images").iterdir():
        path.unlink()
    assert "looked in 'train_images' and 'train_images/train_images' and the folder itself" in refused(root)


@pytest.mark.parametrize(
    ("old", "replacement", "words"),
    [
        ("id_code,diagnosis", "image,level", "Unknown column 'id_code'. Columns of train.csv: image, level."),
        ("id_code,diagnosis", "id-code,diagnosis", "Unknown column 'id_code'. Did you mean"),
        (",0", ",none", "train.csv, row 2: diagnosis is 'none', not a whole number"),
        (",0", ",5", "is outside its scale (icdr5 has 0-4"),
    ],
)
def test_bad_label_files(tmp_path: Path, old: str, replacement: str, words: str) -> None:
    root = write_fake_set("aptos", tmp_path)
    path = root / "train.csv"
    path.write_text(path.read_text().replace(old, replacement, 1))
    assert words in refused(root)


def test_duplicate_in_the_list(tmp_path: Path) -> None:
    root = write_fake_set("aptos", tmp_path)
    path = root / "train.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    assert "twice (1 such rows). Keep one row per photograph." in refused(root)
