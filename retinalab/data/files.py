"""Files that are there whole or not at all, whatever interrupts their writing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from retinalab.errors import RetinalabError

__all__ = ["folder_there", "growing_file", "leftovers", "remove_leftovers", "write_file"]

_TEMPORARY = ".tmp"


@contextmanager
def growing_file(path: Path) -> Iterator[BinaryIO]:
    """Write under a temporary name, then rename: whoever finds the file finds all of it.

    The temporary file is removed when writing fails, and left behind when the process is killed.
    """
    temporary = path.with_name(f"{path.name}.{uuid4().hex[:12]}{_TEMPORARY}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: Path, content: bytes | memoryview) -> None:
    """As :func:`growing_file`, at once."""
    with growing_file(path) as file:
        file.write(content)


def leftovers(names: Iterable[str], beginning: str) -> tuple[str, ...]:
    """Those names that a killed process left behind of files whose names begin so."""
    return tuple(name for name in names if name.endswith(_TEMPORARY) and name.startswith(beginning))


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove temporary files; only for whoever holds the lock under which they are written."""
    for name in names:
        (folder / name).unlink(missing_ok=True)


def folder_there(path: Path) -> RetinalabError:
    """What to tell where a folder bears the name of a file of prepared photographs; nothing here removes folders."""
    return RetinalabError(
        f"{path} is a folder, where a file of prepared photographs should be. Remove that folder and try again."
    )
