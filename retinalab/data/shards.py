"""Files of prepared photographs: fixed stride, so that a window is read without the rest of its photograph."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retinalab.errors import RetinalabError

__all__ = ["Layout", "buffer", "read_whole", "read_windows", "write_file"]


@dataclass(frozen=True)
class Layout:
    """One photograph's place in a file: planes, one after the other, of rows of interleaved channels.

    Attributes:
        suffix: of the files, ``00000.<suffix>``.
        photographs: in one file.
        planes, size, channels: ``(planes, size, size, channels)`` is the shape of one photograph.
        dtype: of every number.
        outside: of each plane, what stands beyond the border of the photograph.
    """

    suffix: str
    photographs: int
    planes: int
    size: int
    channels: int
    dtype: type[np.unsignedinteger] = np.uint8
    outside: tuple[int, ...] = (0,)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of one photograph."""
        return self.planes, self.size, self.size, self.channels

    @property
    def row_bytes(self) -> int:
        """Of one row of one plane."""
        return self.size * self.channels * np.dtype(self.dtype).itemsize


def buffer(out: np.ndarray | None, shape: tuple[int, ...], dtype: type[np.generic] = np.uint8) -> np.ndarray:
    """The caller's array, if it is fit to be written into; without one, a fresh array.

    Raises:
        ValueError: it has another shape or type, or is read-only.
    """
    if out is None:
        return np.empty(shape, dtype)
    if out.shape != shape or out.dtype != dtype or not out.flags.writeable:
        kind = "" if out.flags.writeable else "read-only "
        raise ValueError(
            f"out is a {kind}{out.dtype} array of {out.shape}; a writable {np.dtype(dtype)} one of {shape} is needed"
        )
    return out


def read_whole(folder: Path, layout: Layout, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Whole photographs.

    Shape:
        - ``rows``: ``(B,)`` int. Returns: ``(B, planes, size, size, channels)``, ``out`` if that is given.
    """
    corners = np.zeros((len(rows), 2), np.int64)
    return read_windows(folder, layout, rows, corners, layout.size, out)


def read_windows(
    folder: Path,
    layout: Layout,
    rows: np.ndarray,
    corners: np.ndarray,
    side: int,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Square windows; of each only the rows that it covers are read.

    Every call opens the files that it reads from, so that several threads may read at once.

    Args:
        folder: of the files.
        layout: of the files.
        rows: photographs.
        corners: upper left pixels; a window may leave its photograph.
        side: of the windows, pixels.
        out: written into and returned, if given.

    Shape:
        - ``rows``: ``(B,)`` int. ``corners``: ``(B, 2)`` int, x and y.
        - ``out`` and what is returned: ``(B, planes, side, side, channels)``.

    Raises:
        RetinalabError: a file is shorter than it was written.
        ValueError: ``out`` has another shape or type.
    """
    out = buffer(out, (len(rows), layout.planes, side, side, layout.channels), layout.dtype)
    size = layout.size
    with ExitStack() as opened:
        files: dict[int, int] = {}
        for window, row, (left, top) in zip(out, rows.tolist(), corners.tolist(), strict=True):
            shard, place = divmod(row, layout.photographs)
            if shard not in files:
                files[shard] = os.open(_path(folder, layout, shard), os.O_RDONLY)
                opened.callback(os.close, files[shard])
            x0, x1, y0, y1 = max(left, 0), min(left + side, size), max(top, 0), min(top + side, size)
            if x1 - x0 < side or y1 - y0 < side:
                window[...] = np.array(layout.outside, layout.dtype)[:, None, None, None]
            if x1 <= x0 or y1 <= y0:
                continue
            for number, plane in enumerate(window):
                first = (place * layout.planes + number) * size + y0
                into = plane[y0 - top : y1 - top, x0 - left : x1 - left]
                whole = into.flags.c_contiguous and x1 - x0 == size
                band = into if whole else np.empty((y1 - y0, size, layout.channels), layout.dtype)
                _read(files[shard], band, first * layout.row_bytes, _path(folder, layout, shard))
                if not whole:
                    into[...] = band[:, x0:x1]
    return out


def write_file(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: whoever finds the file finds all of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _path(folder: Path, layout: Layout, shard: int) -> Path:
    return folder / f"{shard:05d}.{layout.suffix}"


def _read(file: int, band: np.ndarray, offset: int, path: Path) -> None:
    view = band.data.cast("B")
    done = 0
    while done < len(view):
        count = os.preadv(file, [view[done:]], offset + done)
        if count == 0:
            raise RetinalabError(
                f"{path} is shorter than it was written. Remove {path.parent} and try again."
            )
        done += count
