"""Processes that do Python's work beside this one, and end together where one of them dies."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

__all__ = ["worker_processes"]


@contextmanager
def worker_processes(count: int) -> Iterator[Executor]:
    """So many processes, started afresh rather than forked.

    Raises:
        BrokenProcessPool: one of them has died. None is left, also not one that was started just then, which Python
            3.11 neither ends nor stops waiting for.
    """
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise
