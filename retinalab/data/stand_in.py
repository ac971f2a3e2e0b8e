"""What stands in for photographs that are not prepared yet: noise of their size, to measure steps with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from retinalab.config import BackgroundConfig
from retinalab.data.averages import average_pixels
from retinalab.data.codec import Codec
from retinalab.data.shards import buffer
from retinalab.data.windows import cut_at
from retinalab.records import LESIONS

__all__ = ["StandIn", "stand_in"]

_DIFFERENT = 4
_NOT_JUDGED = (1 << len(LESIONS)) - 1


@dataclass(frozen=True)
class StandIn:
    """As many photographs as a data set has, every one of noise, none of them with a lesion that can be judged.

    Attributes:
        rows: how many.
        size: side of the working image, pixels.
        usable: ``(n,)`` bool, all True: what cannot be read is not known yet.
        reasons, codec: as a cache has them.
    """

    rows: int
    size: int
    usable: np.ndarray
    reasons: Mapping[int, str] = field(default_factory=dict)
    codec: Codec = "raw"

    @property
    def boxes(self) -> np.ndarray:
        """``(n, 3)`` float, nan: no square was cut."""
        return np.full((self.rows, 3), np.nan)

    @property
    def likeness(self) -> np.ndarray:
        """``(n, 4)`` uint64, 0: they resemble nothing."""
        return np.zeros((self.rows, 4), np.uint64)

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``(B, S, S, 3)`` uint8 RGB."""
        out = buffer(out, (len(rows), self.size, self.size, 3))
        for place, row in zip(out, rows, strict=True):
            place[...] = self._noise(int(row))
        return out

    def planes(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``(B, 2, S, S)`` uint8 lesion planes."""
        return self.plane_windows(rows, np.zeros((len(rows), 2), np.int64), self.size, out)

    def image_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """``(B, side, side, 3)`` uint8 RGB, black beyond the photograph."""
        out = buffer(out, (len(rows), side, side, 3))
        for place, row, (x, y) in zip(out, rows, corners, strict=True):
            place[...] = cut_at(self._noise(int(row)), int(x), int(y), side)
        return out

    def plane_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """``(B, 2, side, side)`` uint8; nothing is to be judged."""
        out = buffer(out, (len(rows), 2, side, side))
        out[:, 0], out[:, 1] = 0, _NOT_JUDGED
        return out

    def prepare_averages(self, rows: np.ndarray, background: BackgroundConfig) -> None:
        """Nothing is kept of them."""

    def average_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, background: BackgroundConfig
    ) -> np.ndarray:
        """``(B, side, side, 3)`` float32 in [0, 1]: pieces of reduced averages."""
        averages = average_pixels(self.images(rows), background)
        return np.stack(
            [cut_at(one, int(x), int(y), side) for one, (x, y) in zip(averages, corners, strict=True)]
        )

    def _noise(self, row: int) -> np.ndarray:
        return np.random.default_rng(row % _DIFFERENT).integers(
            0, 256, (self.size, self.size, 3), dtype=np.uint8
        )


def stand_in(photographs: int, size: int) -> StandIn:
    """For so many photographs, of a side in pixels, that :func:`~retinalab.data.prepare.prepare` was not asked for."""
    return StandIn(photographs, size, np.ones(photographs, bool))
