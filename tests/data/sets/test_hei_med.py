"""HEI-MED: the owners' maps of numbered blobs, their names and facts; the copy with a ``records.csv``."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from retinalab.config import DataConfig
from retinalab.data.check.masks import masks as look_at_masks
from retinalab.data.check.photographs import look_at
from retinalab.data.module import PartDataset
from retinalab.data.parts import Part
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.data.sets.fake import fake_photograph
from retinalab.data.sets.hei_med import HeiMed
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.testing import write_fake_set

WIDTH, HEIGHT = 96, 72


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_fake_set("hei_med", tmp_path / "copy")


def refused(root: Path, words: str) -> None:
    with pytest.raises(RetinalabError, match=words) as caught:
        open_set("hei_med", root).records()
    assert "\n" not in str(caught.value)


def by_the_owners_class(stem: Path, word: str) -> np.ndarray:
    """Pixels of the blobs whose name has a word, in the steps of the owners' MATLAB class.

    It reads three numbers, then a matrix of (second x third) column by column, and transposes it; the blob
    with value k is line k of the names.
    """
    content = gzip.decompress(stem.with_name(f"{stem.name}.map.gz").read_bytes())
    _, second, third = struct.unpack_from("<3i", content)
    flat = struct.unpack_from(f"<{second * third}i", content, 12)
    matrix = np.array(flat).reshape((second, third), order="F").T
    lines = stem.with_name(f"{stem.name}.GND").read_text().splitlines()
    lines = lines[1:] if lines[0].startswith("GNDVERSION2.0") else lines
    names = lines[1 : 1 + int(lines[0])]
    found = np.zeros(matrix.shape, bool)
    for number, name in enumerate(names, start=1):
        if word in name:
            found |= matrix == number
    return found


def stem_of(root: Path, image: str) -> Path:
    return root / image.removesuffix(".jpg")


def test_masks_are_those_of_the_owners_class(root: Path) -> None:
    opened = open_set("hei_med", root)
    records = opened.records()
    assert len(records) == 6
    seen = set()
    for row, entry in enumerate(records.table.to_dict("records")):
        stem = stem_of(root, entry["image"])
        marked = stem.with_name(f"{stem.name}.map.gz").is_file()
        expected = by_the_owners_class(stem, "Exudate") if marked else np.zeros((HEIGHT, WIDTH), bool)
        masks = opened.masks(records, row)
        assert list(masks) == ["EX"]
        assert np.array_equal(masks["EX"], expected)
        assert entry["present_EX"] == expected.any()
        bright = marked and by_the_owners_class(stem, "Other Bright").any()
        assert bool(entry["mask_other"]) == bright
        seen.add((bool(expected.any()), bool(bright)))
    assert seen == {(False, False), (True, False), (True, True)}
    assert (records.table[[f"present_{lesion}" for lesion in LESIONS if lesion != "EX"]] == -1).all(axis=None)


def test_every_photograph_is_a_patient_and_facts_come_along_without_the_birthday(root: Path) -> None:
    table = open_set("hei_med", root).records().table
    assert table["patient"].nunique() == len(table) == 6
    assert (table[["disc_x", "disc_y"]] == [60, 36]).all(axis=None)
    assert set(table["sex"]) == {"F", "M"}
    assert set(table["diabetes_type"]) == {"TYPE II"}
    assert set(table["elvd_quality"]) == {"0.75"}
    assert not [cell for cell in table.to_numpy().ravel() if "1950" in str(cell)]


def test_facts_as_the_owners_write_them(root: Path) -> None:
    image = open_set("hei_med", root).records().table["image"][0]
    meta = stem_of(root, image).with_name(f"{stem_of(root, image).name}.meta")
    meta.write_bytes(b"~ImageName:~x.jpg\r\n~PatientRace~CAUCASIAN\r\n~ONrow~20.5\r\n~PatientGender~\r\n")
    row = open_set("hei_med", root).records().table.iloc[0]
    assert (row["ethnicity"], row["sex"], row["disc_y"]) == ("CAUCASIAN", "", 20.5)
    assert np.isnan(row["disc_x"])
    meta.write_text("~ONrow~near the edge\n")
    refused(root, r"\.meta: ONrow is 'near the edge', not a number")
    meta.unlink()
    assert "1 photographs have no .meta file" in " ".join(open_set("hei_med", root).records().notes)


def test_exudates_reach_the_batch_and_other_lesions_are_255(root: Path, tmp_path: Path) -> None:
    opened = open_set("hei_med", root)
    records = opened.records()
    cache = prepare(opened, records, Preparation(48, masks=True, folder=tmp_path / "cache"), processes=1)
    data = DataConfig.model_validate({"set": "table", "root": root, "size": 48, "masks": True})
    part = Part("test", records, cache, np.arange(len(records)))
    batch = PartDataset(part, data, (), 0, False, False).__getitems__([(0, row, row) for row in range(6)])
    present = records.table["present_EX"].tolist()
    for row in range(6):
        for bit, lesion in enumerate(LESIONS):
            found = set(batch["mask"][row, bit].unique().tolist())
            assert found == ({255} if lesion != "EX" else {0, 1} if present[row] else {0})
    assert batch["present"][:, LESIONS.index("EX")].tolist() == present
    assert torch.isnan(batch["present"][:, LESIONS.index("MA")]).all()


def test_renamed_blobs_make_another_cache(root: Path) -> None:
    opened = open_set("hei_med", root)
    records = opened.records()
    before = (opened.fingerprint(records), opened.fingerprint(records, masks=True))
    for path in (root / "DMED").glob("*.GND"):
        path.write_text(path.read_text().replace("Exudate 1", "Other Bright Lesion 1"))
    after = (opened.fingerprint(records), opened.fingerprint(records, masks=True))
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_check_finds_nothing_wrong_with_the_maps(root: Path) -> None:
    opened = open_set("hei_med", root)
    records = opened.records()
    seen = [look_at(records.path(row), str(records.table.at[row, "image"])) for row in range(len(records))]
    assert look_at_masks(opened, records, seen, set()) == ([], [])


def test_unpacked_map_is_read(root: Path) -> None:
    opened = open_set("hei_med", root)
    expected = [opened.masks(opened.records(), row)["EX"] for row in range(6)]
    for path in (root / "DMED").glob("*.map.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    found = [opened.masks(opened.records(), row)["EX"] for row in range(6)]
    assert all(np.array_equal(one, other) for one, other in zip(expected, found, strict=True))


def test_bad_photographs_and_other_blobs_are_left_out_with_a_note(root: Path) -> None:
    table = open_set("hei_med", root).records().table
    first, second = (stem_of(root, image) for image in table["image"][table["present_EX"] == 1][:2])
    first.with_name(f"{first.name}.jpg.bad").touch()
    names = second.with_name(f"{second.name}.GND")
    names.write_text(names.read_text().replace("Exudate 1", "MicroAneurysm 0"))
    records = open_set("hei_med", root).records()
    notes = " | ".join(records.notes)
    assert f"1 photographs that the owners marked as bad left out: {first.name}" in notes
    assert "neither exudates nor other bright lesions, left out: microaneurysm 0" in notes
    assert len(records) == 5
    assert records.table.set_index("patient").at[second.name, "present_EX"] == 0


def test_published_count_of_the_official_layout(root: Path) -> None:
    with pytest.raises(RetinalabError, match="photographs 6 instead of 169"):
        open_set("hei_med", root, strict=True).records()
    for number in range(163):
        (root / "DMED" / f"({number:08d})x.jpg").touch()
    records = open_set("hei_med", root, strict=True).records()
    assert len(records) == 169


def test_wrong_folder_and_half_a_download(root: Path) -> None:
    refused(root / "DMED", rf"no folder 'DMED' of HEI-MED.*It lies in {root}: give that folder")
    refused(root.parent, rf"It lies in {root}: give that folder")
    table = open_set("hei_med", root).records().table
    stem = stem_of(root, table["image"][table["present_EX"] == 1].iloc[0])
    blobs, names = (stem.with_name(f"{stem.name}{suffix}") for suffix in (".map.gz", ".GND"))
    kept = names.read_bytes()
    names.unlink()
    refused(root, r"\.map\.gz has no .*\.GND that names what it marks")
    names.write_bytes(kept)
    content = blobs.read_bytes()
    blobs.unlink()
    refused(root, r"\.GND names \d blobs, but .*\.map\.gz is absent")
    blobs.write_bytes(content)
    stem.with_name(f"{stem.name}.jpg").unlink()
    refused(root, r"belongs to no photograph \(2 such files\)")
    for path in (root / "DMED").iterdir():
        path.unlink()
    refused(root, r"DMED holds no photograph \(\*\.jpg\)")


@pytest.mark.parametrize("content", ["", "three\nExudate 1\n", "3\nExudate 1\n"])
def test_names_that_cannot_be_read(root: Path, content: str) -> None:
    next((root / "DMED").glob("*.GND")).write_text(content)
    refused(root, r"\.GND is no readable GND file: it starts with .* Fetch it again")


def marked(root: Path) -> tuple[Path, int]:
    table = open_set("hei_med", root).records().table
    row = int(np.flatnonzero(table["present_EX"] == 1)[0])
    return root / table.at[row, "mask_EX"], row


def numbers(header: tuple[int, int, int], value: int = 1, order: str = "<") -> bytes:
    count = header[1] * header[2]
    return struct.pack(f"{order}3i", *header) + struct.pack(f"{order}{count}i", *[value] * count)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no gzip", "cannot be read"),
        (gzip.compress(b"1234", mtime=0), "announces nothing but holds 4 bytes"),
        (gzip.compress(numbers((3, WIDTH, HEIGHT))[:-8], mtime=0), "announces 96x72 pixels but holds"),
        (
            gzip.compress(numbers((3, WIDTH, HEIGHT), order=">"), mtime=0),
            "announces 1610612736x1207959552 pixels but",
        ),
        (
            gzip.compress(numbers((3, HEIGHT, WIDTH)), mtime=0),
            "the mask is 72x96 pixels but its photograph 96x72",
        ),
        (gzip.compress(numbers((3, WIDTH, HEIGHT), 7), mtime=0), r"marks blob 7 but its \.GND file names"),
        (gzip.compress(numbers((3, WIDTH, HEIGHT), -2), mtime=0), r"marks blob -2 but its \.GND file names"),
    ],
)
def test_maps_that_cannot_be_right(root: Path, content: bytes, words: str) -> None:
    path, row = marked(root)
    path.write_bytes(content)
    opened = open_set("hei_med", root)
    with pytest.raises(RetinalabError, match=words) as caught:
        opened.masks(opened.records(), row)
    assert path.name in str(caught.value)


def test_copy_with_records_is_read_as_before(tmp_path: Path) -> None:
    root = HeiMed.write_fake_copy(tmp_path)
    records = open_set("hei_med", root).records()
    assert records.table["present_EX"].tolist() == [1, 0, 1, 0, 1, 0]
    assert (records.table["mask_other"] != "").tolist() == [True, False, False, True, False, False]
    assert records.table["patient"].eq("").all()
    (root / "DMED").mkdir()
    fake_photograph(root / "DMED" / "(1).jpg", 0)
    assert len(open_set("hei_med", root).records()) == 6
    (root / "records.csv").unlink()
    assert len(open_set("hei_med", root).records()) == 1
    with pytest.raises(RetinalabError, match=r"labels\.csv"):
        open_set("hei_med", root, {"file": "labels.csv"}).records()
