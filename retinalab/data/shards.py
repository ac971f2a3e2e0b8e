"""What files of prepared photographs hold, and where each photograph lies in them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np

from retinalab.data.codec import Codec

__all__ = ["Index", "Layout", "buffer", "checksum"]


@dataclass(frozen=True)
class Layout:
    """One photograph's place in a file: planes, one after the other, of rows of interleaved channels.

    Attributes:
        suffix: of the files, ``00000.<suffix>``.
        photographs: in one file.
        planes, size, channels: ``(planes, size, size, channels)`` is the shape of one photograph.
        dtype: of every number.
        outside: of each plane, what stands beyond the border of the photograph.
        codec: that they are written in.
    """

    suffix: str
    photographs: int
    planes: int
    size: int
    channels: int
    dtype: type[np.unsignedinteger] = np.uint8
    outside: tuple[int, ...] = (0,)
    codec: Codec = "raw"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of one photograph."""
        return self.planes, self.size, self.size, self.channels

    @property
    def row_bytes(self) -> int:
        """Of one row of one plane."""
        return self.size * self.channels * np.dtype(self.dtype).itemsize

    @property
    def stride(self) -> int:
        """Bytes of one raw photograph."""
        return self.planes * self.size * self.row_bytes


@dataclass(frozen=True)
class Index:
    """Where photographs end within their files, and what their bytes add up to.

    Attributes:
        ends: ``(n,)`` int64, bytes.
        sums: ``(n,)`` uint32, :func:`checksum` of the bytes as they are written.
        found_right: ``(n,)`` bool: raw photographs that this process has checked; coded ones are checked whenever they
            are read, since they are small.
    """

    ends: np.ndarray
    sums: np.ndarray
    found_right: np.ndarray = field(repr=False)


def checksum(content: bytes | memoryview) -> int:
    """CRC-32."""
    return zlib.crc32(content)


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
