"""The most memory that some work took: of a GPU what tensors took, of the machine what was resident."""

from __future__ import annotations

import gc
import resource
from pathlib import Path

import torch

from retinalab.data.space import available_memory

__all__ = ["forget_peak", "free_memory", "peak_memory", "resident_memory"]

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak(device: torch.device) -> None:
    """Begin anew: give back what is no longer used, and forget the peak so far."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        _RESET.write_text("5", encoding="ascii")  # Linux: the peak of resident memory is what is resident now
    except OSError:
        return


def peak_memory(device: torch.device) -> int:
    """Bytes at the peak since :func:`forget_peak`: tensors on a GPU, or all that this process had in memory.

    Where the system keeps one peak for the whole life of a process, it is that one.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _noted("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_memory() -> int:
    """Bytes that this process has in the machine's memory now; 0 where the system does not say."""
    return _noted("VmRSS")


def free_memory(device: torch.device) -> int:
    """Bytes that this process may have at the most, with what it has already."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device))
    return available_memory() + resident_memory()


def _noted(name: str) -> int:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
