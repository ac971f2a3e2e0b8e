"""Prepared photographs: made once, named by what they are made of, whole or not there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from retinalab.data import cache as reading
from retinalab.data import prepare as preparing
from retinalab.data.cache import Cache
from retinalab.data.home import default_cache
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.data.sets.base import PhotographSet
from retinalab.data.sets.fake import fake_mask
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS, Records
from retinalab.testing import write_fake_set

SIZE = 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_fake_set("table", tmp_path / "table", 8)


def opened(root: Path, name: str = "table", **options: Any) -> tuple[PhotographSet, Records]:
    source = open_set(name, root, options)
    return source, source.records()


def made(root: Path, folder: Path, size: int = SIZE, processes: int | None = None, **options: Any) -> Cache:
    return prepare(*opened(root), Preparation(size, folder=folder, **options), processes)


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows that were decoded, in order."""
    rows: list[int] = []
    original = PhotographSet.photograph
    monkeypatch.setattr(
        PhotographSet,
        "photograph",
        lambda self, records, row, shortest=None: rows.append(row) or original(self, records, row, shortest),
    )
    return rows


def test_photographs_are_decoded_once(root: Path, tmp_path: Path, decodings: list[int]) -> None:
    first = made(root, tmp_path / "cache")
    assert sorted(decodings) == list(range(8))
    second = made(root, tmp_path / "cache")
    assert len(decodings) == 8
    rows = np.array([7, 0, 0])
    assert np.array_equal(first.images(rows), second.images(rows))
    assert first.images(rows).shape == (3, SIZE, SIZE, 3)
    assert first.usable.all()
    assert not list(first.folder.glob("*.tmp"))


