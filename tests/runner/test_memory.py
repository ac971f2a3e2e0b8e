"""Too little memory is one line that says what was tried and what to set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from retinalab.errors import RetinalabError
from retinalab.runner import run
from retinalab.runner.memory import is_out_of_memory
from retinalab.tasks.base import Task


def of_the_processor() -> None:
    torch.empty(1 << 50)


def of_the_gpu() -> None:
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB."
    )


def of_numpy() -> None:
    raise MemoryError("Unable to allocate 3 GiB for an array")


@pytest.mark.parametrize(("lack", "where"), [(of_the_processor, "the machine"), (of_the_gpu, "the GPU")])
def test_the_batch_and_the_remedies_are_named(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, lack: Callable[[], None], where: str
) -> None:
    monkeypatch.setattr(Task, "training_step", lambda self, batch, batch_idx: lack())
    with pytest.raises(RetinalabError) as error:
        run(make("one", "data.batch_size=6", "train.trainer.precision=32-true"))
    said = str(error.value)
    assert len(said.splitlines()) == 1
    assert f"ran out of memory of {where}, with batches of 6 of " in said
    assert "stages.train.data.batch_size=3 with stages.train.trainer.accumulate_grad_batches=2" in said
    assert "precision=bf16-mixed" in said


def test_a_test_that_does_not_fit_is_said_likewise(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Task, "test_step", lambda self, batch, batch_idx, dataloader_idx=0: of_numpy())
    with pytest.raises(RetinalabError, match="ran out of memory of the machine"):
        run(make("one", "train.trainer.max_epochs=1"))


def test_other_errors_are_not_taken_for_it() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as error:
        of_the_processor()
    assert is_out_of_memory(error.value)
