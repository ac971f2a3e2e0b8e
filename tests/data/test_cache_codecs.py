"""Prepared photographs in every codec: the same pixels, one copy of them, and no damage that goes unnoticed."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retinalab.config import BackgroundConfig, DataConfig
from retinalab.data import cache as reading
from retinalab.data import prepare as preparing
from retinalab.data import space
from retinalab.data.cache import Cache
from retinalab.data.codec import CODECS, as_kept
from retinalab.data.module import FundusDataModule
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.testing import write_fake_set

SIZE = 40
COUNT = 6
ROWS = np.arange(COUNT)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reading, preparing):
        monkeypatch.setattr(module, "SHARD", 4)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_set("idrid", tmp_path_factory.mktemp("set") / "idrid", COUNT)


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def made(root: Path, parent: Path, codec: str, masks: bool = True) -> Cache:
    source = open_set("idrid", root, {"task": "segmentation"})
    preparation = Preparation(SIZE, masks, folder=parent, codec=codec)
    return prepare(source, source.records(), preparation, processes=1)


def unchecked(cache: Cache) -> Cache:
    """As another process finds it, which has checked nothing yet."""
    kinds = ("image_index", "plane_index")
    fresh = {kind: replace(getattr(cache, kind), found_right=np.zeros(cache.rows, bool)) for kind in kinds}
    return replace(cache, **fresh)


def pixels_of(cache: Cache) -> list[np.ndarray]:
    rows, corners = np.array([5, 2, 2, 0]), np.array([[-5, 3], [10, 10], [30, 0], [60, 60]])
    return [
        cache.images(ROWS),
        cache.planes(ROWS),
        cache.images(np.array([4, 4, 1])),
        cache.image_windows(rows, corners, 16),
        cache.plane_windows(rows, corners, 16),
    ]


def test_codecs_without_loss_give_the_same_pixels_whole_and_in_windows(root: Path, parent: Path) -> None:
    raw, delta = (made(root, parent, codec) for codec in ("raw", "delta"))
    assert raw.folder != delta.folder
    assert raw.images(ROWS).std() > 10
    assert raw.planes(ROWS)[:, 0].any()
    for one, other in zip(pixels_of(raw), pixels_of(delta), strict=True):
        assert np.array_equal(one, other)
    sizes = [sum(p.stat().st_size for p in c.folder.glob("*.images")) for c in (raw, delta)]
    assert sizes[0] == COUNT * SIZE * SIZE * 3 > sizes[1]


def test_lossy_photographs_have_lossless_lesions_and_are_those_of_the_codec(root: Path, parent: Path) -> None:
    raw, jpeg = made(root, parent, "raw"), made(root, parent, "jpeg")
    assert np.array_equal(jpeg.planes(ROWS), raw.planes(ROWS))
    assert not np.array_equal(jpeg.images(ROWS), raw.images(ROWS))
    assert np.array_equal(jpeg.images(ROWS), as_kept("jpeg", raw.images(ROWS)))


@pytest.mark.parametrize("codec", CODECS)
def test_pixels_are_written_into_buffers_that_are_used_again(root: Path, parent: Path, codec: str) -> None:
    cache = made(root, parent, codec)
    images, planes = cache.images(ROWS), cache.planes(ROWS)
    out = np.full((3, SIZE, SIZE, 3), 99, np.uint8)
    lesions = np.full((3, 2, SIZE, SIZE), 99, np.uint8)
    for rows in (np.array([5, 0, 5]), np.array([1, 2, 3])):
        assert np.shares_memory(cache.images(rows, out), out)
        cache.planes(rows, lesions)
        assert np.array_equal(out, images[rows])
        assert np.array_equal(lesions, planes[rows])
    with pytest.raises(ValueError, match="out is a"):
        cache.images(rows, out[:, :-1])


@pytest.mark.parametrize("codec", ["raw", "delta"])
def test_what_is_there_without_loss_is_not_written_again(root: Path, parent: Path, codec: str) -> None:
    first = made(root, parent, codec)
    assert made(root, parent, "auto").folder == first.folder
    assert [path for path in parent.iterdir() if path.is_dir()] == [first.folder]
    assert made(root, parent, codec).folder == first.folder


def test_lossy_photographs_are_for_those_who_ask_only(root: Path, parent: Path) -> None:
    jpeg = made(root, parent, "jpeg")
    for codec in ("auto", "raw", "delta"):
        assert made(root, parent, codec).folder != jpeg.folder


@pytest.mark.parametrize(("memory", "codec"), [(10**12, "raw"), (10_000, "delta")])
def test_auto_is_raw_where_it_fits(
    root: Path, parent: Path, monkeypatch: pytest.MonkeyPatch, memory: int, codec: str
) -> None:
    monkeypatch.setattr(space, "available_memory", lambda: memory)
    cache = made(root, parent, "auto")
    assert cache.codec == codec
    monkeypatch.setattr(space, "available_memory", lambda: 10**12 - memory)
    (cache.folder / "00001.json").unlink()
    assert made(root, parent, "auto").folder == cache.folder  # what was begun is gone on with


def test_raw_photographs_of_the_former_format_are_read(
    root: Path, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written here by hand: plain bytes of photographs and planes, descriptions without an index."""
    cache = made(root, parent, "raw")
    images, planes = cache.images(ROWS), cache.planes(ROWS)
    source = open_set("idrid", root, {"task": "segmentation"})
    former = parent / preparing._names(source, source.records(), Preparation(SIZE, masks=True))[1]
    former.mkdir()
    for shard, path in enumerate(sorted(cache.folder.glob("*.json"))):
        own = slice(4 * shard, 4 * shard + 4)
        (former / f"{path.stem}.images").write_bytes(images[own].tobytes())
        (former / f"{path.stem}.planes").write_bytes(planes[own].tobytes())
        described = json.loads(path.read_text())
        kept = {"format": 2, "photographs": described["photographs"]}
        (former / path.name).write_text(json.dumps(kept))
    shutil.rmtree(cache.folder)
    found = made(root, parent, "auto")
    assert found.folder == former
    assert np.array_equal(found.images(ROWS), images)
    assert np.array_equal(found.planes(ROWS), planes)
    (former / "00001.json").unlink()
    assert made(root, parent, "auto").folder == cache.folder


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", ["images", "planes"])
def test_a_flipped_bit_is_named_wherever_it_is_and_the_remedy_works(
    root: Path, parent: Path, codec: str, suffix: str
) -> None:
    whole = made(root, parent, codec)
    images, planes = whole.images(ROWS), whole.planes(ROWS)
    path = whole.folder / f"00001.{suffix}"
    content = path.read_bytes()
    told = rf"^\S+00001\.{suffix} is damaged at photograph .*\. Remove it and try again\.$"
    rng = np.random.default_rng(0)
    corner, rows = np.zeros((2, 2), int), np.array([4, 5])
    for place in rng.integers(0, len(content), 25).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(damaged))
        cache = unchecked(whole)
        with pytest.raises(RetinalabError, match=told):
            getattr(cache, suffix)(rows)
        with pytest.raises(RetinalabError, match=told):
            getattr(cache, f"{suffix[:-1]}_windows")(rows, corner, 4)
    path.unlink()
    again = made(root, parent, codec)
    assert path.read_bytes() == content
    assert np.array_equal(again.images(ROWS), images)
    assert np.array_equal(again.planes(ROWS), planes)


