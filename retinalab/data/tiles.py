"""Maps of whole photographs from the maps of their tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from retinalab.config import DataConfig
from retinalab.data.windows import grid_windows

__all__ = ["JoinedMaps", "Tiles"]


@dataclass(frozen=True)
class Tiles:
    """The grid of windows that covers every photograph alike; rows of its window table go photograph by photograph.

    Attributes:
        side: of the photograph, pixels of the working image.
        size: of a tile.
        corners: ``(T, 2)`` int64, x and y of the upper left corner of each tile.
    """

    side: int
    size: int
    corners: np.ndarray

    @classmethod
    def of(cls, data: DataConfig) -> Tiles | None:
        """The tiles of a data section; None where it takes photographs whole, or windows round lesions."""
        windows = data.windows
        if windows is None or windows.kind != "grid":
            return None
        table = grid_windows(1, data.size, windows.size, windows.stride or windows.size)
        return cls(data.size, windows.size, table[["x", "y"]].to_numpy(np.int64) - windows.size // 2)

    def __len__(self) -> int:
        return len(self.corners)

    def nearest(self) -> np.ndarray:
        """``(T, 4)`` int64: left, top, right and bottom of the pixels of each tile that no other's centre is nearer to.

        They part the photograph: whatever is counted on them alone counts every pixel once.

        Example:
            >>> Tiles.of(DataConfig(size=24, windows={"size": 16})).nearest().tolist()
            [[0, 0, 12, 12], [4, 0, 16, 12], [0, 4, 12, 16], [4, 4, 16, 16]]
        """
        starts = np.unique(self.corners[:, 0]).tolist()
        edges = [starts[0], *((a + b + self.size) // 2 for a, b in pairwise(starts)), starts[-1] + self.size]
        spans = {
            start: (low - start, high - start)
            for start, (low, high) in zip(starts, pairwise(edges), strict=True)
        }
        both = [(spans[x], spans[y]) for x, y in self.corners.tolist()]
        return np.array([(left, top, right, bottom) for (left, right), (top, bottom) in both])


class JoinedMaps:
    """Puts maps together as tiles come in; where tiles overlap, their mean.

    Only photographs of which some tiles are still to come are kept.

    Args:
        tiles: where they lie.
    """

    def __init__(self, tiles: Tiles) -> None:
        self.tiles = tiles
        times = torch.zeros(tiles.side, tiles.side)
        for x, y in tiles.corners.tolist():
            times[y : y + tiles.size, x : x + tiles.size] += 1
        self._times = times
        self._open: dict[int, tuple[Tensor, int]] = {}

    def add(self, rows: Sequence[int], maps: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Take the maps of some tiles, and give the photographs that they complete.

        Args:
            rows: of the window table.
            maps: of these tiles.

        Shape:
            - ``maps``: ``(B, C, t, t)``, float.
            - Yields: position of the photograph in its part, and ``(C, S, S)`` float32.
        """
        size, side = self.tiles.size, self.tiles.side
        for row, one in zip(rows, maps.float(), strict=True):
            photograph, tile = divmod(row, len(self.tiles))
            if photograph not in self._open:
                self._open[photograph] = one.new_zeros(len(one), side, side), 0
            total, seen = self._open[photograph]
            x, y = self.tiles.corners[tile].tolist()
            total[:, y : y + size, x : x + size] += one
            self._open[photograph] = total, seen + 1
            if seen + 1 == len(self.tiles):
                del self._open[photograph]
                yield photograph, total / self._times.to(total.device)
