"""Several data sets as one: their records one below the other, their prepared photographs behind one door."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retinalab.config import BackgroundConfig
from retinalab.data.cache import Prepared
from retinalab.data.part import Part
from retinalab.data.shards import buffer
from retinalab.data.splits import Split
from retinalab.records import Records

__all__ = ["PooledCache", "pooled_part", "pooled_records", "pooled_split"]


@dataclass(frozen=True)
class PooledCache:
    """Prepared photographs of several data sets, one size; rows run on from one to the next.

    Attributes:
        caches: of each set, in order.
    """

    caches: tuple[Prepared, ...]

    @property
    def size(self) -> int:
        """Side of the working image, pixels."""
        return self.caches[0].size

    @property
    def boxes(self) -> np.ndarray:
        """``(n, 3)`` float: x, y of the upper left corner and side of the square cut from each file."""
        return np.concatenate([cache.boxes for cache in self.caches])

    @property
    def likeness(self) -> np.ndarray:
        """``(n, 4)`` uint64: perceptual hashes."""
        return np.concatenate([cache.likeness for cache in self.caches])

    @property
    def offsets(self) -> np.ndarray:
        """First row of each set, and one past the last."""
        return np.cumsum([0, *(len(cache.likeness) for cache in self.caches)])

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``(B, S, S, 3)`` uint8 RGB."""
        out = buffer(out, (len(rows), self.size, self.size, 3))
        for cache, places, own in self._shares(rows):
            with _share(out, places) as into:
                cache.images(own, into)
        return out

    def planes(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``(B, 2, S, S)`` uint8; a lesion that a set does not annotate is not to be judged in its rows."""
        out = buffer(out, (len(rows), 2, self.size, self.size))
        for cache, places, own in self._shares(rows):
            with _share(out, places) as into:
                cache.planes(own, into)
        return out

    def image_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """``(B, side, side, 3)`` uint8 RGB, black beyond the photograph; corners are ``(B, 2)`` int, x and y."""
        out = buffer(out, (len(rows), side, side, 3))
        for cache, places, own in self._shares(rows):
            with _share(out, places) as into:
                cache.image_windows(own, corners[places], side, into)
        return out

    def plane_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """``(B, 2, side, side)`` uint8; beyond the photograph nothing is to be judged."""
        out = buffer(out, (len(rows), 2, side, side))
        for cache, places, own in self._shares(rows):
            with _share(out, places) as into:
                cache.plane_windows(own, corners[places], side, into)
        return out

    def prepare_averages(self, rows: np.ndarray, background: BackgroundConfig) -> None:
        """Compute what is missing of these photographs' local average colours."""
        for cache, _, own in self._shares(rows):
            cache.prepare_averages(own, background)

    def average_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, background: BackgroundConfig
    ) -> np.ndarray:
        """``(B, side, side, 3)`` float32 in [0, 1]: pieces of reduced averages, within them."""
        out = np.empty((len(rows), side, side, 3), np.float32)
        for cache, places, own in self._shares(rows):
            out[places] = cache.average_windows(own, corners[places], side, background)
        return out

    def _shares(self, rows: np.ndarray) -> list[tuple[Prepared, np.ndarray, np.ndarray]]:
        offsets = self.offsets
        owner = np.searchsorted(offsets, rows, side="right") - 1
        return [
            (cache, places, np.asarray(rows)[places] - offsets[number])
            for number, cache in enumerate(self.caches)
            if len(places := np.flatnonzero(owner == number))
        ]


@contextmanager
def _share(out: np.ndarray, places: np.ndarray) -> Iterator[np.ndarray]:
    """One set's share of a batch to write into: the batch itself where its places run on, else a copy put there."""
    first, last = int(places[0]), int(places[-1])
    if last - first + 1 == len(places):
        yield out[first : last + 1]
        return
    share = np.empty((len(places), *out.shape[1:]), out.dtype)
    yield share
    out[places] = share


def pooled_records(several: Sequence[Records]) -> Records:
    """Records of several sets, one below the other; text that a set has no column for is empty."""
    table = pd.concat([records.table for records in several], ignore_index=True)
    for name in table:
        known = table[name].dropna()
        if len(known) < len(table) and len(known) and all(isinstance(value, str) for value in known):
            table[name] = table[name].fillna("")
    return Records(
        table,
        {name: info for records in several for name, info in records.info.items()},
        {name: root for records in several for name, root in records.roots.items()},
        tuple(note for records in several for note in records.notes),
    )


def pooled_part(parts: Sequence[Part]) -> Part:
    """The same part of several sets as one; a single one stays as it is."""
    if len(parts) == 1:
        return parts[0]
    cache = PooledCache(tuple(part.cache for part in parts))
    rows = np.concatenate([part.rows + start for part, start in zip(parts, cache.offsets, strict=False)])
    return Part(parts[0].name, pooled_records([part.records for part in parts]), cache, rows)


def pooled_split(splits: Sequence[tuple[str, Split]]) -> Split:
    """Several sets' own splits as one; positions refer to their records one below the other.

    Args:
        splits: (data set, its split), in order.
    """
    if len(splits) == 1:
        return splits[0][1]
    starts = np.cumsum([0, *(len(split.records) for _, split in splits)])
    rows = {
        part: np.concatenate(
            [getattr(split, part) + start for (_, split), start in zip(splits, starts, strict=False)]
        )
        for part in ("train", "val", "test")
    }
    return Split(
        **rows,
        origin="; ".join(f"{name}: {split.origin}" for name, split in splits),
        leaks=tuple(f"{name}: {leak}" for name, split in splits for leak in split.leaks),
        optimistic=any(split.optimistic for _, split in splits),
        records=pooled_records([split.records for _, split in splits]),
    )
