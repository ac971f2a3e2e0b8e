"""Faults of the machine a command runs on, as one line: a full disk, a folder that is gone, a process that has died."""

from __future__ import annotations

import errno
from concurrent.futures import BrokenExecutor

from retinalab.errors import RetinalabError

__all__ = ["machine_fault"]

_STORAGE = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ENOENT,
    errno.ENOTDIR, errno.ESTALE, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def machine_fault(error: OSError | BrokenExecutor) -> RetinalabError | None:
    """What to tell of an error that lies with the machine; None of one that does not.

    Example:
        >>> str(machine_fault(OSError(28, "No space left on device", "state.json")))
        'state.json: No space left on device. What is finished stays. Free space, then give the same command again.'
        >>> machine_fault(ConnectionResetError(104, "Connection reset by peer")) is None
        True
    """
    again = "then give the same command again"
    if isinstance(error, BrokenExecutor):
        return RetinalabError(
            "A process that helps this one has died, as where the machine runs out of memory. What is finished stays. "
            f"Free memory, {again}."
        )
    if error.errno not in _STORAGE:
        return None
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = f"{names[-1]}: " if names else ""
    remedy = "Free space" if error.errno in _FULL else "See to that folder, or name another"
    reason = (error.strerror or str(error)).rstrip(".")
    return RetinalabError(f"{where}{reason}. What is finished stays. {remedy}, {again}.")
