"""Messidor-2: adjudicated grades, gradability, eye pairs, copies, and a copy of the layout with true names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from retinalab.data.parts import read_records
from retinalab.data.sets import open_set
from retinalab.data.sets.fake import write_csv
from retinalab.data.sets.messidor_errata import DUPLICATES
from retinalab.errors import RetinalabError
from retinalab.testing import write_fake_set

WritePairs = Callable[[Path, Sequence[tuple[str, str]]], Path]
COLUMNS = ("image_id", "adjudicated_dr_grade", "adjudicated_dme", "adjudicated_gradable")
ROWS = [
    ("20051020_43808_0100_PP.png", 2, 1, 1),
    ("20051020_43832_0100_PP.png", 0, 0, 1),
    ("IM000013.jpg", 4, 1, 1),
    ("IM000012.jpg", "", "", 0),
]


def written(root: Path, rows: Sequence[tuple[object, ...]] = ROWS, folder: str = "IMAGES") -> Path:
    write_csv(root / "messidor_data.csv", [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    (root / folder).mkdir(parents=True)
    for name, *_ in rows:
        (root / folder / str(name).replace(".jpg", ".JPG")).touch()
    return root


def refused(root: Path, words: str, options: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(RetinalabError, match=words) as caught:
        open_set("messidor2", root, options).records()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_grades_and_gradability(tmp_path: Path) -> None:
    records = open_set("messidor2", written(tmp_path)).records()
    table = records.table
    assert table["image"].tolist() == [
        "IMAGES/20051020_43808_0100_PP.png", "IMAGES/20051020_43832_0100_PP.png",
        "IMAGES/IM000013.JPG", "IMAGES/IM000012.JPG",
    ]  # fmt: skip
    assert table["dr"].tolist() == [2, 0, 4, -1]
    assert table["dme"].tolist() == [1, 0, 1, -1]
    assert table["gradable"].tolist() == [True, True, True, False]
    info = records.info["messidor2"]
    assert info.scales == {"dr": "icdr5", "dme": "referable"}
    assert info.shares == ("messidor",)
    assert info.field == 45
    assert any("the patients are unknown" in note for note in records.notes)
    assert (table["patient"] == "").all()


def test_pairs_file_names_people_and_eyes(tmp_path: Path, write_pairs: WritePairs) -> None:
    root = written(tmp_path)
    pairs = [("20051020_43808_0100_PP.png", "20051020_43832_0100_PP.png"), ("IM000013.JPG", "IM000012.JPG")]
    write_pairs(root / "messidor-2.csv", pairs)
    table = open_set("messidor2", root).records().table
    assert table["eye"].tolist() == ["left", "right", "left", "right"]
    assert table["patient"].nunique() == 2
    assert table["patient"].iloc[0] == table["patient"].iloc[1]
    assert table["patient"].iloc[2] == table["patient"].iloc[3]
    (root / "messidor-2.csv").rename(root / "who.csv")
    named = open_set("messidor2", root, {"pairs": "who.csv"}).records()
    assert named.table["patient"].equals(table["patient"])
    write_pairs(root / "who.csv", pairs[:1])
    half = open_set("messidor2", root, {"pairs": str(root / "who.csv")}).records()
    assert any(note.startswith("2 photographs have no second eye in who.csv") for note in half.notes)


def test_copies_that_messidor_holds_twice(tmp_path: Path, write_pairs: WritePairs) -> None:
    one, two = DUPLICATES[7]
    rows = [(f"{name}.png", 0, 0, 1) for name in (one, "other_eye_of_one", two, "other_eye_of_two")]
    root = written(tmp_path, rows)
    copies = open_set("messidor2", root).records()
    assert copies.table["duplicate"].tolist() == [one.lower(), "", one.lower(), ""]
    assert len(set(copies.groups)) == 3
    assert any("1 pairs of copies share a patient" in note and two.lower() in note for note in copies.notes)
    write_pairs(
        root / "messidor-2.csv", [(f"{rows[0][0]}", f"{rows[1][0]}"), (f"{rows[2][0]}", f"{rows[3][0]}")]
    )
    joined = open_set("messidor2", root).records()
    assert len(set(joined.groups)) == 1
    assert any("patients 1 instead of 873" in note for note in joined.notes)
    apart = open_set("messidor2", root, {"duplicates": "ignore"}).records()
    assert len(set(apart.groups)) == 2
    assert (apart.table["duplicate"] == "").all()


@pytest.mark.parametrize("folder", ["", "images", "Messidor-2/IMAGES"])
def test_photographs_are_found_in_any_folder(tmp_path: Path, folder: str) -> None:
    root = written(tmp_path / "set", ROWS) if folder == "" else written(tmp_path / "set", ROWS, folder)
    if folder == "":
        for path in list((root / "IMAGES").iterdir()):
            path.rename(root / path.name.upper())
    records = open_set("messidor2", root).records()
    assert all(records.path(row).is_file() for row in range(4))


def test_another_suffix_is_the_same_photograph(tmp_path: Path) -> None:
    root = written(tmp_path)
    (root / "IMAGES" / "IM000013.JPG").rename(root / "IMAGES" / "im000013.tif")
    assert open_set("messidor2", root).records().table["image"].iloc[2] == "IMAGES/im000013.tif"


def test_two_folders_with_the_same_names(tmp_path: Path) -> None:
    root = written(tmp_path)
    (root / "preprocess").mkdir()
    (root / "IMAGES" / "IM000013.JPG").rename(root / "preprocess" / "im000013.png")
    (root / "images512").mkdir()
    (root / "images512" / "IM000013.png").touch()
    line = refused(root, r"as 'images512/IM000013\.png' and as 'preprocess/im000013\.png'")
    assert "options.folder=NAME" in line
    refused(root, "which is absent", {"folder": "images512"})
    refused(root, r"holds no folder 'imgs' of Messidor-2; found there: 'IMAGES/'", {"folder": "imgs"})


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    root = written(tmp_path / "set")
    line = refused(root / "IMAGES", r"holds no 'messidor_data\.csv' of Messidor-2; found there: '20051020")
    assert f"It lies in {root.resolve()}: give that folder." in line
    assert f"It lies in {root}: give that folder." in refused(tmp_path, "found there: 'set/'")
    (root / "IMAGES" / "IM000012.JPG").unlink()
    refused(root, r"lists 'IMAGES/IM000012\.jpg', which is absent.*\(1 of 4 photographs are\)")
    for path in list((root / "IMAGES").iterdir()):
        path.unlink()
    (root / "IMAGES").rmdir()
    refused(root, r"holds no folder 'IMAGES' of Messidor-2; found there: 'messidor_data\.csv'")
    (root / "messidor_data.csv").rename(root / "trainLabels.csv")
    assert "kaggle.com/datasets/google-brain" in refused(root, r"found there: 'trainLabels\.csv'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "id_code,diagnosis,adjudicated_dme,adjudicated_gradable\na.png,0,0,1\n",
            "Unknown column 'image_id'",
        ),
        ("image,level\n10_left,0\n", r"Columns of messidor_data\.csv: image, level"),
        (
            "image_id,adjudicated_dr_grade,adjudicated_dme\na.png,0,0\n",
            "Unknown column 'adjudicated_gradable'",
        ),
        (",".join(COLUMNS) + "\nIM000013.jpg,0,0,\n", r"row 2: adjudicated_gradable is '', neither 0 nor 1"),
        (",".join(COLUMNS) + "\nIM000013.jpg,R0,0,1\n", r"row 2: adjudicated_dr_grade is 'R0'"),
        (",".join(COLUMNS) + "\nIM000013.jpg,5,0,1\n", "dr grade 5 of .* is outside its scale"),
        (",".join(COLUMNS) + "\nIM000013.jpg,0,2,1\n", "dme grade 2 of .* is outside its scale"),
        (",".join(COLUMNS) + "\nIM000013.jpg,0,0,1\nim000013.JPG,0,0,1\n", "twice"),
    ],
)
def test_label_file_of_another_version(tmp_path: Path, text: str, words: str) -> None:
    root = written(tmp_path)
    (root / "messidor_data.csv").write_text(text)
    refused(root, words)


def test_pairs_file_of_another_set(tmp_path: Path, write_pairs: WritePairs) -> None:
    root = written(tmp_path)
    write_pairs(root / "messidor-2.csv", [("10_left.jpeg", "10_right.jpeg")])
    refused(
        root, r"messidor-2\.csv names none of the 4 photographs of Messidor-2 \(it begins with '10_left'\)"
    )
    (root / "messidor-2.csv").write_text("image;level\n10_left;0\n")
    refused(root, r"Unknown column 'left'")
    refused(root, r"none\.csv cannot be read", {"pairs": "none.csv"})


def test_written_copy_has_what_the_official_one_has(tmp_path: Path) -> None:
    root = write_fake_set("messidor2", tmp_path, 12)
    records = open_set("messidor2", root).records()
    assert len(records) == 12
    assert records.table["gradable"].sum() == 11
    assert len(set(records.groups)) == 6
    assert {Path(image).suffix for image in records.table["image"]} == {".png", ".JPG"}


def test_true_names_meet_the_published_counts(messidor2_root: Path) -> None:
    opened = open_set("messidor2", messidor2_root, strict=True)
    table = opened.records().table
    assert table["dr"].value_counts().to_dict() == {0: 1017, 2: 347, 1: 270, 3: 75, 4: 35, -1: 4}
    assert (~table["gradable"]).sum() == 4
    assert sum(image.endswith(".JPG") for image in table["image"]) == 690


def test_ungradable_photographs_are_left_out_of_a_run(messidor2_root: Path) -> None:
    from retinalab.config import DataConfig
    from retinalab.protocol import Protocol

    data = DataConfig(set="messidor2", root=messidor2_root)
    _, records, notes = read_records(data, Protocol(), {})
    assert len(records) == 1744
    assert any("4 ungradable photographs" in note for note in notes)
    _, whole, _ = read_records(data, Protocol(ungradable="include"), {})
    assert len(whole) == 1748
