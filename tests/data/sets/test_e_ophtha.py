"""e-ophtha: two parts that annotate one lesion each, healthy photographs, the same picture in both parts."""

from __future__ import annotations

import shutil
from collections import Counter
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
from retinalab.data.sets.fake import fake_mask, fake_photograph
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.testing import write_fake_set

PARTS = ("EX", "MA")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_set("e_ophtha", tmp_path_factory.mktemp("e_ophtha"))


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def refused(root: Path, words: str, part: str = "both") -> None:
    with pytest.raises(RetinalabError, match=words) as caught:
        open_set("e_ophtha", root, {"part": part}).records()
    assert "\n" not in str(caught.value)


def test_each_part_annotates_its_own_lesion_only(written: Path) -> None:
    opened = open_set("e_ophtha", written)
    records = opened.records()
    assert len(records) == 12
    for row, entry in enumerate(records.table.to_dict("records")):
        path = Path(entry["image"])
        part = path.parts[0].removeprefix("e_optha_")
        other = PARTS[part == "EX"]
        assert (entry["subset"], entry["patient"]) == (part, path.parts[2])
        assert [lesion for lesion in LESIONS if entry[f"annotated_{lesion}"]] == [part]
        assert entry[f"present_{part}"] == (path.parts[1] != "healthy")
        assert (entry[f"present_{other}"], entry["present_HE"]) == (-1, -1)
        masks = opened.masks(records, row)
        assert list(masks) == [part]
        name = f"{path.stem}_EX.png" if part == "EX" else f"{path.stem}.png"
        file = written / path.parts[0] / f"Annotation_{part}" / path.parts[2] / name
        assert file.is_file() == (path.parts[1] != "healthy")
        drawn = np.asarray(Image.open(file)) > 0 if file.is_file() else np.zeros((72, 96), bool)
        assert np.array_equal(masks[part], drawn)


def test_suffixes_vary_and_stray_files_are_passed_over(written: Path) -> None:
    records = open_set("e_ophtha", written).records()
    assert len({Path(image).suffix for image in records.table["image"]}) == 4
    assert len(list(written.rglob("Thumbs.db"))) > 4


def test_a_photograph_of_both_parts_is_two_rows_of_one_patient(written: Path) -> None:
    records = open_set("e_ophtha", written).records()
    names = Counter(Path(image).stem for image in records.table["image"])
    twice = [name for name, count in names.items() if count == 2]
    assert len(twice) == 2
    assert any(note.startswith("2 photographs lie in both parts") for note in records.notes)
    for name in twice:
        rows = [row for row, image in enumerate(records.table["image"]) if Path(image).stem == name]
        assert len({records.groups[row] for row in rows}) == 1
        assert {records.table.at[row, "subset"] for row in rows} == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_one_part_alone(root: Path, part: str) -> None:
    opened = open_set("e_ophtha", root, {"part": part})
    expected = open_set("e_ophtha", root).records().table
    expected = expected[expected["subset"] == part].reset_index(drop=True)
    shutil.rmtree(root / f"e_optha_{PARTS[part == 'EX']}")
    records = opened.records()
    assert records.table["image"].tolist() == expected["image"].tolist()
    assert records.info["e_ophtha"].lesions == (part,)
    assert not any("both parts" in note for note in records.notes)
    refused(root, rf"holds 'e_optha_{part}' of e-ophtha but no .* data\.options\.part={part}\.")


def test_the_other_parts_lesion_is_255_in_the_batch(written: Path, tmp_path: Path) -> None:
    opened = open_set("e_ophtha", written)
    records = opened.records()
    rows = [int(np.flatnonzero(records.table["subset"] == part)[0]) for part in PARTS]
    records = records.take(rows)
    cache = prepare(opened, records, Preparation(48, masks=True, folder=tmp_path), processes=1)
    data = DataConfig.model_validate({"set": "table", "root": written, "size": 48, "masks": True})
    part = Part("test", records, cache, np.arange(2))
    batch = PartDataset(part, data, (), 0, False, False).__getitems__([(0, 0, 0), (0, 1, 1)])
    for row, lesion in enumerate(PARTS):
        for bit, name in enumerate(LESIONS):
            found = set(batch["mask"][row, bit].unique().tolist())
            assert found == ({0, 1} if name == lesion else {255})
            assert torch.isnan(batch["present"][row, bit]) == (name != lesion)


