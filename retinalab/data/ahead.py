"""Work of several threads, handed out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def ahead(work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Iterator[_Result]:
    """Results in the order of the items; at most ``threads`` of them are made, or wait, beyond the one asked for.

    An error is raised when its result is due. What has not begun when nobody asks any more is left undone.

    Args:
        work: gives the result of an item.
        items: gone through once, no further than needed.
        threads: 0: whoever asks for a result makes it.
    """
    if not threads:
        yield from map(work, items)
        return
    waiting: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