@pytest.mark.parametrize("codec", CODECS)
def test_a_cut_or_missing_file_and_a_broken_description_are_named(
    root: Path, parent: Path, codec: str
) -> None:
    cache = made(root, parent, codec)
    path = cache.folder / "00001.images"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(RetinalabError, match=r"00001\.images is shorter than it was written\. Remove it"):
        cache.images(np.array([5]))
    path.unlink()
    with pytest.raises(RetinalabError, match=r"00001\.images is missing\. Remove"):
        cache.images(np.array([5]))
    assert np.array_equal(made(root, parent, codec).images(ROWS), cache.images(ROWS))
    described = path.with_suffix(".json")
    known = json.loads(described.read_text())
    ends = known["files"]["images"]["ends"]
    for wrong in (
        "",
        "{",
        "[]",
        '{"photographs": 1}',
        {"ends": ends[:-1]},
        {"ends": ends[::-1]},
        {"sums": []},
    ):
        if isinstance(wrong, dict):
            files = {**known["files"], "images": {**known["files"]["images"], **wrong}}
            wrong = json.dumps({**known, "files": files})
        described.write_text(wrong)
        with pytest.raises(RetinalabError, match=r"00001\.json is damaged\. Remove it and try again\."):
            made(root, parent, codec)
    described.unlink()
    made(root, parent, codec)
    assert path.read_bytes() == content


def test_local_averages_are_those_of_raw_photographs(root: Path, parent: Path) -> None:
    background = BackgroundConfig(scale=0.05)
    corners = np.zeros((COUNT, 2), int)
    found = []
    for codec in ("raw", "delta"):
        cache = made(root, parent, codec, masks=False)
        cache.prepare_averages(ROWS, background)
        found.append(cache.average_windows(ROWS, corners, 5, background))
    assert found[0].std() > 0
    assert np.array_equal(*found)


def test_the_size_is_told_before_anything_is_prepared(
    root: Path, parent: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(preparing, "_run", lambda *_: told.extend(caplog.messages))
    with caplog.at_level(logging.INFO, "retinalab"), pytest.raises(FileNotFoundError):
        made(root, parent, "raw", masks=False)
    assert told[-1] == "preparing 6 photographs of idrid at 40 px: 29 kB raw"


@pytest.mark.parametrize("codec", CODECS)
def test_a_run_says_that_its_photographs_are_lossy(root: Path, parent: Path, codec: str) -> None:
    options = {"task": "segmentation"}
    data = DataConfig(set="idrid", root=root, options=options, size=SIZE, cache=parent, codec=codec)
    notes = FundusDataModule(data, Protocol(diseases={"dr": "icdr5"})).parts.notes
    lossy = [note for note in notes if "JPEG (quality 95, 4:4:4)" in note and "data.codec=jpeg" in note]
    assert len(lossy) == (codec == "jpeg")
