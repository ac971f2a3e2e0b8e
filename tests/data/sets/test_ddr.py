"""DDR: ungradable photographs, its own parts, masks that are empty or missing, partly unpacked copies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retinalab.data.sets import open_set
from retinalab.data.sets.fake import fake_photograph
from retinalab.errors import RetinalabError
from retinalab.testing import write_fake_set

NAMES = {"train": "train", "valid": "val", "test": "test"}
SIZES = {"train": 6835, "valid": 2733, "test": 4105}
SEGMENTATION = {"task": "segmentation"}


def refused(root: Path, **options: Any) -> str:
    with pytest.raises(RetinalabError) as caught:
        open_set("ddr", root, options).records()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_round_trip(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path)
    written = {
        f"DR_grading/{name}/{line.split()[0]}": (int(line.split()[1]), part)
        for name, part in NAMES.items()
        for line in (root / "DR_grading" / f"{name}.txt").read_text().splitlines()
    }
    table = open_set("ddr", root).records().table
    assert len(table) == len(written) == 24
    for row in table.to_dict("records"):
        label, part = written[row["image"]]
        assert row["part"] == part
        assert (row["dr"], row["gradable"]) == ((-1, False) if label == 5 else (label, True))
    assert (~table["gradable"]).sum() == 4
    assert set(table["patient"]) == {""}
    assert not table["annotated_MA"].any()


def test_from_within_the_grading_folder(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path)
    table = open_set("ddr", root / "DR_grading").records().table
    assert table["image"].iloc[0] == "train/007-0000-000.jpg"
    assert len(open_set("ddr", root / "lesion_segmentation", SEGMENTATION).records()) == 8


def test_masks_that_are_empty(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path)
    opened = open_set("ddr", root, SEGMENTATION)
    records = opened.records()
    table = records.table
    assert table["part"].tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    odd = table["image"].str.extract(r"007-(\d+)-100", expand=False).astype(int) % 2
    assert (table["present_SE"] == 1 - odd).all()
    assert (table[["present_MA", "present_HE", "present_EX"]] == 1).all(axis=None)
    assert (table[["present_NV", "present_VH"]] == -1).all(axis=None)
    assert table["mask_SE"].iloc[4] == "lesion_segmentation/valid/segmentation label/SE/007-1010-100.tif"
    masks = opened.masks(records, 1)
    assert sorted(masks) == ["EX", "HE", "MA", "SE"]
    assert not masks["SE"].any()
    assert masks["MA"].sum() == 29  # a disc of radius 3
    assert masks["MA"][30, 41]
    assert not any("masks" in note for note in records.notes)
    assert records.info["ddr"].scales == {}
    assert type(opened).writes_empty_masks


def test_presence_left_unknown(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path)
    table = open_set("ddr", root, {**SEGMENTATION, "presence": False}).records().table
    assert (table[["present_MA", "present_SE"]] == -1).all(axis=None)
    assert table[["annotated_MA", "annotated_SE"]].all(axis=None)


def test_missing_masks_are_not_taken_for_absent_lesions(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path)
    (root / "lesion_segmentation/test/label/EX/007-1020-100.tif").unlink()
    shutil.rmtree(root / "lesion_segmentation/valid/segmentation label/MA")
    opened = open_set("ddr", root, SEGMENTATION)
    records = opened.records()
    table = records.table
    assert "3 masks are missing: those lesions count as not annotated" in records.notes
    assert (~table["annotated_MA"]).tolist() == [False] * 4 + [True] * 2 + [False] * 2
    assert table["present_MA"].tolist() == [1] * 4 + [-1] * 2 + [1] * 2
    assert sorted(opened.masks(records, 6)) == ["HE", "MA", "SE"]


def test_unreadable_mask_is_noted_and_unknown(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path)
    (root / "lesion_segmentation/train/label/HE/007-1002-100.tif").write_bytes(b"broken")
    opened = open_set("ddr", root, SEGMENTATION)
    records = opened.records()
    assert records.table["present_HE"].tolist() == [1, 1, -1, 1, 1, 1, 1, 1]
    assert any(note.startswith("1 masks cannot be read") and "1002" in note for note in records.notes)
    with pytest.raises(RetinalabError, match="007-1002-100"):
        opened.masks(records, 2)


def test_masks_in_grey_and_label_folder_of_one_name(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path)
    (root / "lesion_segmentation/valid/segmentation label").rename(root / "lesion_segmentation/valid/label")
    mask = np.zeros((72, 96), np.uint8)
    mask[10:12, 20:25] = 255
    Image.fromarray(mask).save(root / "lesion_segmentation/valid/label/EX/007-1010-100.tif")
    opened = open_set("ddr", root, SEGMENTATION)
    records = opened.records()
    assert (opened.masks(records, 4)["EX"] == (mask > 0)).all()


def published(root: Path, labels: list[int]) -> Path:
    (root / "DR_grading").mkdir(parents=True, exist_ok=True)
    start = 0
    for name, size in SIZES.items():
        lines = [
            f"007-{start + i:05d}-000.jpg {label}" for i, label in enumerate(labels[start : start + size])
        ]
        (root / "DR_grading" / f"{name}.txt").write_text("\n".join(lines) + "\n")
        start += size
    return root


def test_published_counts(tmp_path: Path) -> None:
    labels = [label for label, n in enumerate((6266, 630, 4477, 236, 913, 1151)) for _ in range(n)]
    options = {"labels_only": True}
    records = open_set("ddr", published(tmp_path, labels), options, strict=True).records()
    assert len(records) == 13673
    assert records.notes == ()
    labels[-1] = 4
    notes = open_set("ddr", published(tmp_path, labels), options).records().notes
    assert notes == (
        "ddr: counts differ from the published ones: gradable=False 1150 instead of 1151, dr=4 914 instead of 913",
    )


def test_wrong_folder(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path / "DDR-dataset")
    for wrong in (root / "lesion_segmentation", tmp_path):
        line = refused(wrong)
        assert "no folder 'DR_grading' of DDR" in line
        assert f"It lies in {root}: give that folder." in line
    assert f"It lies in {root}: give that folder." in refused(tmp_path, **SEGMENTATION)
    (root / "lesion_segmentation/test/image").rename(root / "lesion_segmentation/test/images")
    line = refused(root, **SEGMENTATION)
    assert "no folder 'lesion_segmentation/test/image' of DDR" in line
    (root / "lesion_segmentation/test/images").rename(root / "lesion_segmentation/test/image")
    (root / "lesion_segmentation/test/label").rename(root / "lesion_segmentation/test/masks")
    assert "no folder 'lesion_segmentation/test/label' of DDR" in refused(root, **SEGMENTATION)


def test_partly_unpacked_archive(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path)
    shutil.rmtree(root / "lesion_segmentation")
    line = refused(root, **SEGMENTATION)
    assert (
        "holds 'DR_grading' but no folder 'lesion_segmentation' of DDR: part of the archive was unpacked"
        in line
    )
    assert "Join all its pieces" in line


def test_half_a_download_and_stray_files(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path)
    fake_photograph(root / "DR_grading/valid/007-9999-000.jpg", 0)
    (root / "DR_grading/valid/Thumbs.db").touch()
    notes = open_set("ddr", root).records().notes
    assert any(note.startswith("1 photographs lie in") and "007-9999-000.jpg" in note for note in notes)
    (root / "DR_grading/train/007-0003-000.jpg").unlink()
    line = refused(root)
    assert "lists 'DR_grading/train/007-0003-000.jpg', which is absent" in line
    assert "(1 of 24 photographs are)" in line
    (root / "DR_grading/test.txt").unlink()
    assert "Unknown file 'test.txt'" in refused(root)
    (root / "lesion_segmentation/train/image/007-1001-100.jpg").unlink()
    line = refused(root, **SEGMENTATION)
    assert "007-1001-100.tif belongs to no photograph (1 such)" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "a.jpg 0\n\nb.jpg\n",
            "train.txt, line 3: 'b.jpg' is not a file name and a label 0-5 (1 such lines)",
        ),
        ("a.jpg 0\nb.jpg mild\n", "train.txt, line 2: 'b.jpg mild'"),
        ("a.jpg,0\nb.jpg,1\n", "train.txt, line 1: 'a.jpg,0'"),
        ("image label\na.jpg 0\n", "train.txt, line 1: 'image label'"),
        ("a.jpg -1\n", "train.txt, line 1: 'a.jpg -1'"),
        ("a.jpg 6\n", "dr grade 6 of 'DR_grading/train/a.jpg' is outside its scale"),
        ("a.jpg 0\na.jpg 1\n", "lists 'DR_grading/train/a.jpg' twice"),
        ("\n", "train.txt lists no photograph"),
    ],
)
def test_bad_lists(tmp_path: Path, text: str, words: str) -> None:
    root = write_fake_set("ddr", tmp_path)
    (root / "DR_grading/train.txt").write_text(text)
    assert words in refused(root, labels_only=True)


def test_list_that_is_no_text(tmp_path: Path) -> None:
    root = write_fake_set("ddr", tmp_path)
    (root / "DR_grading/valid.txt").write_bytes(b"\xff\xfe\x00\x01")
    assert "valid.txt is no text in UTF-8" in refused(root)
