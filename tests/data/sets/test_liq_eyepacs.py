"""LIQ-EyePACS: the owners' list, its headers, and the photographs in a copy of EyePACS."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from retinalab.data.sets import open_set
from retinalab.data.sets.fake import write_csv
from retinalab.errors import RetinalabError
from retinalab.testing import write_fake_set

LIST = "liq_eyepacs.csv"


def refused(root: Path, **options: Any) -> str:
    with pytest.raises(RetinalabError) as caught:
        open_set("liq_eyepacs", root, options).records()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def eyes(root: Path, **options: Any) -> list[tuple[str, int]]:
    table = open_set("liq_eyepacs", root, options).records().table
    return list(zip(table["image"], table["dr"], strict=True))


def test_round_trip(tmp_path: Path) -> None:
    root = write_fake_set("liq_eyepacs", tmp_path)
    with (root / LIST).open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    records = open_set("liq_eyepacs", root).records()
    assert len(records) == len(rows)
    for row in records.table.to_dict("records"):
        listed = rows[Path(row["image"]).stem]
        assert (row["dr"], row["quality"]) == (int(listed["grade"]), listed["quality"])
        assert f"{row['patient']}_{row['eye']}" == listed["image"]
        assert (root / row["image"]).is_file()
    assert {image.split("/")[0] for image in records.table["image"]} == {"train", "test"}
    assert set(records.table["part"]) == {""}
    own = open_set("eyepacs", root).records().table.set_index("image")["dr"]
    assert (records.table.set_index("image")["dr"] != own.reindex(records.table["image"])).any()


def test_list_elsewhere(tmp_path: Path) -> None:
    root = write_fake_set("liq_eyepacs", tmp_path / "eyepacs")
    expected = eyes(root)
    (root / LIST).rename(tmp_path / "mine.csv")
    assert eyes(root, list=str(tmp_path / "mine.csv")) == expected
    assert eyes(root, list="../mine.csv") == expected


def test_absent_list_says_where_it_can_be_had(tmp_path: Path) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    line = refused(root)
    assert f"No list of LIQ-EyePACS at {root / LIST}" in line
    assert "'retinopathy_solution.csv', 'trainLabels.csv'" in line
    assert "Its owners give it on request (the authors of Yang et al." in line
    assert line.endswith("say where it lies with list=PATH.")
    assert str(tmp_path / "none" / "x.csv") in refused(root, list="none/x.csv")


@pytest.mark.parametrize(
    "text",
    [
        "image,level\n10_left,3\n13_right,0\n",
        " Image Name , DR grade ,\n10_left.jpeg,3,\n\n13_right.jpeg,0,\n",
        "FileName,Diagnosis\ntrain/10_left.jpeg,3\ntrain\\13_right.jpeg,0\n",
        "10_left,3\n13_right,0\n",
        "10_left.jpeg,3\n13_right.jpeg,0\n",
    ],
)
def test_headers(tmp_path: Path, text: str) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    (root / LIST).write_text(text)
    assert eyes(root) == [("train/10_left.jpeg", 3), ("train/13_right.jpeg", 0)]


def test_named_columns_and_what_is_not_read(tmp_path: Path) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    (root / LIST).write_text("photo,kaggle,ours,reader\n10_left,0,3,A\n13_right,1,0,B\n")
    options = {"columns": {"image": "photo", "dr": "ours"}}
    assert eyes(root, **options) == [("train/10_left.jpeg", 3), ("train/13_right.jpeg", 0)]
    notes = open_set("liq_eyepacs", root, options).records().notes
    assert f"columns of {LIST} that were not read: kaggle, reader" in notes
    assert "Unknown column 'our'. Did you mean 'ours'?" in refused(
        root, columns={"image": "photo", "dr": "our"}
    )
    assert "Unknown column 'grade'. Choices: dr, image, quality." in refused(root, columns={"grade": "ours"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,level,grade\n10_left,0,3\n", "several columns that may be dr: level, grade. Say which"),
        (
            "photo,level\n10_left,3\n",
            "Unknown column 'image'. Columns of liq_eyepacs.csv: level, photo. Say which",
        ),
        (
            "image,quality\n10_left,3\n",
            "Unknown column 'dr'. Columns of liq_eyepacs.csv: image, quality. Say which",
        ),
        ("10_left,3,good\n13_right,0,bad\n", "has no header and 3 columns. Put a line such as 'image,grade'"),
        ("10_left\n", "has no header and 1 columns"),
        ("image,level\n10_left,3\n10_left.jpeg,3\n", "lists 'train/10_left.jpeg' twice"),
        (
            "image,level\n10_left,3\nIDRiD_01,0\n",
            "row 3: 'IDRiD_01' is not named PATIENT_left or PATIENT_right",
        ),
        ("image,level\n10_left,3\n999_left,0\n", "lists 'train/999_left.jpeg', which is absent"),
        ("image,level\n999_left,0\n", "holds none of the 1 photographs that liq_eyepacs.csv lists"),
        ("image,level\n10_left,9\n", "dr grade 9 of 'train/10_left.jpeg' is outside its scale"),
        ("image,level\n", "lists no photograph"),
    ],
)
def test_bad_lists(tmp_path: Path, text: str, words: str) -> None:
    root = write_fake_set("eyepacs", tmp_path)
    (root / LIST).write_text(text)
    assert words in refused(root)


def test_published_counts(tmp_path: Path) -> None:
    grades = [grade for grade, n in enumerate((7286, 675, 1507, 247, 285)) for _ in range(n)]
    rows = [{"image": f"{10 + i // 2}_{('left', 'right')[i % 2]}", "level": g} for i, g in enumerate(grades)]
    write_csv(tmp_path / LIST, rows)
    options = {"labels_only": True}
    assert open_set("liq_eyepacs", tmp_path, options, strict=True).records().notes == ()
    write_csv(tmp_path / LIST, rows[:-1])
    notes = open_set("liq_eyepacs", tmp_path, options).records().notes
    assert notes == (
        "liq_eyepacs: counts differ from the published ones: photographs 9999 instead of 10000, "
        "dr=4 284 instead of 285",
    )
