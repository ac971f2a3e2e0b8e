"""Worker processes end together where one of them dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing.context import SpawnProcess

import pytest

from retinalab.data.processes import worker_processes


@contextmanager
def sleeping() -> Iterator[SpawnProcess]:
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def test_work_is_handed_out() -> None:
    with worker_processes(2) as pool:
        assert list(pool.map(abs, [-3, 2, -1])) == [3, 2, 1]


def test_none_is_left_where_one_dies_but_those_of_others() -> None:
    """One that was started while another died was waited for without end."""

    def one_dies(ended: ExitStack) -> None:
        with worker_processes(2) as pool:
            started.append(ended.enter_context(sleeping()))
            pool.submit(os._exit, 1).result()

    started: list[SpawnProcess] = []
    with ExitStack() as ended:
        earlier = ended.enter_context(sleeping())
        with pytest.raises(BrokenProcessPool):
            one_dies(ended)
        started[0].join(60)
        assert started[0].exitcode == -signal.SIGKILL
        assert earlier.is_alive()
