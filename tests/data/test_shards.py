"""Windows of files against padded arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinalab.data.files import write_file
from retinalab.data.shard_reader import read_whole, read_windows
from retinalab.data.shards import Layout
from retinalab.errors import RetinalabError

PHOTOGRAPHS, PLANES, SIDE, CHANNELS = 7, 2, 12, 3
OUTSIDE = (9, 255)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, Layout]:
    """Seven photographs of two planes in files of three."""
    folder = tmp_path_factory.mktemp("shards")
    pixels = np.random.default_rng(0).integers(0, 60_000, (PHOTOGRAPHS, PLANES, SIDE, SIDE, CHANNELS))
    pixels = pixels.astype(np.uint16)
    for shard in range(3):
        write_file(folder / f"{shard:05d}.sort", pixels[shard * 3 : shard * 3 + 3].tobytes())
    return folder, pixels, Layout("sort", 3, PLANES, SIDE, CHANNELS, np.uint16, OUTSIDE)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, PHOTOGRAPHS - 1), st.integers(-20, 20), st.integers(-20, 20)),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 2 * SIDE),
)
def test_a_window_is_the_padded_photograph_from_its_corner(
    stored: tuple[Path, np.ndarray, Layout], wanted: list[tuple[int, int, int]], side: int
) -> None:
    folder, pixels, layout = stored
    rows, corners = np.array([w[0] for w in wanted]), np.array([w[1:] for w in wanted])
    found = read_windows(folder, layout, rows, corners, side)
    assert found.dtype == np.uint16
    for window, row, (left, top) in zip(found, rows, corners, strict=True):
        for plane, value in enumerate(OUTSIDE):
            padded = np.pad(pixels[row, plane], ((50, 50), (50, 50), (0, 0)), constant_values=value)
            assert np.array_equal(window[plane], padded[top + 50 :, left + 50 :][:side, :side])


def test_whole_photographs(stored: tuple[Path, np.ndarray, Layout]) -> None:
    folder, pixels, layout = stored
    assert np.array_equal(read_whole(folder, layout, np.array([6, 0, 3])), pixels[[6, 0, 3]])
    assert read_whole(folder, layout, np.array([], int)).shape == (0, PLANES, SIDE, SIDE, CHANNELS)


def test_pixels_are_written_into_the_array_that_is_given(stored: tuple[Path, np.ndarray, Layout]) -> None:
    folder, pixels, layout = stored
    rows, corners = np.array([6, 0, 3]), np.array([[-3, 2], [0, 0], [5, -4]])
    whole = np.full((3, PLANES, SIDE, SIDE, CHANNELS), 7, np.uint16)
    assert read_whole(folder, layout, rows, whole) is whole
    assert np.array_equal(whole, pixels[rows])
    expected = read_windows(folder, layout, rows, corners, SIDE)
    strided = np.zeros((6, PLANES, 2 * SIDE, SIDE + 1, CHANNELS), np.uint16)
    read_windows(folder, layout, rows, corners, SIDE, strided[::2, :, ::2, 1:])
    assert np.array_equal(strided[::2, :, ::2, 1:], expected)
    assert not strided[1::2].any()
    assert not strided[:, :, 1::2].any()
    assert not strided[..., 0, :].any()


def test_an_array_that_does_not_fit_is_refused(stored: tuple[Path, np.ndarray, Layout]) -> None:
    folder, _, layout = stored
    whole = np.zeros((2, PLANES, SIDE, SIDE, CHANNELS), np.uint16)
    fixed = whole.copy()
    fixed.flags.writeable = False
    for wrong in (whole[:1], whole[..., :1], whole.astype(np.int16), fixed):
        with pytest.raises(ValueError, match=r"out is a .* a writable uint16 one of"):
            read_whole(folder, layout, np.array([0, 1]), wrong)


def test_the_system_is_told_what_a_batch_will_read_unless_it_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout("plain", 3, 1, SIDE, CHANNELS)
    pixels = np.random.default_rng(1).integers(0, 256, (3, *layout.shape), np.uint8)
    write_file(tmp_path / "00000.plain", pixels.tobytes())
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda file, first, length, advice: told.append((first, length)))
    preadv = os.preadv

    def cold(file: int, buffers: Sequence[Any], offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT:
            raise BlockingIOError
        return preadv(file, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", cold)
    row = SIDE * CHANNELS
    assert np.array_equal(read_whole(tmp_path, layout, np.array([2, 0, 2])), pixels[[2, 0, 2]])
    assert told == [(2 * SIDE * row, SIDE * row), (0, SIDE * row)]
    told.clear()
    corners = np.array([[0, 4], [0, -3], [0, 11], [5, SIDE]])
    read_windows(tmp_path, layout, np.array([0, 1, 2, 2]), corners, 5)
    assert told == [(4 * row, 5 * row), ((SIDE + 0) * row, 2 * row), ((2 * SIDE + 11) * row, row)]
    told.clear()
    read_whole(tmp_path, layout, np.array([1]))
    monkeypatch.setattr(os, "preadv", preadv)
    read_whole(tmp_path, layout, np.array([0, 1, 2]))
    assert told == []


def test_several_threads_read_at_once(stored: tuple[Path, np.ndarray, Layout]) -> None:
    folder, pixels, layout = stored
    several = [np.random.default_rng(seed).integers(0, PHOTOGRAPHS, 5) for seed in range(64)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda rows: read_whole(folder, layout, rows), several))
    for rows, read in zip(several, found, strict=True):
        assert np.array_equal(read, pixels[rows])


def test_a_cut_file_is_said_and_a_broken_write_leaves_none(
    stored: tuple[Path, np.ndarray, Layout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, pixels, layout = stored
    content = pixels[:3].tobytes()
    write_file(tmp_path / "00000.sort", content[:-1])
    assert np.array_equal(read_whole(tmp_path, layout, np.array([1])), pixels[[1]])
    with pytest.raises(RetinalabError, match=r"00000\.sort is shorter than it was written\. Remove"):
        read_whole(tmp_path, layout, np.array([2]))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "00001.sort", content)
    assert [path.name for path in tmp_path.iterdir()] == ["00000.sort"]
