"""Files that commands write where they were asked to: checked before the work, whole or not there after it."""

from __future__ import annotations

import os
from pathlib import Path

from retinalab.errors import RetinalabError

__all__ = ["check_output", "write_output"]


def check_output(target: Path | None, *taken: Path | None) -> None:
    """Refuse a file that cannot be written, or that is in use already.

    Args:
        target: the file; None where none was asked for.
        taken: files that the command reads, or writes too.

    Raises:
        RetinalabError: it is a folder, its folder does not exist or is closed, or it is one of ``taken``.
    """
    if target is None:
        return
    if target.is_dir() or not target.parent.is_dir() or not os.access(target.parent, os.W_OK | os.X_OK):
        raise RetinalabError(f"Cannot write {target}. Name a file in a folder that exists.")
    if target.resolve() in {other.resolve() for other in taken if other is not None}:
        raise RetinalabError(
            f"Cannot write {target}: the command reads or writes it already. Name another file."
        )


def write_output(target: Path, text: str) -> None:
    """Write under a temporary name, then rename: a full disk leaves what was there before.

    Raises:
        RetinalabError: it cannot be written.
    """
    place = target.resolve()
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RetinalabError(
            f"Cannot write {target}: {error.strerror}. Free space, or name a file elsewhere."
        ) from error
