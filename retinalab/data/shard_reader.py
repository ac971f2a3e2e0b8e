"""Reading prepared photographs by row: whole or in windows.

Raw photographs have a fixed stride, so that a window is read without the rest of its photograph. Of coded ones an index
says where each lies; a window of them costs decoding its photograph.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from retinalab.data.codec import decode_into
from retinalab.data.files import folder_there
from retinalab.data.shards import Index, Layout, buffer, checksum
from retinalab.errors import RetinalabError

__all__ = ["read_whole", "read_windows"]


def read_whole(
    folder: Path,
    layout: Layout,
    rows: np.ndarray,
    out: np.ndarray | None = None,
    index: Index | None = None,
) -> np.ndarray:
    """Whole photographs.

    Shape:
        - ``rows``: ``(B,)`` int. Returns: ``(B, planes, size, size, channels)``, ``out`` if that is given.
    """
    corners = np.zeros((len(rows), 2), np.int64)
    return read_windows(folder, layout, rows, corners, layout.size, out, index)


def read_windows(
    folder: Path,
    layout: Layout,
    rows: np.ndarray,
    corners: np.ndarray,
    side: int,
    out: np.ndarray | None = None,
    index: Index | None = None,
) -> np.ndarray:
    """Square windows; of each raw one only the rows that it covers are read.

    Every call opens the files that it reads from, so that several threads may read at once.

    Args:
        folder: of the files.
        layout: of the files.
        rows: photographs.
        corners: upper left pixels; a window may leave its photograph.
        side: of the windows, pixels.
        out: written into and returned, if given.
        index: of the photographs; without one they are raw, and only the length of their files is checked.

    Shape:
        - ``rows``: ``(B,)`` int. ``corners``: ``(B, 2)`` int, x and y.
        - ``out`` and what is returned: ``(B, planes, side, side, channels)``.

    Raises:
        RetinalabError: a file is missing, a folder, shorter than it was written, or holds other bytes.
        ValueError: ``out`` has another shape or type.
    """
    out = buffer(out, (len(rows), layout.planes, side, side, layout.channels), layout.dtype)
    with ExitStack() as opened:
        files = _Files(folder, layout, index, opened)
        places = _not_at_hand(files, rows, corners, out)
        if places:
            _fetch(files, rows, corners, out, places)
    return out


def _not_at_hand(files: _Files, rows: np.ndarray, corners: np.ndarray, out: np.ndarray) -> list[int]:
    """Fill what lies in memory raw and checked, without waiting for a disk; the places that are left."""
    layout, index = files.layout, files.index
    if layout.codec != "raw":
        return list(range(len(rows)))
    checked = np.ones(len(rows), bool) if index is None else index.found_right[rows]
    if out.shape[2] == layout.size and out.flags.c_contiguous and not corners.any():
        return files.read_raw(rows, checked, out)
    left = []
    for place, row in enumerate(rows.tolist()):
        x, y = corners[place].tolist()
        if not checked[place] or not _read_bands(files, row, out[place], x, y, wait=False):
            left.append(place)
    return left


def _fetch(files: _Files, rows: np.ndarray, corners: np.ndarray, out: np.ndarray, places: list[int]) -> None:
    """Fill places from the disk, of which all are told to the system first; what is not known yet is checked."""
    layout, index, side = files.layout, files.index, out.shape[2]
    grouped: dict[int, list[int]] = {}
    for place in places:
        grouped.setdefault(int(rows[place]), []).append(place)
    if len(grouped) > 1:
        for row, those in grouped.items():
            files.expect(row, min(int(corners[place, 1]) for place in those), side)
    for row, those in grouped.items():
        if layout.codec == "raw" and (index is None or bool(index.found_right[row])):
            for place in those:
                _read_bands(files, row, out[place], *corners[place].tolist())
            continue
        whole = [
            place
            for place in those
            if side == layout.size and not corners[place].any() and out[place].flags.c_contiguous
        ]
        photograph = out[whole[0]] if whole else np.empty(layout.shape, layout.dtype)
        files.read_photograph(row, photograph)
        for place in those:
            if place not in whole[:1]:
                _cut(layout, photograph, out[place], *corners[place].tolist())


class _Files:
    """The files that one call reads from, each opened once."""

    def __init__(self, folder: Path, layout: Layout, index: Index | None, opened: ExitStack) -> None:
        self.folder = folder
        self.layout = layout
        self.index = index
        self._opened = opened
        self._files: dict[int, int] = {}

    def expect(self, row: int, top: int, side: int) -> None:
        """Tell the system what will be read unless it lies in memory, so that the disk works on a whole batch at once.

        Args:
            row: photograph.
            top, side: its rows of pixels that will be read; of several windows the upper one stands for all.
        """
        first, last = self._extent(row)
        if self.layout.codec == "raw" and self.layout.planes == 1:
            y0, y1 = (min(max(y, 0), self.layout.size) * self.layout.row_bytes for y in (top, top + side))
            first, last = first + y0, first + y1
        if last > first and not _in_memory(file := self._file(row), first):
            os.posix_fadvise(file, first, last - first, os.POSIX_FADV_WILLNEED)

    def read(self, row: int, first: int, into: np.ndarray, wait: bool = True) -> bool:
        """Fill an array with the bytes from ``first`` on of the file that a photograph lies in.

        Args:
            row: photograph.
            first: byte.
            into: the array.
            wait: for the disk; without it, what does not lie in memory is left out.

        Returns:
            Whether it is filled.
        """
        file, view = self._file(row), into.data.cast("B")
        if not wait:
            try:
                return os.preadv(file, [view], first, os.RWF_NOWAIT) == len(view)
            except OSError:
                return False
        done = 0
        while done < len(view):
            try:
                count = os.preadv(file, [view[done:]], first + done)
            except IsADirectoryError as error:  # opening one for reading is no fault yet
                raise folder_there(self.path(row)) from error
            if count == 0:
                raise RetinalabError(
                    f"{self.path(row)} is shorter than it was written. Remove it and try again."
                )
            done += count
        return True

    def read_raw(self, rows: np.ndarray, wanted: np.ndarray, out: np.ndarray) -> list[int]:
        """Fill whole photographs that are wanted and lie in memory; the places of all others.

        One call of the system and little else for each: copying a small photograph takes some 30 µs.

        Shape:
            - ``rows``: ``(B,)`` int. ``wanted``: ``(B,)`` bool. ``out``: ``(B, ...)``, contiguous.
        """
        if not len(rows):
            return []
        count, stride = self.layout.photographs, self.layout.stride
        view, left = out.reshape(-1).data.cast("B"), []
        shards, offsets = (rows // count).tolist(), (rows % count * stride).tolist()
        for place, (shard, first, known) in enumerate(zip(shards, offsets, wanted.tolist(), strict=True)):
            into = view[place * stride : (place + 1) * stride]
            try:
                done = known and os.preadv(self._shard(shard), [into], first, os.RWF_NOWAIT)
            except OSError:
                done = 0
            if done != stride:
                left.append(place)
        return left

    def read_photograph(self, row: int, into: np.ndarray) -> None:
        """Read, check and decode a photograph that has an index."""
        layout, index = self.layout, self.index
        if index is None:
            raise ValueError(f"photographs in {layout.codec} cannot be read without an index")
        first, last = self._extent(row)
        raw = layout.codec == "raw"
        content = into if raw else np.empty(last - first, np.uint8)
        self.read(row, first, content)
        try:
            if checksum(content.data) != index.sums[row]:
                raise ValueError("its checksum is another one")
            if not raw:
                decode_into(layout.codec, content, into)
        except ValueError as error:
            raise RetinalabError(
                f"{self.path(row)} is damaged at photograph {row % layout.photographs} of {layout.photographs}: "
                f"{error}. Remove it and try again."
            ) from error
        index.found_right[row] = True

    def _extent(self, row: int) -> tuple[int, int]:
        """Where a photograph begins and ends in its file."""
        place = row % self.layout.photographs
        if self.index is None:
            return place * self.layout.stride, (place + 1) * self.layout.stride
        return int(self.index.ends[row - 1]) if place else 0, int(self.index.ends[row])

    def _file(self, row: int) -> int:
        return self._shard(row // self.layout.photographs)

    def _shard(self, shard: int) -> int:
        file = self._files.get(shard)
        if file is None:
            path = self._path(shard)
            try:
                file = self._files[shard] = os.open(path, os.O_RDONLY)
            except FileNotFoundError as error:
                raise RetinalabError(f"{path} is missing. Remove {self.folder} and try again.") from error
            self._opened.callback(os.close, file)
        return file

    def path(self, row: int) -> Path:
        """Of the file that a photograph lies in."""
        return self._path(row // self.layout.photographs)

    def _path(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.{self.layout.suffix}"


def _in_memory(file: int, first: int) -> bool:
    """Whether the system holds a byte of a file; where it cannot say, it does not."""
    try:
        return os.preadv(file, [bytearray(1)], first, os.RWF_NOWAIT) == 1
    except OSError:
        return False


def _read_bands(files: _Files, row: int, window: np.ndarray, left: int, top: int, wait: bool = True) -> bool:
    """Read a window of a raw photograph; False where it does not lie in memory and nobody waits for the disk."""
    layout = files.layout
    x0, x1, y0, y1 = _covered(layout, window, left, top)
    if x1 <= x0 or y1 <= y0:
        return True
    for number, plane in enumerate(window):
        first = (row % layout.photographs * layout.planes + number) * layout.size + y0
        into = plane[y0 - top : y1 - top, x0 - left : x1 - left]
        whole = into.flags.c_contiguous and x1 - x0 == layout.size
        band = into if whole else np.empty((y1 - y0, layout.size, layout.channels), layout.dtype)
        if not files.read(row, first * layout.row_bytes, band, wait):
            return False
        if not whole:
            into[...] = band[:, x0:x1]
    return True


def _cut(layout: Layout, photograph: np.ndarray, window: np.ndarray, left: int, top: int) -> None:
    x0, x1, y0, y1 = _covered(layout, window, left, top)
    if x1 > x0 and y1 > y0:
        window[:, y0 - top : y1 - top, x0 - left : x1 - left] = photograph[:, y0:y1, x0:x1]


def _covered(layout: Layout, window: np.ndarray, left: int, top: int) -> tuple[int, int, int, int]:
    """The part of a photograph that a window covers; the window beyond it is filled."""
    side, size = window.shape[1], layout.size
    x0, x1, y0, y1 = max(left, 0), min(left + side, size), max(top, 0), min(top + side, size)
    if x1 - x0 < side or y1 - y0 < side:
        window[...] = np.array(layout.outside, layout.dtype)[:, None, None, None]
    return x0, x1, y0, y1
