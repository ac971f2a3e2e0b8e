"""Retinal-Lesions: the authors' grades, eight lesions, and marks that are neither present nor absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retinalab.config import DataConfig
from retinalab.data.fov import crop_mask, field_of_view
from retinalab.data.module import PartDataset
from retinalab.data.parts import Part
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.data.sets.base import count_found
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.data.sets.retinal_lesions import MASK_NAMES
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.testing import write_fake_set

FOLDER = "lesion_segs_896x896"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_set("retinal_lesions", tmp_path_factory.mktemp("retinal_lesions"))


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def levels(root: Path, name: str, lesion: str) -> np.ndarray:
    """Grey values of a mask, as Pillow reads them; 0 everywhere where there is no file."""
    path = root / FOLDER / name / f"{MASK_NAMES[lesion]}.png"
    return np.asarray(Image.open(path)) if path.is_file() else np.zeros((80, 80), np.uint8)


def refused(root: Path, words: str, strict: bool = False) -> None:
    with pytest.raises(RetinalabError, match=words) as caught:
        open_set("retinal_lesions", root, strict=strict).records()
    assert "\n" not in str(caught.value)


def known_presence(grey: np.ndarray) -> int:
    """Of a lesion in the photograph; marks in doubt alone say neither."""
    if (grey == 255).any():
        return 1
    return -1 if (grey == 127).any() else 0


def test_every_grade_patient_lesion_and_unsure_region_comes_back(written: Path) -> None:
    opened = open_set("retinal_lesions", written)
    records = opened.records()
    kinds = set()
    for row, entry in enumerate(records.table.to_dict("records")):
        name = Path(entry["image"]).stem
        assert f"{entry['patient']}_{entry['eye']}" == name
        assert entry["dr"] == row % 5
        masks, ignored = opened.masks(records, row), opened.ignored(records, row)
        assert set(masks) == set(LESIONS)
        for lesion in LESIONS:
            grey = levels(written, name, lesion)
            assert np.array_equal(masks[lesion], grey == 255)
            assert np.array_equal(ignored.get(lesion, np.zeros_like(grey, bool)), grey == 127)
            assert entry[f"annotated_{lesion}"]
            assert entry[f"present_{lesion}"] == known_presence(grey)
            kinds.add(tuple(np.unique(grey)))
    assert kinds == {(0,), (0, 255), (0, 127), (0, 127, 255)}
    assert records.table["patient"].nunique() == 6


def test_unsure_region_is_a_bit_of_the_prepared_planes_and_255_in_the_batch(
    written: Path, tmp_path: Path
) -> None:
    opened = open_set("retinal_lesions", written)
    records = opened.records().take([0, 3, 4, 8, 9])
    cache = prepare(opened, records, Preparation(40, masks=True, folder=tmp_path), processes=1)
    planes = cache.planes(np.arange(len(records)))
    part = Part("test", records, cache, np.arange(len(records)))
    data = DataConfig.model_validate({"set": "table", "root": written, "size": 40, "masks": True})
    dataset = PartDataset(part, data, ("dr",), 0, training=False, on_device=False)
    batch = dataset.__getitems__([(0, row, row) for row in range(len(records))])
    seen = set()
    for row in range(len(records)):
        field = field_of_view(opened.photograph(records, row))
        for bit, lesion in enumerate(LESIONS):
            grey = levels(written, Path(records.table.at[row, "image"]).stem, lesion)
            present = crop_mask(grey == 255, field, 40)
            unsure = crop_mask(grey == 127, field, 40)
            assert np.array_equal(planes[row, 0] >> bit & 1, present)
            assert np.array_equal(planes[row, 1] >> bit & 1, unsure)
            expected = np.where(unsure, 255, present).astype(np.uint8)
            assert torch.equal(batch["mask"][row, bit], torch.from_numpy(expected))
            seen |= set(np.unique(expected).tolist())
            told = known_presence(grey)
            assert batch["present"][row, bit].nan_to_num(-1) == told
    assert seen == {0, 1, 255}


def test_grades_of_the_competition_are_kept_or_chosen(written: Path) -> None:
    own = open_set("retinal_lesions", written).records().table
    theirs = open_set("retinal_lesions", written, {"grades": "kaggle"}).records().table
    assert own["dr"].tolist() == own["own_dr"].tolist() == theirs["own_dr"].tolist()
    assert theirs["dr"].tolist() == own["kaggle_dr"].tolist() != own["dr"].tolist()


def test_masks_that_are_not_looked_into_leave_presence_unknown(written: Path) -> None:
    opened = open_set("retinal_lesions", written, {"presence": False})
    table = opened.records().table
    for lesion in LESIONS:
        has_file = table[f"mask_{lesion}"] != ""
        assert (table.loc[has_file, f"present_{lesion}"] == -1).all()
        assert (table.loc[~has_file, f"present_{lesion}"] == 0).all()


def test_photographs_are_those_of_eyepacs() -> None:
    assert open_set("retinal_lesions", ".").info.shares == ("eyepacs", "liq_eyepacs")
    assert open_set("retinal_lesions", ".").info.lesions == LESIONS


def test_published_counts_are_met_by_a_label_file_of_that_size(tmp_path: Path) -> None:
    names = [f"{10000 + index}_{eye}" for index in range(88) for eye in ("left", "right")]
    names += [f"{20000 + index}_left" for index in range(1593 - 176)]
    grades = [grade for grade, count in enumerate((166, 337, 929, 99, 62)) for _ in range(count)]
    for folder in ("images_896x896", FOLDER):
        (tmp_path / folder).mkdir()
    rows = [{"image id": n, "kaggle label": 0, "our label": g} for n, g in zip(names, grades, strict=True)]
    write_csv(tmp_path / "dr_grades.csv", rows)
    opened = open_set("retinal_lesions", tmp_path)
    table = opened.records(check=False).table
    counts = dict(opened.info.counts)
    assert counts.pop("lesions_marked=0") == 17
    assert {what: count_found(table, what) for what in counts} == counts
    assert sum(counts[f"dr={grade}"] for grade in range(5)) == counts["photographs"] == 1593


def test_counts_that_differ_are_told(written: Path) -> None:
    unmarked = sum(
        not (written / FOLDER / f"{10003 + i // 2}_{'right' if i % 2 else 'left'}").is_dir()
        for i in range(12)
    )
    refused(written, f"lesions_marked=0 {unmarked} instead of 17", strict=True)
    with pytest.raises(RetinalabError) as caught:
        open_set("retinal_lesions", written, {"grades": "kaggle"}, strict=True).records()
    assert "dr=" not in str(caught.value)


def test_headers_with_blanks_and_names_with_suffixes_are_read(root: Path) -> None:
    path = root / "dr_grades.csv"
    lines = path.read_text().splitlines()
    lines[0] = " image id , kaggle label,our label "
    lines[1:] = [line.replace(",", ".jpeg,", 1) for line in lines[1:]]
    path.write_text("\n".join(lines) + "\n")
    assert open_set("retinal_lesions", root).records().table["patient"].iloc[0] == "10003"


def test_label_file_of_another_version(root: Path) -> None:
    path = root / "dr_grades.csv"
    path.write_text(path.read_text().replace("our label", "class"))
    refused(root, r"Unknown column 'our label'.*Columns of dr_grades\.csv")
    path.write_text("image id,kaggle label,our label\nIDRiD_001,0,0\n")
    refused(root, r"image id 'IDRiD_001' is no EyePACS identifier such as '10003_left'")
    path.unlink()
    refused(root, r"Unknown file 'dr_grades\.csv'")


def test_wrong_folder_and_half_a_download(root: Path) -> None:
    refused(root / "images_896x896", rf"no folder 'images_896x896'.*It lies in {root}: give that folder")
    refused(root.parent, rf"It lies in {root}: give that folder")
    (root / "images_896x896" / "10003_left.jpg").unlink()
    refused(root, r"10003_left\.jpg', which is absent .*1 of 12 photographs are")
    shutil.rmtree(root / FOLDER)
    refused(root, rf"holds no folder '{FOLDER}' of Retinal-Lesions; found there: 'images_896x896/'")


def test_masks_of_no_photograph_and_of_no_lesion(root: Path) -> None:
    (root / FOLDER / "10004_left" / "Thumbs.db").write_bytes(b"stray")
    open_set("retinal_lesions", root).records()
    fake_photograph(root / FOLDER / "10004_left" / "drusen.png", 0)
    refused(root, r"Unknown lesion mask 'drusen'")
    (root / FOLDER / "10004_left" / "drusen.png").unlink()
    (root / FOLDER / "99_left").mkdir()
    refused(root, r"99_left belongs to no photograph of dr_grades\.csv \(1 such")


def test_resized_damaged_and_misfit_masks(root: Path) -> None:
    masks = sorted((root / FOLDER / "10004_right").glob("*.png"))
    image = Image.open(masks[0]).convert("L")
    image.resize((70, 80), Image.Resampling.NEAREST).save(masks[0])
    opened = open_set("retinal_lesions", root)
    records = opened.records()
    row = int(np.flatnonzero(records.table["image"].str.contains("10004_right"))[0])
    with pytest.raises(RetinalabError, match="the mask is 70x80 pixels but its photograph 80x80"):
        opened.masks(records, row)
    image.point(lambda value: 200 if value else 0).save(masks[0])
    with pytest.raises(RetinalabError, match=r"has the value 200 in \d+ pixels where the official masks"):
        opened.masks(records, row)
    masks[0].write_bytes(masks[0].read_bytes()[:50])
    records = open_set("retinal_lesions", root).records()
    assert any(note.startswith("1 masks cannot be read") and masks[0].name in note for note in records.notes)
    lesion = next(key for key, name in MASK_NAMES.items() if name == masks[0].stem)
    assert records.table.at[row, f"present_{lesion}"] == -1
