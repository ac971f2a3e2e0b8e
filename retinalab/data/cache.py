"""Prepared photographs, read by row: whole or in windows, with their lesions and their local average colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from retinalab.config import BackgroundConfig
from retinalab.data.averages import prepare_averages, read_averages
from retinalab.data.codec import Codec
from retinalab.data.shard_reader import read_whole, read_windows
from retinalab.data.shards import Index, Layout
from retinalab.errors import RetinalabError

__all__ = ["PLANES", "SHARD", "Cache", "Prepared"]

SHARD = 64
"""Photographs in one file."""

PLANES = 2
"""Of a photograph: lesions present, and lesions not to be judged."""

_EVERYWHERE = 255


class Prepared(Protocol):
    """Prepared photographs by row, of one data set or of several.

    Pixels are written into ``out`` where that is given, an array of the shape and type that is returned else. Several
    threads may read at once.
    """

    @property
    def size(self) -> int:
        """Side of the working image, pixels."""

    @property
    def boxes(self) -> np.ndarray:
        """``(n, 3)`` float: the square cut from each file."""

    @property
    def likeness(self) -> np.ndarray:
        """``(n, 4)`` uint64: perceptual hashes."""

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``(B, S, S, 3)`` uint8 RGB."""

    def planes(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``(B, 2, S, S)`` uint8 lesion planes."""

    def image_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """``(B, side, side, 3)`` uint8 RGB, black beyond the photograph; corners are ``(B, 2)`` int, x and y."""

    def plane_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """``(B, 2, side, side)`` uint8; beyond the photograph nothing is to be judged."""

    def prepare_averages(self, rows: np.ndarray, background: BackgroundConfig) -> None:
        """Compute what is missing of these photographs' local average colours."""

    def average_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, background: BackgroundConfig
    ) -> np.ndarray:
        """``(B, side, side, 3)`` float32 in [0, 1]: pieces of reduced averages, within them."""


@dataclass(frozen=True)
class Cache:
    """Photographs of one data set at one working size.

    Attributes:
        folder: where the shards lie.
        size: side of the working image, pixels.
        masks: whether lesion planes lie beside the photographs.
        rows: number of photographs that it was asked for.
        usable: ``(n,)`` bool; False where a photograph could not be read or has no field of view.
        boxes: ``(n, 3)`` float: x, y of the upper left corner and side of the square cut from the file, in its pixels.
        reasons: row -> why it is not usable.
        likeness: ``(n, 4)`` uint64: perceptual hashes (:mod:`retinalab.data.likeness`); 0 where not usable.
        codec: that the photographs are written in.
        image_index, plane_index: where they and their lesions lie; without one, raw and unchecked.
    """

    folder: Path
    size: int
    masks: bool
    rows: int
    usable: np.ndarray
    boxes: np.ndarray
    reasons: dict[int, str]
    likeness: np.ndarray
    codec: Codec = "raw"
    image_index: Index | None = None
    plane_index: Index | None = None

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``(B, S, S, 3)`` uint8 RGB."""
        into = None if out is None else out[:, None]
        return read_whole(self.folder, self._image_layout, rows, into, self.image_index)[:, 0]

    def planes(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``(B, 2, S, S)`` uint8: bit i of plane 0 is lesion i; of plane 1, that lesion i is not to be judged there."""
        into = None if out is None else out[..., None]
        return read_whole(self.folder, self._plane_layout, rows, into, self.plane_index)[..., 0]

    def image_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """``(B, side, side, 3)`` uint8 RGB, black beyond the photograph; corners are ``(B, 2)`` int, x and y."""
        into, index = None if out is None else out[:, None], self.image_index
        return read_windows(self.folder, self._image_layout, rows, corners, side, into, index)[:, 0]

    def plane_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """``(B, 2, side, side)`` uint8; beyond the photograph nothing is to be judged."""
        into, index = None if out is None else out[..., None], self.plane_index
        return read_windows(self.folder, self._plane_layout, rows, corners, side, into, index)[..., 0]

    def prepare_averages(self, rows: np.ndarray, background: BackgroundConfig) -> None:
        """Compute what is missing of these photographs' local average colours."""
        prepare_averages(self.folder, self._image_layout, rows, background, self.image_index)

    def average_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, background: BackgroundConfig
    ) -> np.ndarray:
        """``(B, side, side, 3)`` float32 in [0, 1]: pieces of reduced averages, within them."""
        return read_averages(self.folder, self._image_layout, rows, corners, side, background)

    @property
    def _image_layout(self) -> Layout:
        return Layout("images", SHARD, 1, self.size, 3, codec=self.codec)

    @property
    def _plane_layout(self) -> Layout:
        if not self.masks:
            raise RetinalabError("These photographs were prepared without lesion masks. Set data.masks=true.")
        codec: Codec = "raw" if self.plane_index is None else "zstd"
        return Layout("planes", SHARD, PLANES, self.size, 1, outside=(0, _EVERYWHERE), codec=codec)