def test_rows_keep_their_places_over_several_shards(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(root, tmp_path / "whole").images(np.arange(8))
    for module in (reading, preparing):
        monkeypatch.setattr(module, "SHARD", 3)
    pieces = made(root, tmp_path / "pieces", processes=2)
    assert len(list(pieces.folder.glob("*.json"))) == 3
    assert np.array_equal(pieces.images(np.arange(8)), whole)
    assert np.array_equal(pieces.images(np.array([5, 2])), whole[[5, 2]])


def test_a_prepared_photograph_is_the_crop_of_its_field_of_view(root: Path, tmp_path: Path) -> None:
    """The drawn disc lies about (48, 36) with radius 33; at the scale of the file nothing is resampled."""
    x, y, side = made(root, tmp_path / "cache").boxes[0]
    assert (x + side / 2, y + side / 2) == pytest.approx((48, 36), abs=2)
    assert 62 <= side <= 74
    size, x, y = round(side), round(x), round(y)
    image = made(root, tmp_path / "cache", size=size).images(np.array([0]))[0].astype(int)
    original = cv2.imread(str(root / "images/000.jpg"))[..., ::-1].astype(int)
    inner = np.s_[20 - y : 52 - y, 30 - x : 66 - x]
    assert np.abs(image[inner] - original[20:52, 30:66]).max() <= 3  # two decoders
    assert image[:4, :4].max() < 25


def test_the_name_follows_from_settings_and_content(root: Path, tmp_path: Path) -> None:
    parent = tmp_path / "cache"
    names = [made(root, parent).folder]
    names.append(made(root, parent, size=48).folder)
    names.append(made(root, parent, masks=True).folder)
    names.append(made(root, parent, masks=True, coverage=0.5).folder)
    os.utime(root / "images/003.jpg", (1, 1))
    names.append(made(root, parent).folder)
    shutil.copy(root / "images/001.jpg", root / "images/000.jpg")
    names.append(made(root, parent).folder)
    source, records = opened(root)
    names.append(prepare(source, records.take(np.arange(4)), Preparation(SIZE, folder=parent)).folder)
    assert len(set(names)) == len(names)
    assert made(root, parent).folder == names[5]


def test_labels_do_not_make_photographs_anew(root: Path, tmp_path: Path) -> None:
    first = made(root, tmp_path / "cache").folder
    path = root / "records.csv"
    path.write_text(path.read_text().replace(",right,", ",left,"))
    assert made(root, tmp_path / "cache").folder == first


def test_a_killed_build_is_completed(root: Path, tmp_path: Path, decodings: list[int]) -> None:
    program = f"""
import os, signal, sys
from pathlib import Path
from retinalab.data import prepare
from retinalab.data.preparation import Preparation
from retinalab.data.sets import open_set
prepare.SHARD = 3
written = []
original = os.replace
def replace(a, b):
    original(a, b)
    written.append(b)
    if len(written) == 3:  # the second shard's photographs are there, its description is not
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
source = open_set("table", Path({str(root)!r}), {{}})
preparation = Preparation({SIZE}, folder=Path({str(tmp_path / "cache")!r}))
prepare.prepare(source, source.records(), preparation, processes=1)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ran.returncode == -signal.SIGKILL
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    assert {p.name for p in folder.glob("*.json")} == {"00000.json"}
    assert (folder / "00001.images").is_file()
    with pytest.MonkeyPatch.context() as patch:
        for module in (reading, preparing):
            patch.setattr(module, "SHARD", 3)
        cache = made(root, tmp_path / "cache")
        assert cache.folder == folder
        assert len(decodings) == 5  # the shards that were not whole
        images = cache.images(np.arange(8))
    assert np.array_equal(images, made(root, tmp_path / "other").images(np.arange(8)))


def test_what_lies_about_under_a_temporary_name_is_never_read(root: Path, tmp_path: Path) -> None:
    cache = made(root, tmp_path / "cache")
    images = cache.images(np.arange(8))
    (cache.folder / "00000.json").unlink()
    (cache.folder / "00000.images").write_bytes(b"half")
    (cache.folder / "00000.images.1.tmp").write_bytes(b"rubbish")
    assert np.array_equal(made(root, tmp_path / "cache").images(np.arange(8)), images)


def test_a_shortened_shard_is_refused(root: Path, tmp_path: Path) -> None:
    cache = made(root, tmp_path / "cache")
    path = cache.folder / "00000.images"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(RetinalabError, match=r"00000\.images is shorter than it was written\. Remove"):
        cache.images(np.array([7]))


def test_what_cannot_be_read_is_named_and_is_no_grey_picture(root: Path, tmp_path: Path) -> None:
    whole = (root / "images/002.jpg").read_bytes()
    (root / "images/002.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "images/003.jpg").write_text("no picture")
    (root / "images/004.jpg").write_bytes(b"")
    cv2.imwrite(str(root / "images/005.jpg"), np.zeros((80, 80, 3), np.uint8))
    cache = made(root, tmp_path / "cache")
    assert np.flatnonzero(~cache.usable).tolist() == [2, 3, 4, 5]
    for row, word in ((2, "truncated"), (3, "is text"), (4, "is empty"), (5, "no field of view")):
        assert word in cache.reasons[row]
        assert f"00{row}.jpg" in cache.reasons[row]
        assert np.isnan(cache.boxes[row]).all()
    assert made(root, tmp_path / "cache").reasons == cache.reasons


def test_a_file_that_may_not_be_read_is_tried_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions leave no trace in size and time, so that a cache must not remember the refusal."""

    def refused(*_: Any) -> np.ndarray:
        raise RetinalabError("000.jpg cannot be read (Permission denied).")

    with monkeypatch.context() as patched:
        patched.setattr(PhotographSet, "photograph", refused)
        patched.setattr(os, "access", lambda path, mode: not str(path).endswith("000.jpg"))
        with pytest.raises(RetinalabError, match="Permission denied"):
            made(root, tmp_path)
    assert made(root, tmp_path).usable.all()


def test_masks_become_planes_of_present_and_of_unjudged(tmp_path: Path) -> None:
    root = write_fake_set("idrid", tmp_path / "idrid")
    source, records = opened(root, "idrid", task="segmentation")
    cache = prepare(source, records, Preparation(66, masks=True, folder=tmp_path / "cache"))
    planes = cache.planes(np.arange(len(records)))
    for i, lesion in enumerate(LESIONS):
        unjudged = (planes[:, 1] >> i) & 1
        assert (unjudged == (lesion not in ("MA", "HE", "EX", "SE"))).all()
        present = (planes[:, 0] >> i) & 1
        assert (present.any((1, 2)) == (records.table[f"mask_{lesion}"] != "")).all()
    row = 0
    number = int(records.table["image"][row].removesuffix(".jpg")[-2:])
    x, y, side = cache.boxes[row]
    ys, xs = np.nonzero(planes[row, 0] & 1)
    assert xs.mean() == pytest.approx((60 + number - x) * 66 / side, abs=1)
    assert ys.mean() == pytest.approx((45 - y) * 66 / side, abs=1)


def test_a_mask_of_another_size_is_named_with_its_photograph_and_both_sizes(tmp_path: Path) -> None:
    root = write_fake_set("idrid", tmp_path / "idrid")
    folder = root / "A. Segmentation/2. All Segmentation Groundtruths/a. Training Set/3. Hard Exudates"
    fake_mask(folder / "IDRiD_02_EX.tif", (20, 20), shape=(50, 60))
    source, records = opened(root, "idrid", task="segmentation")
    cache = prepare(source, records, Preparation(66, masks=True, folder=tmp_path / "cache"))
    ((row, reason),) = cache.reasons.items()
    assert reason.startswith(str(records.table["image"][row]))
    assert "a. Training Set/IDRiD_02.jpg: " in reason
    assert "IDRiD_02_EX.tif: the mask is 60x50 pixels but its photograph 144x108" in reason
    assert "\n" not in reason


def test_planes_that_were_not_prepared_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RetinalabError, match=r"data\.masks=true"):
        made(root, tmp_path / "cache").planes(np.array([0]))


