"""Work of several threads, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import count, islice

import pytest

from retinalab.data.ahead import ahead


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_results_come_in_order_whatever_takes_longest(threads: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (5 - number % 5))
        return number * number

    assert list(ahead(work, range(30), threads)) == [number * number for number in range(30)]


@pytest.mark.parametrize("threads", [0, 3])
def test_no_more_is_taken_than_is_under_way(threads: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield number

    assert list(islice(ahead(str, items(), threads), 5)) == list("01234")
    assert len(taken) <= 5 + threads


def test_several_threads_work_at_once() -> None:
    together = threading.Barrier(3)
    assert len(list(ahead(lambda _: together.wait(timeout=20), range(6), 3))) == 6


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_is_raised_when_its_result_is_due(threads: int) -> None:
    running = ahead(lambda number: 1 // (number - 2), range(5), threads)
    assert [next(running), next(running)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(running)
