"""What every benchmark needs: timings that are interleaved in one process, and figures beside their machine."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FOLDER", "clocks", "interleaved", "machine", "medians", "peak", "peak_here", "wait_for", "write"]

FOLDER = Path(__file__).resolve().parents[2] / "runs" / "bench"
"""Where figures are written."""


def interleaved(
    rows: Mapping[str, Callable[[], Any]],
    repeats: int,
    warm: int = 1,
    settle: Callable[[], None] | None = None,
    now: Callable[[], Any] = time.perf_counter,
    before: Callable[[], None] | None = None,
) -> dict[str, list[Any]]:
    """Seconds of each row, all rows once in every repeat, so that a busy moment of the machine strikes all of them.

    Args:
        rows: name -> what is timed.
        repeats: timings of each.
        warm: repeats before them that do not count.
        settle: called before and after each, such as a GPU's wait.
        now: the clock, seconds; that of the process leaves out what others take of the machine. Several clocks give
            an array, and so does each timing.
        before: called before each and not timed, such as to forget what was read.
    """
    wait, prepare = settle or (lambda: None), before or (lambda: None)
    taken: dict[str, list[Any]] = {name: [] for name in rows}
    order = np.random.default_rng(0)
    for repeat in range(-warm, repeats):
        for name in order.permutation(list(rows)).tolist():
            prepare()
            wait()
            start = now()
            rows[name]()
            wait()
            if repeat >= 0:
                taken[name].append(now() - start)
    return taken


def medians(
    rows: Mapping[str, Callable[[], Any]], repeats: int, device: str = "cpu", clock: str = "wall"
) -> dict[str, float]:
    """Median seconds of each row, the rows in turn, after one turn that does not count.

    Args:
        rows: name -> what is timed.
        repeats: timings of each.
        device: ``cpu``, or ``cuda``, which is waited for before and after each.
        clock: ``wall``, or ``process``, which leaves out what others take of the machine.
    """
    now = time.process_time if clock == "process" else time.perf_counter
    taken = interleaved(rows, repeats, settle=partial(wait_for, device), now=now)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def clocks() -> np.ndarray:
    """Seconds of the clock, and of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def wait_for(device: str) -> None:
    """Return when a GPU has done what it was given; a processor is done at once."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def peak(make: Callable[[], Callable[[], Any]], device: str) -> tuple[float, float]:
    """Peak memory of a row in a process of its own, MiB, as :func:`peak_here` gives it.

    Args:
        make: makes the row there; a function of a module, or a partial one, which another process finds by its name.
        device: ``cpu`` or ``cuda``.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak_here, make, device).result()


def peak_here(make: Callable[[], Callable[[], Any]], device: str) -> tuple[float, float]:
    """Peak memory, MiB: beyond what there was before the row, and in all.

    On a GPU that of the allocator; on a processor the resident peak, with interpreter and libraries.
    """
    row = make()
    if device == "cuda":
        import torch

        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        row()
        whole = torch.cuda.max_memory_allocated()
        return (whole - before) / 2**20, whole / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far, which a process also inherits
    resident = _high_water()
    row()
    return (_high_water() - resident) / 2**10, _high_water() / 2**10


def _high_water() -> int:
    """Largest resident size so far, KiB (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def machine() -> dict[str, Any]:
    """What figures depend on besides the code."""
    import torch

    return {
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def write(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures and the machine as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**machine(), **figures}, indent=1) + "\n", encoding="utf-8")
