"""Stateless sampling: the order follows from (seed, epoch), the same with any number of workers or restarts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from retinalab.transforms.draw import generator

__all__ = ["EpochBatches", "EpochSampler", "Key"]

Key = tuple[int, int, int]
"""(epoch, position in the epoch, row): all that augmentation and reading depend on."""

_ORDER = 0x0DE7


class EpochSampler(Sampler[Key]):
    """Yields the keys of one epoch.

    Args:
        rows: number of rows to draw from.
        seed: of the run.
        shuffle: random order, otherwise as listed.
        classes: ``(rows,)`` int; drawn with replacement so that each class comes equally often, and -1, unknown,
            never. None: each row once.
        rank, world: this process' share. In training every process gets equally many (a remainder is left out of this
            epoch, another each epoch); without shuffling each row belongs to exactly one process and none is repeated.
    """

    def __init__(
        self,
        rows: int,
        seed: int,
        shuffle: bool,
        classes: np.ndarray | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.rows = rows
        self.seed = seed
        self.shuffle = shuffle
        self.classes = classes
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.shuffle:
            return self.rows // self.world
        return len(range(self.rank, self.rows, self.world))

    def __iter__(self) -> Iterator[Key]:
        order = self._order()
        positions = range(self.rank, len(order), self.world)
        for position in list(positions)[: len(self)]:
            yield self.epoch, position, int(order[position])

    def _order(self) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.rows)
        rng = generator(self.seed, self.epoch, _ORDER)
        if self.classes is None:
            return rng.permutation(self.rows)
        known = self.classes >= 0 if (self.classes >= 0).any() else np.ones(self.rows, bool)
        _, inverse, counts = np.unique(self.classes[known], return_inverse=True, return_counts=True)
        weights = np.zeros(self.rows)
        weights[known] = 1.0 / (len(counts) * counts[inverse])
        return rng.choice(self.rows, self.rows, p=weights)


class EpochBatches(Sampler[list[Key]]):
    """Batches of keys; ``skip`` leaves out the first batches of the first epoch only, to resume within it."""

    def __init__(
        self, sampler: EpochSampler, batch_size: int, drop_last: bool = False, skip: int = 0
    ) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.skip = skip

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def __iter__(self) -> Iterator[list[Key]]:
        keys = list(self.sampler)
        first, self.skip = self.skip, 0
        for batch in range(first, len(self)):
            yield keys[batch * self.batch_size : (batch + 1) * self.batch_size]
