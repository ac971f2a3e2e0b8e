"""Every adapter reads a written copy of its official layout, and bad copies get one clear line."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retinalab.data.sets import PhotographSet, open_set, set_class, set_names
from retinalab.data.sets.fake import fake_mask, fake_photograph, write_csv
from retinalab.errors import RetinalabError
from retinalab.protocol import SCALES
from retinalab.records import LESIONS
from retinalab.testing import write_fake_set

ON_DISK = sorted(set(set_names()) - {"synthetic"})


def refused(
    name: str, root: Path | None, words: str, options: dict[str, Any] | None = None, strict: bool = False
) -> str:
    """The one line that opening or reading gives."""
    with pytest.raises(RetinalabError, match=words) as caught:
        open_set(name, root, options, strict).records()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ON_DISK)
def test_written_copy_is_read(name: str, tmp_path: Path) -> None:
    root = write_fake_set(name, tmp_path)
    before = sorted(path for path in tmp_path.rglob("*"))
    opened = open_set(name, root)
    records = opened.records()
    assert len(records) >= 4
    assert all(records.path(row).is_file() for row in range(len(records)))
    image = opened.photograph(records, 0, 32)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    for disease, scale in next(iter(records.info.values())).scales.items():
        grades = records.table[disease]
        assert grades.between(-1, SCALES[scale].size - 1).all()
        assert grades.nunique() > 1
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", set_names())
def test_description_is_complete(name: str) -> None:
    adapter = set_class(name)
    info = adapter.info
    assert info.name == name
    assert info.title
    assert info.source
    assert info.licence
    assert set(info.scales.values()) <= set(SCALES)
    assert set(info.lesions) <= set(LESIONS)
    if name in ("idrid", "messidor", "deepdrid", "dr600", "hei_med"):
        text = " ".join((adapter.__doc__ or "").split())
        assert "Source:" in text
        assert "Licence:" in text


@pytest.mark.parametrize("name", ON_DISK)
def test_missing_folder(name: str, tmp_path: Path) -> None:
    line = refused(name, tmp_path / "nowhere", "No folder")
    assert "nowhere" in line
    assert "DATA=" in line
    assert "data.root=PATH" in refused(name, None, "needs its folder")


@pytest.mark.parametrize("name", ["deepdrid", "dr600", "hei_med", "idrid", "messidor", "table"])
def test_empty_folder_names_what_should_be_there(name: str, tmp_path: Path) -> None:
    line = refused(name, tmp_path, "records.csv|IDRiD|Annotation")
    assert str(tmp_path) in line


def test_unknown_set_and_option(tmp_path: Path) -> None:
    with pytest.raises(RetinalabError, match=r"Unknown data set 'idird'\. Did you mean 'idrid'\?"):
        open_set("idird", tmp_path)
    with pytest.raises(
        RetinalabError, match=r"Unknown option of data set 'idrid' 'taks'\. Did you mean 'task'\?"
    ):
        open_set("idrid", tmp_path, {"taks": "grading"})
    with pytest.raises(RetinalabError, match=r"Option 'task' of data set 'idrid'.*'segment'"):
        open_set("idrid", tmp_path, {"task": "segment"})


def test_both_spellings_of_a_name(tmp_path: Path) -> None:
    root = write_fake_set("hei_med", tmp_path)
    assert open_set("hei-med", root).records().table["set"].unique().tolist() == ["hei_med"]


def test_counts_warn_and_are_an_error_when_strict(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_fake_set("dr600", tmp_path, photographs=10)
    with caplog.at_level(logging.WARNING):
        records = open_set("dr600", root).records()
    assert "photographs 10 instead of 480" in caplog.text
    assert any("photographs 10 instead of 480" in note for note in records.notes)
    assert "photographs 10 instead of 480" in refused("dr600", root, "--strict", strict=True)


def folder_set(tmp_path: Path) -> Path:
    return write_fake_set("table", tmp_path, photographs=6)


def test_listed_and_absent(tmp_path: Path) -> None:
    root = folder_set(tmp_path)
    (root / "images" / "003.jpg").unlink()
    (root / "images" / "005.jpg").unlink()
    line = refused("table", root, r"lists 'images/003\.jpg', which is absent")
    assert "2 of 6 photographs" in line
    assert "remove the rows" in line


def test_present_and_unlisted_is_counted(tmp_path: Path) -> None:
    root = folder_set(tmp_path)
    for name in ("zz.jpg", "aa.png"):
        fake_photograph(root / "images" / name, 9)
    (root / "images" / "Thumbs.db").write_bytes(b"x")
    notes = open_set("table", root).records().notes
    assert [note for note in notes if note.startswith("2 photographs lie in") and "aa.png" in note]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"001\.jpg is empty"),
        (b"not a photograph at all", r"001\.jpg is text"),
        (None, r"001\.jpg is truncated"),
        ("tiny", r"001\.jpg is 1x1 pixels"),
    ],
)
def test_unreadable_photograph_is_named(tmp_path: Path, content: bytes | str | None, words: str) -> None:
    root = folder_set(tmp_path)
    path = root / "images" / "001.jpg"
    if content == "tiny":
        Image.new("RGB", (1, 1)).save(path)
    elif content is None:
        path.write_bytes(path.read_bytes()[:-300])
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    opened = open_set("table", root)
    records = opened.records()
    with pytest.raises(RetinalabError, match=words):
        opened.photograph(records, 1)


def table_with(tmp_path: Path, **cells: Any) -> Path:
    fake_photograph(tmp_path / "a.jpg", 0)
    fake_photograph(tmp_path / "b.jpg", 1)
    rows = [{"image": "a.jpg", "dr": 0}, {"image": "b.jpg", "dr": 2, **cells}]
    write_csv(tmp_path / "records.csv", [{**dict.fromkeys(rows[1], ""), **row} for row in rows])
    return tmp_path


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"dr": 7}, r"records\.csv: dr grade 7 of 'b\.jpg' is outside its scale \(icdr5 has 0-4"),
        ({"dr": -3}, r"dr grade -3 of 'b\.jpg'"),
        ({"dr": "mild"}, r"records\.csv, row 3: dr is 'mild', not a whole number"),
        ({"dr": 1.5}, r"row 3: dr is '1\.5'"),
        ({"image": "a.jpg"}, r"lists 'a\.jpg' twice"),
        ({"part": "validation"}, r"Unknown part 'validation'.*parts\.validation="),
        ({"mask_EX": "x/none.png"}, r"lists 'x/none\.png', which is absent.*masks"),
    ],
)
def test_bad_cell_is_named(tmp_path: Path, cells: dict[str, Any], words: str) -> None:
    refused("table", table_with(tmp_path, **cells), words)


def test_a_bad_grade_is_named_as_the_file_has_it(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "retinopathy": "1.5"}]
    fake_photograph(tmp_path / "a.jpg", 0)
    write_csv(tmp_path / "records.csv", rows)
    refused("table", tmp_path, r"row 2: retinopathy is '1\.5'", {"columns": {"dr": "retinopathy"}})


@pytest.mark.parametrize("name", ["table", "folders"])
def test_ones_own_photographs_are_not_to_be_had_from_anyone(tmp_path: Path, name: str) -> None:
    for root in (None, tmp_path / "absent"):
        with pytest.raises(RetinalabError) as error:
            open_set(name, root)
        assert "can be had" not in str(error.value)
    with pytest.raises(RetinalabError, match=r"can be had from https://www\.kaggle\.com"):
        open_set("aptos", tmp_path / "absent")


def test_missing_column_and_nearest_name(tmp_path: Path) -> None:
    root = table_with(tmp_path)
    line = refused("table", root, r"Unknown column 'grade'", {"columns": {"dr": "grade"}})
    assert "records.csv" in line
    (root / "records.csv").write_text("file,level\na.jpg,0\n")
    assert "columns.image=NAME" in refused("table", root, "Unknown column 'image'")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no readable CSV"),
        (b"image,dr\n", "lists no photograph"),
        (b"\xff\xfe\x00bad", "no readable CSV"),
    ],
)
def test_empty_or_broken_label_file(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "records.csv").write_bytes(content)
    assert "records.csv" in refused("table", tmp_path, words)


def test_missing_label_file_names_the_nearest(tmp_path: Path) -> None:
    root = table_with(tmp_path)
    line = refused(
        "table", root, r"Unknown file 'record\.csv'\. Did you mean 'records\.csv'", {"file": "record.csv"}
    )
    assert f"complete the copy, or set options.file, a whole path or one from the folder '{root}'." in line


def test_the_label_file_may_lie_anywhere(tmp_path: Path) -> None:
    root = table_with(tmp_path / "photographs")
    (root / "records.csv").rename(tmp_path / "labels.csv")
    for file in (str(tmp_path / "labels.csv"), "../labels.csv"):
        assert len(open_set("table", root, {"file": file}).records()) > 0


def test_mapped_columns(tmp_path: Path) -> None:
    for name in ("10_left", "10_right", "11_left"):
        fake_photograph(tmp_path / "train" / f"{name}.jpeg", 0)
    rows = [{"image": n, "level": k, "site": "A"} for k, n in enumerate(("10_left", "10_right", "11_left"))]
    write_csv(tmp_path / "labels.csv", rows)
    options = {
        "file": "labels.csv", "columns": {"dr": "level"}, "folder": "train", "suffix": ".jpeg",
        "name": "mine", "patient": r"/(\d+)_", "scales": {"dr": "messidor4"},
    }  # fmt: skip
    records = open_set("table", tmp_path, options).records()
    assert records.table["image"].tolist() == [
        "train/10_left.jpeg",
        "train/10_right.jpeg",
        "train/11_left.jpeg",
    ]
    assert records.table["dr"].tolist() == [0, 1, 2]
    assert records.table["patient"].tolist() == ["10", "10", "11"]
    assert records.table["site"].tolist() == ["A"] * 3
    assert records.info["mine"].scales == {"dr": "messidor4"}
    assert records.groups.tolist() == ["mine/10", "mine/10", "mine/11"]


def test_masks_of_a_table(tmp_path: Path) -> None:
    root = table_with(tmp_path, exudates="ex/b.png")
    fake_mask(root / "ex" / "b.png", (40, 30), radius=2)
    opened = open_set("table", root)
    records = opened.records()
    assert records.table["present_EX"].tolist() == [0, 1]
    assert records.table["present_MA"].tolist() == [-1, -1]
    assert not opened.masks(records, 0)["EX"].any()
    mask = opened.masks(records, 1)
    assert list(mask) == ["EX"]
    assert mask["EX"].shape == (72, 96)
    assert mask["EX"][30, 40]
    assert mask["EX"].sum() == 13
    fake_mask(root / "ex" / "b.png", (10, 10), shape=(50, 60))
    with pytest.raises(RetinalabError, match=r"b\.png: the mask is 60x50 pixels but its photograph 96x72"):
        opened.masks(records, 1)


def test_fingerprints(tmp_path: Path) -> None:
    root = write_fake_set("table", tmp_path, photographs=6)
    opened = open_set("table", root)
    records = opened.records()
    before, content = opened.fingerprint(records), opened.digest(records)
    relabelled = open_set("table", root).records()
    relabelled.table.loc[0, "dr"] = 3
    assert opened.fingerprint(relabelled) == before
    assert opened.digest(relabelled) != content
    fake_photograph(records.path(2), 77, 4)
    assert opened.fingerprint(records) != before


def test_a_folder_is_listed_once_however_many_photographs_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    names = [f"images/{index:05d}.jpg" for index in range(200)]
    for name in names:
        (tmp_path / name).touch()
    write_csv(
        tmp_path / "records.csv", [{"image": name, "dr": index % 5} for index, name in enumerate(names)]
    )
    listed: list[Path] = []
    scandir = os.scandir

    def counted(folder: Path) -> object:
        listed.append(Path(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", counted)
    opened = open_set("table", tmp_path)
    stat = os.stat
    asked: list[object] = []
    monkeypatch.setattr(os, "stat", lambda path, *a, **k: asked.append(path) or stat(path, *a, **k))
    assert len(opened.records()) == 200
    assert listed.count(tmp_path / "images") == 1
    assert len(asked) < 20


def test_base_class_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError):
        PhotographSet.write_fake(tmp_path)


def test_folders_with_named_grades_and_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for folder in ("No_DR", "Mild"):
            fake_photograph(tmp_path / part / folder / "x.png", 0)
    options = {"grades": {"No_DR": 0, "Mild": 1}, "name": "sorted"}
    table = open_set("folders", tmp_path, options).records().table
    assert sorted(zip(table["part"], table["image"], table["dr"], strict=True)) == [
        ("test", "test/Mild/x.png", 1), ("test", "test/No_DR/x.png", 0),
        ("train", "train/Mild/x.png", 1), ("train", "train/No_DR/x.png", 0),
    ]  # fmt: skip
    assert "grades=" in refused("folders", tmp_path, "Unknown grade folder 'Mild'")


def test_folder_of_a_grade_outside_the_scale(tmp_path: Path) -> None:
    root = write_fake_set("folders", tmp_path)
    fake_photograph(root / "9" / "x.png", 0)
    refused("folders", root, "grade 9 of '9/x.png' is outside its scale")


def test_a_table_reads_what_the_records_of_a_set_say_of_lesions(tmp_path: Path) -> None:
    """Columns ``annotated`` and ``present`` as text: a lesion that nobody looked for must not become absent."""
    rows = []
    for index, (annotated, present) in enumerate((("True", "1"), ("False", "-1"), ("", "0"), ("no", ""))):
        fake_photograph(tmp_path / f"{index}.png", index)
        rows.append(
            {"image": f"{index}.png", "annotated_EX": annotated, "present_EX": present, "width": "96"}
        )
    write_csv(tmp_path / "records.csv", rows)
    table = open_set("table", tmp_path).records().table
    assert table["annotated_EX"].tolist() == [True, False, False, False]
    assert table["present_EX"].tolist() == [1, -1, 0, -1]
    assert table["width"].tolist() == [96.0] * 4
    write_csv(tmp_path / "records.csv", [{**rows[0], "annotated_EX": "perhaps"}])
    refused("table", tmp_path, r"records.csv, row 2: annotated_EX is 'perhaps'")
    write_csv(tmp_path / "records.csv", [{**rows[0], "width": "wide"}])
    refused("table", tmp_path, r"records.csv, row 2: width is 'wide', not a number")


def test_one_photograph_under_two_spellings_is_listed_twice(tmp_path: Path) -> None:
    fake_photograph(tmp_path / "a.png", 0)
    write_csv(tmp_path / "records.csv", [{"image": "a.png", "dr": 0}, {"image": "./a.png", "dr": 1}])
    refused("table", tmp_path, r"lists './a.png' twice")
