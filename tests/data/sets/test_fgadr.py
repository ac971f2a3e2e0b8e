"""FGADR: a label file without a header, masks with soft edges, empty ones for absent lesions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retinalab.config import DataConfig
from retinalab.data.module import PartDataset
from retinalab.data.parts import Part
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.data.sets.base import count_found
from retinalab.data.sets.fake import fake_photograph
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.testing import write_fake_set

FOLDERS = {
    "MA": "Microaneurysms_Masks",
    "HE": "Hemohedge_Masks",
    "EX": "HardExudate_Masks",
    "SE": "SoftExudate_Masks",
    "NV": "Neovascularization_Masks",
}
UNKNOWN = ("VH", "PH", "FP")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_set("fgadr", tmp_path_factory.mktemp("fgadr"))


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def refused(root: Path, words: str) -> None:
    with pytest.raises(RetinalabError, match=words) as caught:
        open_set("fgadr", root).records()
    assert "\n" not in str(caught.value)


def test_grades_masks_and_presence_come_back(written: Path) -> None:
    opened = open_set("fgadr", written)
    records = opened.records()
    assert records.table["dr"].tolist() == [index % 5 for index in range(10)]
    assert records.table["patient"].eq("").all()
    values = set()
    for row, entry in enumerate(records.table.to_dict("records")):
        name = Path(entry["image"]).name
        masks = opened.masks(records, row)
        assert set(masks) == set(FOLDERS)
        for lesion, folder in FOLDERS.items():
            path = written / "Seg-set" / folder / name
            grey = np.asarray(Image.open(path)) if path.is_file() else np.zeros((72, 96), np.uint8)
            values |= set(np.unique(grey).tolist())
            assert np.array_equal(masks[lesion], grey >= 128)
            assert entry[f"present_{lesion}"] == (grey >= 128).any()
        assert [entry[f"present_{lesion}"] for lesion in UNKNOWN] == [-1, -1, -1]
        assert not any(entry[f"annotated_{lesion}"] for lesion in UNKNOWN)
    assert values == {0, 60, 255}
    assert (records.table["mask_MA"] != "").all()
    assert set(records.table["present_MA"]) == {0, 1}


def test_microvascular_abnormalities_are_kept_beside_the_eight(written: Path) -> None:
    records = open_set("fgadr", written).records()
    there = [
        (written / "Seg-set/IRMA_Masks" / Path(image).name).is_file() for image in records.table["image"]
    ]
    assert 0 < sum(there) < len(there)
    assert records.table["irma"].tolist() == [int(found) for found in there]
    assert [path != "" for path in records.table["mask_other"]] == there
    assert records.table["batch"].tolist()[:4] == ["1", "2", "3", "1"]
    assert {"irma", "batch"} <= set(records.further)


def test_lesions_that_are_not_annotated_are_255_in_the_batch(written: Path, tmp_path: Path) -> None:
    opened = open_set("fgadr", written)
    records = opened.records().take([0, 4])
    cache = prepare(opened, records, Preparation(32, masks=True, folder=tmp_path), processes=1)
    data = DataConfig.model_validate({"set": "table", "root": written, "size": 32, "masks": True})
    part = Part("test", records, cache, np.arange(2))
    batch = PartDataset(part, data, ("dr",), 0, False, False).__getitems__([(0, 0, 0), (0, 1, 1)])
    for bit, lesion in enumerate(LESIONS):
        found = set(batch["mask"][:, bit].unique().tolist())
        assert found == ({255} if lesion in UNKNOWN else {0, 1})
    assert batch["mask"][0][[LESIONS.index(lesion) for lesion in FOLDERS]].max() == 0
    assert torch.isnan(batch["present"][:, LESIONS.index("VH")]).all()


def test_masks_that_are_not_looked_into_leave_presence_unknown(written: Path) -> None:
    table = open_set("fgadr", written, {"presence": False}).records().table
    assert (table["present_MA"] == -1).all()
    assert table["present_NV"].tolist() == [-1 if path else 0 for path in table["mask_NV"]]


def test_published_counts_are_met_by_a_label_file_of_that_size(tmp_path: Path) -> None:
    base = tmp_path / "Seg-set"
    grades = [grade for grade, count in enumerate((101, 212, 595, 647, 287)) for _ in range(count)]
    names = [f"{index:04d}_1.png" for index in range(len(grades))]
    for folder in ("Original_Images", "IRMA_Masks", *FOLDERS.values()):
        (base / folder).mkdir(parents=True)
    lines = [f"{name},{grade}\n" for name, grade in zip(names, grades, strict=True)]
    (base / "DR_Seg_Grading_Label.csv").write_text("".join(lines))
    opened = open_set("fgadr", tmp_path, {"presence": False})
    table = opened.records(check=False).table
    assert {what: count_found(table, what) for what in opened.info.counts} == dict(opened.info.counts)
    assert table["image"].iloc[0] == "Seg-set/Original_Images/0000_1.png"


@pytest.mark.parametrize("name", ["{}", "Original_Images/{}", "stem"])
def test_names_with_and_without_folder_and_suffix(root: Path, name: str) -> None:
    path = root / "Seg-set" / "DR_Seg_Grading_Label.csv"
    expected = open_set("fgadr", root).records().table
    cells = [line.split(",") for line in path.read_text().split()]
    shown = [(image.removesuffix(".png") if name == "stem" else name.format(image)) for image, _ in cells]
    path.write_text("\n".join(f"{image},{grade}" for image, (_, grade) in zip(shown, cells, strict=True)))
    found = open_set("fgadr", root).records().table
    assert found["image"].tolist() == expected["image"].tolist()
    path.write_text("image,DR_grade\n" + path.read_text())
    assert open_set("fgadr", root).records().table["dr"].tolist() == expected["dr"].tolist()


def test_label_file_of_another_version(root: Path) -> None:
    path = root / "Seg-set" / "DR_Seg_Grading_Label.csv"
    lines = path.read_text().split()
    path.write_text("\n".join([*lines[:2], lines[2].split(",")[0] + ",severe", *lines[3:]]))
    refused(root, r"Grading_Label\.csv, row 3: the grade of '0002_3\.png' is 'severe', not a whole number")
    path.write_text("\n".join(f"{number},{line}" for number, line in enumerate(lines)))
    refused(root, "has 3 columns .*the official file has two and no header")
    path.write_text("\n".join([*lines, lines[0]]))
    refused(root, r"lists 'Seg-set/Original_Images/0000_1\.png' twice")
    path.write_text("\n".join([*lines[:-1], lines[-1].split(",")[0] + ",7"]))
    refused(root, r"dr grade 7 of .* is outside its scale")
    path.unlink()
    refused(root, r"Unknown file 'DR_Seg_Grading_Label\.csv'")


def test_wrong_folder_and_half_a_download(root: Path) -> None:
    refused(root / "Seg-set", rf"no folder 'Seg-set' of FGADR.*It lies in {root}: give that folder")
    refused(root.parent, rf"It lies in {root}: give that folder")
    (root / "Seg-set/HardExudate_Masks/0004_2.png").unlink()
    refused(root, r"lists 'Seg-set/HardExudate_Masks/0004_2\.png', which is absent .*1 of \d+ masks are")
    (root / "Seg-set/Original_Images/0001_2.png").unlink()
    refused(root, r"lists 'Seg-set/Original_Images/0001_2\.png', which is absent .*1 of 10 photographs are")
    shutil.rmtree(root / "Seg-set/Neovascularization_Masks")
    refused(root, r"Seg-set holds no folder 'Neovascularization_Masks' of FGADR; found there: 'HardExudate")


def test_mask_without_a_photograph_or_of_another_size(root: Path) -> None:
    path = root / "Seg-set/Hemohedge_Masks/0004_2.png"
    Image.open(path).resize((96, 70)).save(path)
    opened = open_set("fgadr", root)
    with pytest.raises(RetinalabError, match="the mask is 96x70 pixels but its photograph 96x72"):
        opened.masks(opened.records(), 4)
    fake_photograph(root / "Seg-set/IRMA_Masks/0099_1.png", 0)
    refused(root, r"0099_1\.png belongs to no photograph of DR_Seg_Grading_Label\.csv \(1 such")


def test_damaged_mask_leaves_its_lesion_unknown(root: Path) -> None:
    path = root / "Seg-set/SoftExudate_Masks/0004_2.png"
    path.write_bytes(path.read_bytes()[:60])
    records = open_set("fgadr", root).records()
    assert records.table.at[4, "present_SE"] == -1
    assert any(note.startswith("1 masks cannot be read") and path.name in note for note in records.notes)
