"""Commands of ``retinalab`` started one after the other, each a process of its own as if it had been typed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

__all__ = ["started"]

_INTERRUPTED = 130

T = TypeVar("T")


def started(
    items: Sequence[T], shown: Callable[[T], str], words: Callable[[T], Sequence[str] | None]
) -> Iterator[tuple[T, int | None]]:
    """Start a command for each item, wait for it, and give the item with its exit status.

    What an item's command is may depend on how the ones before it ended: it is asked for when its turn has come.

    Args:
        items: in the order in which they are started.
        shown: the command as a user would type it, printed with the item's number before it is started.
        words: what follows ``retinalab``; None: nothing is started or printed, and there is no exit status.

    Raises:
        KeyboardInterrupt: a command was interrupted; no further one is started.
    """
    for number, item in enumerate(items, 1):
        given = words(item)
        if given is None:
            yield item, None
            continue
        print(f"\n{number} of {len(items)}: {shown(item)}", flush=True)
        ended = subprocess.run([*_retinalab(), *given], check=False).returncode
        if ended == _INTERRUPTED:
            raise KeyboardInterrupt
        yield item, ended


def _retinalab() -> list[str]:
    """The command line as a process of its own, under the name that provenance shows."""
    script = Path(sys.executable).with_name("retinalab")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "retinalab.cli"]
