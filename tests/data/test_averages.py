"""Stored local averages: those that the transform gives, of every photograph of a file, made once."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from retinalab.config import BackgroundConfig
from retinalab.data import averages
from retinalab.data.averages import average_pixels, prepare_averages, read_averages
from retinalab.data.files import write_file
from retinalab.data.shards import Layout
from retinalab.errors import RetinalabError
from retinalab.transforms.background import average_side, local_average

SIDE, COUNT = 50, 7
IMAGES = Layout("images", 3, 1, SIDE, 3)
GAUSSIAN = BackgroundConfig(scale=0.05)
MEDIAN = BackgroundConfig.model_validate({"kind": "median"})
Prepare = Callable[..., None]


@pytest.fixture
def pixels() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 60, (COUNT, SIDE, SIDE, 3))
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = np.hypot(x - 24.5, y - 24.5) < 24
    return ((noise + 20 * np.arange(COUNT)[:, None, None, None]) * inside[None, ..., None]).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    """Seven photographs in files of three, the last file shorter."""
    for shard in range(3):
        write_file(tmp_path / f"{shard:05d}.images", pixels[3 * shard : 3 * shard + 3].tobytes())
    return tmp_path


@pytest.mark.parametrize(
    ("background", "levels"), [(GAUSSIAN, 65535), (MEDIAN, 255)], ids=["gaussian", "median"]
)
def test_pieces_of_stored_averages_are_the_transforms(
    folder: Path, pixels: np.ndarray, background: BackgroundConfig, levels: int
) -> None:
    rows = np.array([6, 0, 4, 0])
    prepare_averages(folder, IMAGES, rows, background)
    side = average_side(SIDE, background)
    corners = np.array([[0, 0], [2, 1], [side - 5, side - 5], [0, 3]])
    found = read_averages(folder, IMAGES, rows, corners, 5, background)
    tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    whole = local_average(tensor, background).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(average_pixels(pixels, background), whole)
    for piece, row, (x, y) in zip(found, rows, corners, strict=True):
        assert np.abs(piece - whole[row, y : y + 5, x : x + 5]).max() <= 0.51 / levels
    if background is MEDIAN:
        assert np.allclose(found * 255, (found * 255).round(), atol=1e-4)


def made(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.average-*") if path.suffix != ".lock"}


def test_only_files_that_are_read_are_computed_and_each_average_has_its_own(folder: Path) -> None:
    prepare_averages(folder, IMAGES, np.array([3, 5]), GAUSSIAN)
    (first,) = made(folder)
    assert first.startswith("00001.")
    for same in (
        GAUSSIAN.model_copy(update={"gain": 2.0}),
        GAUSSIAN.model_copy(update={"circle": 0.9, "outside": "black"}),
    ):
        prepare_averages(folder, IMAGES, np.array([4]), same)
        assert made(folder) == {first}  # the average does not depend on what is done with it
    for other in (BackgroundConfig(scale=0.051), MEDIAN):
        prepare_averages(folder, IMAGES, np.array([4]), other)
    assert len(made(folder)) == 3
    assert not list(folder.glob("*.tmp"))


def test_who_comes_at_once_waits_and_computes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed, entered = [], threading.Event()
    original = averages._computed

    def slow(*given: Any) -> bytes:
        computed.append(int(given[3][0]) // 3)
        entered.wait(0.1)
        return original(*given)

    monkeypatch.setattr(averages, "_computed", slow)
    threads = [
        threading.Thread(target=prepare_averages, args=(folder, IMAGES, np.arange(COUNT), GAUSSIAN))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(computed) == [0, 1, 2]
    assert len(made(folder)) == 3


def test_a_folder_that_takes_no_more_is_said_and_what_is_there_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_averages(folder, IMAGES, np.array([0]), GAUSSIAN)

    def refused(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("os.replace", refused)
    prepare_averages(folder, IMAGES, np.array([0, 2]), GAUSSIAN)
    with pytest.raises(
        RetinalabError,
        match=r"Cannot write local averages to .*: Read-only file system\. .* data\.cache=PATH",
    ):
        prepare_averages(folder, IMAGES, np.array([0, 3]), GAUSSIAN)
    assert len(made(folder)) == 1


def test_a_lock_that_cannot_be_opened_is_the_same_refusal(folder: Path) -> None:
    name = averages._layout(IMAGES, GAUSSIAN).suffix
    (folder / f"00000.{name}.lock").mkdir(mode=stat.S_IRWXU)
    with pytest.raises(RetinalabError, match="Cannot write local averages"):
        prepare_averages(folder, IMAGES, np.array([0]), GAUSSIAN)


def test_a_cut_file_is_said(folder: Path) -> None:
    prepare_averages(folder, IMAGES, np.array([0]), MEDIAN)
    (name,) = made(folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(RetinalabError, match="is shorter than it was written"):
        read_averages(folder, IMAGES, np.array([2]), np.array([[0, 0]]), average_side(SIDE, MEDIAN), MEDIAN)
