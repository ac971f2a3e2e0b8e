"""Locks of other processes, looked at without disturbing them, and taken while something is removed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from retinalab.errors import RetinalabError

__all__ = ["held", "held_below", "locked_out"]

_CLAIM = ".claim.lock"
_PATIENCE = 10.0


def held(lock: Path) -> bool:
    """Whether a process holds the lock of that file.

    A lock is asked for that readers may share, so that two who look do not see each other; a file that may not be
    opened is taken as held.
    """
    try:
        file = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def held_below(folder: Path) -> tuple[str, ...]:
    """What processes work on in a run's folder: names of its jobs, ``all`` for the whole."""
    locks = sorted(folder.glob(".lock*"))
    return tuple(lock.name.removeprefix(".lock").removeprefix("-") or "all" for lock in locks if held(lock))


@contextmanager
def locked_out(folder: Path, locks: Iterable[Path]) -> Iterator[bool]:
    """While this lasts, no process can begin to work on a run's folder; gives whether none does already.

    Args:
        folder: of the run; a process that chooses one beside it waits so long.
        locks: files of the locks that whoever works on it holds.

    Raises:
        RetinalabError: the folder cannot be written, or another process keeps choosing for long.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(folder.parent / _CLAIM, timeout=_PATIENCE))
        except Timeout as error:
            raise RetinalabError(
                f"Another process is beginning a run in {folder.parent}. Try again when it has."
            ) from error
        except OSError as error:
            raise RetinalabError(
                f"Cannot write to {folder.parent}: {error.strerror or error}. Check its permissions."
            ) from error
        free = True
        for lock in locks:
            try:
                stack.enter_context(FileLock(lock, timeout=0))
            except (Timeout, OSError):
                free = False
                break
        yield free