def test_published_counts_are_met_by_folders_of_that_size(tmp_path: Path) -> None:
    fake_mask(tmp_path / "mask.png", (40, 30))
    number = 0
    for part, (marked, healthy) in {"EX": (47, 35), "MA": (148, 233)}.items():
        base = tmp_path / f"e_optha_{part}"
        for folder, count in ((part, marked), ("healthy", healthy)):
            place = base / folder / f"E{number:07d}"
            place.mkdir(parents=True)
            (base / f"Annotation_{part}" / place.name).mkdir(parents=True)
            for _ in range(count):
                number += 1
                (place / f"C{number:07d}.jpg").touch()
                if folder == part:
                    stem = f"C{number:07d}_EX" if part == "EX" else f"C{number:07d}"
                    (base / f"Annotation_{part}" / place.name / f"{stem}.png").hardlink_to(
                        tmp_path / "mask.png"
                    )
    for part in ("both", *PARTS):
        records = open_set("e_ophtha", tmp_path, {"part": part}, strict=True).records()
        assert records.notes == ()
        for what, count in records.info["e_ophtha"].counts.items():
            assert count_found(records.table, what) == count
    (place / f"C{number:07d}.jpg").unlink()
    with pytest.raises(RetinalabError, match="photographs 462 instead of 463, subset=MA present_MA=0 232"):
        open_set("e_ophtha", tmp_path, strict=True).records()


def test_mask_names_with_the_suffix_of_the_part_are_read_too(root: Path) -> None:
    expected = open_set("e_ophtha", root, {"part": "MA"}).records().table
    for path in (root / "e_optha_MA" / "Annotation_MA").rglob("*.png"):
        path.rename(path.with_name(f"{path.stem}_MA.PNG"))
    found = open_set("e_ophtha", root, {"part": "MA"}).records().table
    assert found["image"].tolist() == expected["image"].tolist()
    assert found["present_MA"].tolist() == expected["present_MA"].tolist()


def test_wrong_folder_and_half_a_download(root: Path) -> None:
    refused(root / "e_optha_EX", rf"no folder 'e_optha_EX' of e-ophtha.*It lies in {root}: give that folder")
    refused(root.parent, rf"It lies in {root}: give that folder")
    mask = next((root / "e_optha_EX" / "Annotation_EX").rglob("*.png"))
    mask.unlink()
    refused(
        root, rf"{mask.stem.removesuffix('_EX')}\.\w+ has no mask in .*Annotation_EX \(1 such photographs"
    )
    shutil.rmtree(root / "e_optha_EX" / "Annotation_EX")
    refused(root, r"e_optha_EX holds no folder 'Annotation_EX' of e-ophtha; found there: 'EX/', 'healthy/'")


def test_layout_of_another_copy(root: Path) -> None:
    fake_photograph(root / "e_optha_EX" / "EX" / "EX12.jpg", 0)
    refused(root, r"EX holds 'EX12\.jpg' where the official layout has a folder per examination.*\(1 such")
    (root / "e_optha_EX" / "EX" / "EX12.jpg").unlink()
    (root / "e_optha_EX" / "EX" / "train").mkdir()
    refused(root, r"EX holds 'train' where the official layout has a folder per examination")


def test_mask_without_a_photograph_or_of_another_size(root: Path) -> None:
    opened = open_set("e_ophtha", root)
    records = opened.records()
    row = int(np.flatnonzero(records.table["mask_MA"] != "")[0])
    fake_mask(root / records.table.at[row, "mask_MA"], (20, 20), shape=(50, 60))
    with pytest.raises(RetinalabError, match="the mask is 60x50 pixels but its photograph 96x72"):
        opened.masks(records, row)
    fake_mask(root / "e_optha_MA" / "Annotation_MA" / "E0000404" / "C0000001.png", (20, 20))
    refused(root, r"E0000404/C0000001\.png belongs to no photograph in .*MA \(1 such masks\)")


def test_unknown_part_is_refused(written: Path) -> None:
    refused(written, "Option 'part' of data set 'e_ophtha'.*'HE'", part="HE")
