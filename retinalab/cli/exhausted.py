"""One line where memory does not suffice and no stage of a training has said so better."""

from __future__ import annotations

__all__ = ["exhausted"]

_OF_THE_GPU = (
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "HIP out of memory",
    "MPS backend out of memory",
)
_OF_THE_MACHINE = ("DefaultCPUAllocator: can't allocate memory", "Failed to allocate memory")


def exhausted(error: BaseException, command: str) -> str | None:
    """What to tell where an error says that memory did not suffice; None where it says something else.

    Args:
        error: that ended the command; torch need not be loaded.
        command: its name, at the beginning of the line.

    Example:
        >>> exhausted(MemoryError(), "predict")
        'predict: the memory of the machine does not suffice. End what else takes memory there.'
        >>> exhausted(RuntimeError("shapes do not fit"), "predict") is None
        True
    """
    said = str(error)
    of_torch = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    if of_torch or any(sign in said for sign in _OF_THE_GPU):
        return (
            f"{command}: the memory of the GPU does not suffice. End what else computes there (nvidia-smi lists it), "
            "or compute on the processor: put CUDA_VISIBLE_DEVICES= before the command."
        )
    if isinstance(error, MemoryError) or any(sign in said for sign in _OF_THE_MACHINE):
        return f"{command}: the memory of the machine does not suffice. End what else takes memory there."
    return None
