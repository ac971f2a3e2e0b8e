"""Peculiarities of single sets: errata, duplicates, repeated identifiers, crossed columns, real files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retinalab.data.decode import read_mask
from retinalab.data.sets import open_set
from retinalab.errors import RetinalabError
from retinalab.testing import write_fake_set

IDRID_LABELS = "B. Disease Grading/2. Groundtruths"


def test_idrid_identifiers_repeat_and_stay_apart(tmp_path: Path) -> None:
    table = open_set("idrid", write_fake_set("idrid", tmp_path)).records().table
    assert table["identifier"].is_unique
    first = table[table["identifier"].str.endswith("/IDRiD_001")]
    assert sorted(first["identifier"]) == ["test/IDRiD_001", "train/IDRiD_001"]
    assert table["part"].value_counts().to_dict() == {"train": 9, "test": 3}
    assert [column for column in table if "Unnamed" in str(column) or str(column).strip() == ""] == []


def test_idrid_from_within_its_folder(tmp_path: Path) -> None:
    root = write_fake_set("idrid", tmp_path)
    assert len(open_set("idrid", root / "B. Disease Grading").records()) == 12


def test_idrid_masks_disc_and_absent_lesions(tmp_path: Path) -> None:
    root = write_fake_set("idrid", tmp_path)
    opened = open_set("idrid", root, {"task": "segmentation"})
    records = opened.records()
    table = records.table.set_index("identifier")
    assert table["present_SE"].to_dict() == {
        "train/IDRiD_01": 1, "train/IDRiD_02": 0, "train/IDRiD_03": 1, "train/IDRiD_04": 0,
        "test/IDRiD_05": 1, "test/IDRiD_06": 0,
    }  # fmt: skip
    assert (table["present_NV"] == -1).all()
    assert (table[["disc_x", "disc_y"]] == [90, 54]).all(axis=None)
    masks = opened.masks(records, 1)
    assert sorted(masks) == ["EX", "HE", "MA", "SE"]
    assert masks["MA"][45, 62]
    assert not masks["SE"].any()


def test_idrid_mask_without_photograph(tmp_path: Path) -> None:
    root = write_fake_set("idrid", tmp_path)
    (root / "A. Segmentation/1. Original Images/a. Training Set/IDRiD_02.jpg").unlink()
    with pytest.raises(RetinalabError, match=r"IDRiD_02_\w+\.tif belongs to no photograph"):
        open_set("idrid", root, {"task": "segmentation"}).records()


def test_idrid_folder_of_a_lesion_that_is_missing_is_no_absent_lesion(tmp_path: Path) -> None:
    root = write_fake_set("idrid", tmp_path)
    masks = root / "A. Segmentation/2. All Segmentation Groundtruths/b. Testing Set"
    shutil.rmtree(masks / "3. Hard Exudates")
    with pytest.raises(RetinalabError, match=r"no folder '3\. Hard Exudates'.*found there: '1\. Micro"):
        open_set("idrid", root, {"task": "segmentation"}).records()
    shutil.rmtree(masks)
    with pytest.raises(RetinalabError, match=r"no folder 'b\. Testing Set'.*found there: 'a\. Training"):
        open_set("idrid", root, {"task": "segmentation"}).records()


def test_idrid_masks_are_held_to_the_published_number(tmp_path: Path) -> None:
    root = write_fake_set("idrid", tmp_path)
    (note,) = open_set("idrid", root, {"task": "segmentation"}).records().notes
    assert "present_MA=1 6 instead of 81, present_HE=1 6 instead of 80" in note
    assert "present_EX=1 6 instead of 81, present_SE=1 3 instead of 40" in note


def test_idrid_stray_files_are_no_photographs(tmp_path: Path) -> None:
    root = write_fake_set("idrid", tmp_path)
    for folder in (root / "A. Segmentation").rglob("*"):
        if folder.is_dir():
            (folder / "Thumbs.db").write_bytes(b"")
            (folder / "._IDRiD_01.jpg").write_bytes(b"")
    assert len(open_set("idrid", root, {"task": "segmentation"}).records()) == 6


@pytest.mark.parametrize("name", ["idrid", "deepdrid"])
def test_one_level_too_high_names_the_folder(tmp_path: Path, name: str) -> None:
    root = write_fake_set(name, tmp_path / "copy")
    with pytest.raises(RetinalabError, match=f"found there: 'copy/'. It lies in {root}: give that folder"):
        open_set(name, tmp_path).records()


def test_idrid_labels_without_photographs(shared_data: Path) -> None:
    with pytest.raises(RetinalabError, match=r"IDRiD_001\.jpg', which is absent.*516 of 516"):
        open_set("idrid", shared_data / "idrid").records()
    records = open_set("idrid", shared_data / "idrid", {"labels_only": True}, strict=True).records()
    names = {
        "train": "a. IDRiD_Disease Grading_Training Labels.csv",
        "test": "b. IDRiD_Disease Grading_Testing Labels.csv",
    }
    for part, name in names.items():
        raw = (shared_data / "idrid" / IDRID_LABELS / name).read_text().splitlines()[1:]
        expected = [tuple(int(cell) for cell in line.split(",")[1:3]) for line in raw]
        rows = records.table[records.table["part"] == part]
        assert list(zip(rows["dr"], rows["dme"], strict=True)) == expected


def test_idrid_segmentation_of_real_files(shared_data: Path) -> None:
    opened = open_set("idrid", shared_data / "idrid", {"task": "segmentation"})
    records = opened.records()
    assert len(records) == 16
    assert records.table["present_SE"].sum() == 4
    assert (records.table[["present_MA", "present_HE", "present_EX"]] == 1).all(axis=None)
    disc = read_mask(next((shared_data / "idrid").rglob("IDRiD_05_OD.tif")))
    rows, columns = np.nonzero(disc)
    assert records.table.at[4, "disc_x"] == pytest.approx(columns.mean())
    assert records.table.at[4, "disc_y"] == pytest.approx(rows.mean())


def test_deepdrid_official_layout(tmp_path: Path) -> None:
    root = write_fake_set("deepdrid", tmp_path)
    table = open_set("deepdrid", root).records().table
    assert table["view"].unique().tolist() == ["1", "2"]
    row = table[table["image"].str.endswith("/3_r2.jpg")].iloc[0]
    assert (row["eye"], row["view"], row["patient"], row["part"]) == ("right", "2", "3", "train")
    assert row["dr"] == 4
    assert row["image"] == "regular_fundus_images/regular-fundus-training/Images/3/3_r2.jpg"
    assert table[table["part"] == "test"]["patient"].nunique() == 1


def test_deepdrid_crossed_columns_are_noted(tmp_path: Path) -> None:
    root = write_fake_set("deepdrid", tmp_path)
    path = root / "regular_fundus_images/regular-fundus-training/regular-fundus-training.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    row = table.index[table["image_id"] == "2_r1"][0]
    table.loc[row, ["left_eye_DR_Level", "right_eye_DR_Level"]] = ["4", ""]
    table.to_csv(path, index=False)
    records = open_set("deepdrid", root).records()
    assert "1 photographs carry their grade in the other eye's column" in records.notes
    chosen = records.table[records.table["image"].str.endswith("2_r1.jpg")].iloc[0]
    assert (chosen["dr"], chosen["eye"]) == (4, "right")


@pytest.mark.parametrize(("name", "count"), [("deepdrid", 1600), ("dr600", 480), ("hei_med", 127)])
def test_real_copies_meet_their_counts(shared_data: Path, name: str, count: int) -> None:
    as_listed = {"same_person": False} if name == "dr600" else {}
    own = open_set(name, shared_data / name, as_listed, strict=True)
    records = own.records()
    assert len(records) == count
    assert records.notes == ()
    plain = open_set("table", shared_data / name).records()
    columns = ["image", "patient", "eye", "part", "dr", "dme", "mask_EX", "present_EX"]
    pd.testing.assert_frame_equal(plain.table[columns], records.table[columns])
    assert own.photograph(records, 3, 64).ndim == 3


def test_dr600_maculopathy_is_binary(shared_data: Path) -> None:
    records = open_set("table", shared_data / "dr600").records()
    assert records.info["dr600"].scales == {"dr": "icdr5", "dme": "binary"}
    assert records.table["dme"].value_counts().to_dict() == {0: 384, 1: 90, -1: 6}


def test_hei_med_disc_and_other_masks(shared_data: Path) -> None:
    opened = open_set("hei_med", shared_data / "hei_med")
    records = opened.records()
    row = records.table.iloc[0]
    assert row["disc_x"] == pytest.approx(302 * 861 / 2196, abs=0.5)
    assert row["disc_y"] == pytest.approx(920 * 768 / 1958, abs=0.5)
    assert (records.table["mask_other"] != "").sum() == 50
    assert "mask_other" not in opened.masks(records, 0)
    image = opened.photograph(records, 0)
    x, y = round(row["disc_x"]), round(row["disc_y"])
    disc = image[y - 20 : y + 20, x - 20 : x + 20].mean()
    assert disc > 1.3 * image[image.max(axis=2) > 30].mean()
