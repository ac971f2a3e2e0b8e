"""What every benchmark needs: timings that are interleaved in one process, and figures beside their machine."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FOLDER", "interleaved", "machine", "write"]

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
