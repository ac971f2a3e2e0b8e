"""Names sorted in memory that does not grow with their number: a merge of sorted pieces on disk."""

from __future__ import annotations

import heapq
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import IO

from retinalab.errors import RetinalabError

__all__ = ["sorted_names"]

_MOST = 1 << 16
_LENGTH = struct.Struct("<I")


def sorted_names(names: Iterable[str], most: int = _MOST) -> Iterator[str]:
    """The names in the order of their code points, as ``sorted`` gives them.

    Up to ``most`` names stay in memory. Of more, sorted pieces of so many go to unnamed temporary files, which are
    merged; a killed process leaves nothing behind.

    Args:
        names: of files; any text, also with line breaks or bytes that are not UTF-8.
        most: held in memory at once.

    Raises:
        RetinalabError: there is no room for temporary files.

    Example:
        >>> list(sorted_names(["b", "c", "a"], most=2))
        ['a', 'b', 'c']
    """
    with ExitStack() as stack:
        pieces: list[Iterator[str]] = []
        held: list[str] = []
        for name in names:
            held.append(name)
            if len(held) == most:
                pieces.append(_stored(sorted(held), stack))
                held = []
        held.sort()
        yield from heapq.merge(*pieces, held) if pieces else held


def _stored(names: list[str], stack: ExitStack) -> Iterator[str]:
    try:
        file = stack.enter_context(tempfile.TemporaryFile(prefix="retinalab-"))  # noqa: SIM115 (it is)
        for name in names:
            raw = name.encode("utf-8", "surrogateescape")
            file.write(_LENGTH.pack(len(raw)) + raw)
        file.seek(0)
    except OSError as error:
        raise RetinalabError(
            f"A long listing cannot be sorted in {tempfile.gettempdir()}: {error.strerror or error}. Free space there, "
            "or set TMPDIR to another folder."
        ) from error
    return _read(file)


def _read(file: IO[bytes]) -> Iterator[str]:
    while head := file.read(_LENGTH.size):
        yield file.read(_LENGTH.unpack(head)[0]).decode("utf-8", "surrogateescape")
