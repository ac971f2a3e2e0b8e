"""What to do where memory does not suffice: how much a batch was, and which options make it smaller."""

from __future__ import annotations

import torch

from retinalab.config import Stage
from retinalab.errors import RetinalabError

__all__ = ["TooLittleMemoryError", "is_out_of_memory", "out_of_memory"]

_SIGNS = ("DefaultCPUAllocator: can't allocate memory", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class TooLittleMemoryError(RetinalabError):
    """Memory of a GPU or of the machine that does not suffice for a batch."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU or of the machine did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def out_of_memory(error: BaseException, name: str, stage: Stage) -> TooLittleMemoryError:
    """The refusal: the batch that was tried, where it did not fit, and what to set.

    Half the batch with twice the accumulated batches takes the same steps; batch normalisation sees half as many
    photographs then.

    Args:
        error: one of which :func:`is_out_of_memory` is true.
        name: of the stage.
        stage: with the batch size that was tried.
    """
    data, trainer = stage.data, stage.trainer
    on_gpu = isinstance(error, torch.OutOfMemoryError) or any(
        word in str(error) for word in ("CUDA", "CUBLAS")
    )
    where = "the GPU" if on_gpu else "the machine"
    remedies = []
    if data.batch_size > 1:
        half, twice = data.batch_size // 2, trainer.accumulate_grad_batches * 2
        remedies.append(
            f"stages.{name}.data.batch_size={half} with stages.{name}.trainer.accumulate_grad_batches={twice}"
        )
    if not trainer.auto_batch_size:
        remedies.append(f"stages.{name}.trainer.auto_batch_size=true, which finds what fits")
    if not trainer.precision.startswith(("bf16", "16")):
        remedies.append(f"stages.{name}.trainer.precision=bf16-mixed")
    remedies.append(f"a smaller stages.{name}.data.{'windows.size' if data.windows else 'size'}")
    return TooLittleMemoryError(
        f"Stage {name!r} ran out of memory of {where}, with batches of {data.batch_size} of "
        f"{data.input_size}x{data.input_size} pixels. Set {', or '.join(remedies)}."
    )
