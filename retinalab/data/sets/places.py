"""Finding a layout's files by name, whatever sub-folder, suffix and case an archive or its unpacking gave them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

from retinalab.data.sets.files import IMAGE_SUFFIXES, list_files
from retinalab.errors import RetinalabError
from retinalab.records import photograph_name

__all__ = ["Places", "absent_file", "label_file"]

_DEPTH = 2


class Places:
    """The photographs below a folder, by bare name in lower case.

    Args:
        root: the folder of the set; it and its sub-folders down to the second level are read once.
        folder: the one sub-folder to look in; all where empty.
    """

    def __init__(self, root: Path, folder: str = "") -> None:
        self.root = root
        self._found: dict[str, list[PurePosixPath]] = defaultdict(list)
        start = root / folder
        for place, folders, files in os.walk(start, onerror=_unreadable):
            below = Path(place).relative_to(start)
            if len(below.parts) >= _DEPTH:
                folders.clear()
            for name in files:
                if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                    path = PurePosixPath(Path(place).relative_to(root).as_posix()) / name
                    self._found[photograph_name(name)].append(path)

    def __len__(self) -> int:
        return len(self._found)

    def find(self, listed: str) -> str:
        """Path of a listed photograph relative to the root; the listed one where none is there.

        Raises:
            RetinalabError: several files bear the name, and neither folder nor suffix tells which is meant.
        """
        wanted = PurePosixPath(listed)
        found = self._found.get(photograph_name(listed), [])
        for rule in (
            lambda path: str(path).lower() == listed.lower(),
            lambda path: path.parent == wanted.parent,
            lambda path: path.name.lower() == wanted.name.lower(),
        ):
            if len(found) > 1:
                found = [path for path in found if rule(path)] or found
        if len(found) > 1:
            raise RetinalabError(
                f"{self.root} holds {wanted.name!r} as {str(min(found))!r} and as {str(max(found))!r} "
                f"({len(found)} files). Name the folder that is meant (options.folder=NAME), or leave one of them."
            )
        return str(found[0]) if found else listed


def label_file(root: Path, pattern: str, expected: str, title: str, remedy: str) -> Path:
    """Find a label file in the set's folder by its name in any case.

    Args:
        root: the folder that the user gave.
        pattern: regular expression of the whole name.
        expected: the file's official name, for the error.
        title: of the set, for the error.
        remedy: where the file can be had.

    Raises:
        RetinalabError: it is absent; says what was found instead, and where it lies if one level above or below.
    """
    own = _matching(root, pattern)
    if own is None:
        raise absent_file(root, pattern, expected, title, remedy)
    return own


def absent_file(root: Path, pattern: str, expected: str, title: str, remedy: str) -> RetinalabError:
    """The error of :func:`label_file`."""
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    elsewhere = [path for path in (*folders, root.resolve().parent) if os.access(path, os.R_OK)]
    place = next((path for path in elsewhere if _matching(path, pattern)), None)
    hint = f"It lies in {place}: give that folder." if place else remedy
    found = [*(f"{path.name}/" for path in folders), *list_files(root)]
    shown = ", ".join(repr(name) for name in found[:5]) + " …" * (len(found) > 5)
    return RetinalabError(
        f"{root} holds no {expected!r} of {title}; found there: {shown or 'nothing'}. {hint}"
    )


def _matching(folder: Path, pattern: str) -> Path | None:
    names = (name for name in list_files(folder) if re.fullmatch(pattern, name, re.IGNORECASE))
    return next((folder / name for name in names), None)


def _unreadable(error: OSError) -> None:
    raise RetinalabError(
        f"{error.filename} cannot be read ({error.strerror}). Check the folder and its permissions."
    )