def test_a_full_disk_is_said_before_anything_is_decoded(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decodings: list[int]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(RetinalabError, match=r"need .* in .* are free\. .*data\.cache=PATH"):
        made(root, tmp_path / "cache")
    assert decodings == []


@pytest.mark.parametrize("call", ["mkdir", "open"])
def test_a_folder_that_cannot_be_written_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    original = getattr(Path, call)

    def refuse(self: Path, *words: Any, **options: Any) -> Any:
        if "cache" in self.parts and (call == "mkdir" or "w" in "".join(map(str, words))):
            raise PermissionError(13, "Permission denied")
        return original(self, *words, **options)

    monkeypatch.setattr(Path, call, refuse)
    with pytest.raises(RetinalabError, match=r"Permission denied.*data\.cache=PATH"):
        made(root, tmp_path / "cache")
    monkeypatch.undo()
    assert made(root, tmp_path / "cache").usable.all()
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_the_default_folder_follows_the_users_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "retinalab"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "retinalab"


def masked(tmp_path: Path) -> tuple[PhotographSet, Records]:
    """Six photographs of which each has masks."""
    source = open_set("idrid", write_fake_set("idrid", tmp_path / "idrid", 12), {"task": "segmentation"})
    return source, source.records()


def test_photographs_prepared_with_masks_serve_without(tmp_path: Path, decodings: list[int]) -> None:
    source, records = masked(tmp_path)
    preparation = Preparation(SIZE, masks=True, folder=tmp_path / "cache")
    both = prepare(source, records, preparation)
    count = len(decodings)
    alone = prepare(source, records, replace(preparation, masks=False))
    assert len(decodings) == count == len(records) > 0
    assert (alone.folder, alone.masks) == (both.folder, False)
    rows = np.arange(len(records))
    plain = prepare(source, records, Preparation(SIZE, folder=tmp_path / "elsewhere"))
    assert np.array_equal(alone.images(rows), plain.images(rows))


def test_a_photograph_left_out_for_its_mask_is_prepared_without(tmp_path: Path) -> None:
    source, records = masked(tmp_path)
    fake_mask(next((tmp_path / "idrid").rglob("*_MA.tif")), (20, 20), shape=(50, 60))
    preparation = Preparation(SIZE, masks=True, folder=tmp_path / "cache")
    assert not prepare(source, records, preparation).usable.all()
    assert prepare(source, records, replace(preparation, masks=False)).usable.all()
