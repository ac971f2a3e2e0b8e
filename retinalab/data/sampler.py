"""Stateless sampling: the order follows from (seed, epoch, stream), whatever the number of workers or restarts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from retinalab.config import BalanceConfig
from retinalab.errors import RetinalabError
from retinalab.transforms.draw import generator

__all__ = ["EpochBatches", "EpochSampler", "Key", "decayed_weights", "is_spare"]

Key = tuple[int, int, int]
"""(epoch, position in the epoch, row): all that augmentation and reading depend on."""

_ORDER = 0x0DE7


def decayed_weights(counts: np.ndarray, balance: BalanceConfig, epoch: int) -> np.ndarray:
    """Weight of a row of each class: w = d^t · w0 + (1 - d^t) · wf, with w0 = N / n_c.

    Args:
        counts: as below.
        balance: d, wf and the epochs that count as past.
        epoch: t, counted from 0, without those.

    Shape:
        - ``counts``: ``(C,)``, int: rows of classes 0, 1, ...; their sum is N.
        - Returns: ``(C,)``, float64; 0 for a class without rows.

    Raises:
        RetinalabError: more classes have rows than final weights are given, or no row keeps a weight.

    Reference: Antony and Brüggemann, solution of the Kaggle diabetic retinopathy detection challenge.

    Example:
        >>> decayed_weights(np.array([6, 2]), BalanceConfig(decay=0.25, final=(0, 2)), 1).round(3).tolist()
        [0.333, 2.5]
    """
    counts = np.asarray(counts)
    used = np.flatnonzero(counts)
    if len(used) and used[-1] >= len(balance.final):
        raise RetinalabError(
            f"data.balance.final gives {len(balance.final)} weights; the training photographs have class {used[-1]}. "
            f"Give at least {used[-1] + 1} weights, one for each grade from 0."
        )
    share = balance.decay ** (balance.past + epoch)
    weights = np.zeros(len(counts))
    final = np.asarray(balance.final)
    weights[used] = share * counts.sum() / counts[used] + (1 - share) * final[used]
    if len(used) and not weights.any():
        raise RetinalabError(
            f"data.balance.final={list(balance.final)} gives no weight to the training photographs' classes "
            f"{used.tolist()}. Give one of them more than 0."
        )
    return weights


class EpochSampler(Sampler[Key]):
    """Yields the keys of one epoch.

    Args:
        rows: number of rows to draw from.
        seed: of the run.
        shuffle: random order, otherwise as listed.
        classes: ``(rows,)`` int; drawn with replacement so that each class comes equally often, and -1, unknown,
            never. None: each row once.
        balance: how equally often turns into other weights over the epochs. None: always equally often.
        rank, world: this process' share. In training every process gets equally many (a remainder is left out of this
            epoch, another each epoch); without shuffling each row belongs to exactly one process and none is repeated.
        together: so many rows, one after another, stay on one process; without shuffling only.
        stream: of random numbers; another has other orders. 0: those of the seed alone.
        length: of a shuffled epoch; where it is shorter than the rows, each epoch holds others of them. None: the rows.
    """

    def __init__(
        self,
        rows: int,
        seed: int,
        shuffle: bool,
        classes: np.ndarray | None = None,
        rank: int = 0,
        world: int = 1,
        balance: BalanceConfig | None = None,
        together: int = 1,
        stream: int = 0,
        length: int | None = None,
    ) -> None:
        self.rows = rows
        self.seed = seed
        self.shuffle = shuffle
        self.classes = classes
        self.balance = balance
        self.rank = rank
        self.world = world
        self.together = together
        self.stream = stream
        self.length = rows if length is None else length
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.shuffle:
            return self.length // self.world
        return self.share(self.rank)

    def __iter__(self) -> Iterator[Key]:
        own = self._own()
        for position, row in zip(own.tolist(), self._order()[own].tolist(), strict=True):
            yield self.epoch, position, row

    def share(self, rank: int) -> int:
        """Rows of an evaluation that are a process' own."""
        rounds, rest = divmod(self.rows, self.together * self.world)
        return rounds * self.together + min(max(rest - rank * self.together, 0), self.together)

    def _own(self) -> np.ndarray:
        """Positions of this process, ascending."""
        if self.shuffle:
            return np.arange(self.rank, self.rows, self.world)[: len(self)]
        return np.flatnonzero(np.arange(self.rows) // self.together % self.world == self.rank)

    def _order(self) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.rows)
        rng = generator(self.seed, self.epoch, _ORDER, *([self.stream] if self.stream else []))
        if self.classes is None:
            return rng.permutation(self.rows)[: self.length]
        return rng.choice(self.rows, self.length, p=self._probabilities(self.classes))

    def _probabilities(self, classes: np.ndarray) -> np.ndarray:
        known = classes >= 0 if (classes >= 0).any() else np.ones(self.rows, bool)
        weights = np.zeros(self.rows)
        if self.balance is not None and (classes >= 0).any():
            of_class = decayed_weights(np.bincount(classes[known]), self.balance, self.epoch)
            weights[known] = of_class[classes[known]]
            weights /= weights.sum()
        else:
            _, inverse, counts = np.unique(classes[known], return_inverse=True, return_counts=True)
            weights[known] = 1.0 / (len(counts) * counts[inverse])
        return weights


class EpochBatches(Sampler[list[Key]]):
    """Batches of keys; ``skip`` leaves out the first batches of the first epoch only, to resume within it.

    In an evaluation every process gets equally many batches, since a sharded network runs on all processes at once and
    metrics are summed over all of them: whoever has fewer than the first process gets spare ones after its :attr:`own`,
    each a row of another process that is not counted again. With ``drop_last`` so many batches ``together`` are one
    batch that is left out where it is not whole.
    """

    def __init__(
        self,
        sampler: EpochSampler,
        batch_size: int,
        drop_last: bool = False,
        skip: int = 0,
        together: int = 1,
    ) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.skip = skip
        self.together = together

    @property
    def own(self) -> int:
        """Batches that count; those after them are spare."""
        return self._batches(len(self.sampler))

    def __len__(self) -> int:
        return self._batches(len(self.sampler) if self.sampler.shuffle else self.sampler.share(0))

    def _batches(self, rows: int) -> int:
        whole, rest = divmod(rows, self.batch_size)
        return whole // self.together * self.together if self.drop_last else whole + bool(rest)

    def __iter__(self) -> Iterator[list[Key]]:
        keys = list(self.sampler)
        first, self.skip = self.skip, 0
        spare = [(self.sampler.epoch, 0, 0)]
        for batch in range(first, len(self)):
            yield keys[batch * self.batch_size : (batch + 1) * self.batch_size] if batch < self.own else spare


def is_spare(loader: object, batch: int) -> bool:
    """Whether a batch of a loader counts on another process and not on this one."""
    batches = getattr(loader, "batch_sampler", None)
    return isinstance(batches, EpochBatches) and batch >= batches.own
