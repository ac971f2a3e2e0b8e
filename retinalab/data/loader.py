"""Batches read ahead by threads, into memory that is used again."""

from __future__ import annotations

import math
import os
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from retinalab.data.ahead import ahead
from retinalab.data.batch import Batch
from retinalab.data.dataset import PartDataset
from retinalab.data.sampler import EpochBatches

__all__ = ["BatchLoader", "RecycledMemory", "default_threads", "pinned_memory"]

_MOST = 8
"""Threads of one process: more wait for the interpreter rather than for the processor."""

_KEPT = 32
"""Pieces of memory that wait for their next use."""

_SPARE = 2
"""A piece may be so many times larger than what is wanted."""


class BatchLoader:
    """The batches of a data set in a sampler's order, whatever the number of threads.

    Each thread makes whole batches, some of them ahead of the one that is asked for; reading, warping and colouring
    happen outside the interpreter's lock. The memory of a batch is used again as soon as nothing refers to it any
    more. A batch that cannot be made raises its error when its turn comes.

    Args:
        dataset: makes a batch of keys.
        batches: of keys, of one epoch; the order follows the trainer's epochs.
        threads: that make batches ahead; 0: whoever asks for a batch makes it.
        pinned: whether the memory is locked in place, from where a GPU takes it without waiting.
    """

    def __init__(
        self, dataset: PartDataset, batches: EpochBatches, threads: int = 0, pinned: bool = False
    ) -> None:
        self.dataset = dataset
        self.batch_sampler = batches
        self.threads = threads
        self.pinned = pinned
        self._memory = pinned_memory if pinned else RecycledMemory()

    @property
    def batch_size(self) -> int:
        """Photographs or windows of a batch; the last one may have fewer."""
        return self.batch_sampler.batch_size

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        make = partial(self.dataset.batch, memory=self._memory)
        return ahead(make, self.batch_sampler, self.threads)


class RecycledMemory:
    """Gives memory of a shape, if possible some that was given before and that nothing refers to any more.

    Fresh memory of some megabytes comes from the system page by page, which costs more than filling it. A tensor's
    views and whatever else was made from it without copying count as references to it.
    """

    def __init__(self) -> None:
        self._free: deque[np.ndarray] = deque(maxlen=_KEPT)

    def __call__(self, shape: Sequence[int]) -> Tensor:
        """Uninitialised uint8 of a shape."""
        wanted = math.prod(shape)
        owner = self._found(wanted)
        given = owner[:wanted].reshape(shape)
        weakref.finalize(given, self._free.append, owner).atexit = False
        return torch.from_numpy(given)

    def _found(self, wanted: int) -> np.ndarray:
        """A piece that is large enough and not much too large, taken by the deque's own steps, which are atomic."""
        for _ in range(len(self._free)):
            try:
                owner = self._free.pop()
            except IndexError:
                break
            if wanted <= owner.size <= _SPARE * wanted:
                return owner
            self._free.appendleft(owner)
        return np.empty(wanted, np.uint8)


def pinned_memory(shape: Sequence[int]) -> Tensor:
    """Uninitialised uint8 of a shape, locked in place; torch keeps such memory and gives it again."""
    return torch.empty(tuple(shape), dtype=torch.uint8, pin_memory=True)


def default_threads(on_gpu: bool, beside: int = 1) -> int:
    """Threads that make batches: the processors of this process beside a GPU, none where the network needs them.

    Args:
        on_gpu: whether the network runs on one.
        beside: processes of this training on this machine, which share its processors; torchrun says how many it
            started, and a cluster gives each its own.
    """
    if not on_gpu:
        return 0
    beside = max(1, beside, int(os.environ.get("LOCAL_WORLD_SIZE") or 1))
    return max(1, min(_MOST, len(os.sched_getaffinity(0)) // beside))
