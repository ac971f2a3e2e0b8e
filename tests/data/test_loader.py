"""Batches read ahead by threads: the same in the same order, in memory that nobody else holds."""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from retinalab.data.batch import Batch
from retinalab.data.dataset import Memory, fresh_memory
from retinalab.data.loader import BatchLoader, RecycledMemory, default_threads
from retinalab.data.sampler import EpochBatches, EpochSampler, Key
from retinalab.errors import RetinalabError

SHAPE = (4, 8, 8, 3)


@dataclass
class Drawn:
    """A data set whose pixels are the row's number; notes which thread made a batch and where it lies."""

    broken: int | None = None
    threads: set[int] = field(default_factory=set)
    places: list[int] = field(default_factory=list)

    def batch(self, keys: list[Key], memory: Memory = fresh_memory) -> Batch:
        self.threads.add(threading.get_ident())
        image = memory((len(keys), *SHAPE[1:]))
        for pixels, (_, _, row) in zip(image, keys, strict=True):
            if row == self.broken:
                raise RetinalabError("row 9 is shorter than it was written.")
            pixels.fill_(row % 256)
        self.places.append(image.data_ptr())
        return Batch(image=image, index=torch.tensor([row for _, _, row in keys]))


def loader(dataset: Drawn, threads: int, rows: int = 40, **sampling: Any) -> BatchLoader:
    batches = EpochBatches(EpochSampler(rows, 0, True), 4, **sampling)
    return BatchLoader(cast(Any, dataset), batches, threads)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_batches_come_in_the_samplers_order_with_their_own_pixels(threads: int) -> None:
    made = loader(Drawn(), threads)
    expected = [row for _, _, row in EpochSampler(40, 0, True)]
    seen = [(batch["index"].tolist(), batch["image"][:, 0, 0, 0].tolist()) for batch in made]
    assert [row for rows, _ in seen for row in rows] == expected
    assert all(rows == pixels for rows, pixels in seen)
    assert len(made) == len(seen) == 10


def test_what_is_kept_is_not_written_over() -> None:
    kept = [batch["image"].permute(0, 3, 1, 2)[1:] for batch in loader(Drawn(), 3)]
    gc.collect()
    expected = [row for _, _, row in EpochSampler(40, 0, True)]
    for number, image in enumerate(kept):
        assert (image == torch.tensor(expected[4 * number + 1 : 4 * number + 4])[:, None, None, None]).all()


@pytest.mark.parametrize("threads", [0, 2])
def test_what_is_let_go_of_is_used_again(threads: int) -> None:
    dataset = Drawn()
    for batch in loader(dataset, threads, rows=400):
        del batch
    assert len(dataset.places) == 100
    assert len(set(dataset.places)) <= threads + 3


def test_threads_make_batches_ahead_and_end_with_the_epoch() -> None:
    dataset = Drawn()
    before = threading.active_count()
    for _ in loader(dataset, 3):
        pass
    assert threading.get_ident() not in dataset.threads
    assert threading.active_count() == before
    running = iter(loader(dataset, 3))
    next(running)
    cast(Any, running).close()
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_comes_when_its_batch_is_due(threads: int) -> None:
    order = [row for _, _, row in EpochSampler(40, 0, True)]
    running = iter(loader(Drawn(broken=order[9]), threads))
    assert [next(running)["index"].tolist() for _ in range(2)] == [order[:4], order[4:8]]
    with pytest.raises(RetinalabError, match="row 9"):
        next(running)


def test_an_epoch_is_gone_on_with_in_its_middle() -> None:
    whole = [batch["index"].tolist() for batch in loader(Drawn(), 2)]
    rest = loader(Drawn(), 2, skip=7)
    assert [batch["index"].tolist() for batch in rest] == whole[7:]
    assert [batch["index"].tolist() for batch in rest] == whole  # the next epoch is whole


def test_the_epoch_that_the_trainer_sets_decides_the_order() -> None:
    made = loader(Drawn(), 2)
    made.batch_sampler.sampler.set_epoch(5)
    sampler = EpochSampler(40, 0, True)
    sampler.set_epoch(5)
    expected = [row for _, _, row in sampler]
    assert [row for batch in made for row in batch["index"].tolist()] == expected


def test_memory_is_given_again_only_when_no_view_is_left() -> None:
    memory = RecycledMemory()

    def place(given: Tensor) -> int:
        return given.data_ptr()

    first = memory(SHAPE)
    view: Sequence[Tensor] = first.unbind()
    at = place(first)
    del first
    second = memory(SHAPE)
    assert place(second) != at
    del view
    third = memory((2, 8, 8, 6))  # as many bytes in another shape
    assert place(third) == at
    held = third.numpy()
    held[...] = 7
    del third
    assert place(memory(SHAPE)) != at
    assert (held == 7).all()
    del held
    assert place(memory((3, 8, 8, 3))) == at
    assert memory((200, 8, 8, 3)).shape == (200, 8, 8, 3)


def test_threads_follow_the_processors_and_the_processes_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert default_threads(on_gpu=False) == 0
    assert default_threads(on_gpu=True) == 6
    assert default_threads(on_gpu=True, beside=3) == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_threads(on_gpu=True) == 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert default_threads(on_gpu=True) == 8
    assert np.issubdtype(RecycledMemory()(SHAPE).numpy().dtype, np.uint8)
