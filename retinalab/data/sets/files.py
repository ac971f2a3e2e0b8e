"""Files of a set and their folders: few calls to the file system, errors that name file and remedy."""

from __future__ import annotations

import hashlib
import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from retinalab.errors import RetinalabError, unknown

__all__ = [
    "IMAGE_SUFFIXES",
    "check_files",
    "check_paths",
    "compare_files",
    "digest",
    "list_files",
    "need",
    "need_folder",
    "plain_path",
    "stamp",
]

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".jpe", ".dib", ".pgm", ".pbm", ".pnm",
    ".pam", ".jp2", ".j2k", ".avif", ".ras", ".sr",
)  # fmt: skip


def list_files(folder: Path) -> list[str]:
    """Names of the files in a folder, sorted; an absent folder has none.

    Raises:
        RetinalabError: the folder may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RetinalabError(f"{folder} cannot be read ({error.strerror}). Check its permissions.") from None


def check_files(root: Path, images: Sequence[str], source: str, what: str = "photographs") -> list[str]:
    """Compare the listed files with those beside them, reading each folder once.

    Returns:
        Notes that count files which are present but not listed.

    Raises:
        RetinalabError: a listed file is absent; names the first and how many.
    """
    absent, unlisted = compare_files(root, images)
    if absent:
        raise RetinalabError(
            f"{source} lists {absent[0]!r}, which is absent from {root} "
            f"({len(absent)} of {len(images)} {what} are). "
            f"{_spelled_otherwise(root / absent[0])}Complete the copy or remove the rows."
        )
    if not unlisted:
        return []
    return [f"{len(unlisted)} {what} lie in {root} that {source} does not list (first: {min(unlisted)!r})"]


def check_paths(paths: Iterable[str], root: Path, source: str) -> None:
    """Refuse a path whose text leads out of the set's folder; a link within the folder is followed wherever it leads.

    A label file may come from anyone, a link is made by whoever owns the folder.

    Raises:
        RetinalabError: a path is absolute, has a step upwards (also behind a folder, which may be a link) or a NUL.
    """
    for path in paths:
        if path and (path[0] in "/\\" or path[1:2] == ":" or ".." in path or "\0" in path):
            steps = path.replace("\\", "/").split("/")
            if "\0" in path:
                raise RetinalabError(
                    f"{source} lists {path[:80]!r}, which no file can be called. Correct it."
                )
            if not steps[0] or steps[0][1:2] == ":" or ".." in steps:
                raise RetinalabError(
                    f"{source} lists {path[:80]!r}, which leads out of {root}. Write paths relative to that folder, "
                    "without '..'; what lies elsewhere can be linked into it."
                )


def _spelled_otherwise(path: Path) -> str:
    """A hint where a file's name is the listed one in another form of Unicode, as other systems write it."""
    plain = unicodedata.normalize("NFC", path.name)
    for name in list_files(path.parent):
        if unicodedata.normalize("NFC", name) == plain:
            return f"It lies there in another form of Unicode ({name!a}): rename it. "
    return ""


def compare_files(root: Path, images: Sequence[str]) -> tuple[list[str], list[str]]:
    """The listed files that are absent, in the order of the list, and images beside them that are not listed.

    Each folder is read once; no file is opened.
    """
    listed: dict[str, set[str]] = defaultdict(set)
    places = [posixpath.split(plain_path(image)) for image in images]
    for folder, name in places:
        listed[folder].add(name)
    present = {folder: set(list_files(root / folder)) for folder in listed}
    absent = [
        image for image, (folder, name) in zip(images, places, strict=True) if name not in present[folder]
    ]
    unlisted = [
        posixpath.join(folder, name)
        for folder, names in listed.items()
        for name in present[folder] - names
        if name.lower().endswith(IMAGE_SUFFIXES)
    ]
    return absent, unlisted


def plain_path(path: str) -> str:
    """A relative path without ``.`` and doubled slashes, so that one file has one name."""
    return posixpath.normpath(path) if "//" in path or "./" in path else path


def stamp(root: Path, path: str) -> tuple[str, int, int]:
    """Name, size and modification time of a file.

    Raises:
        RetinalabError: it is absent.
    """
    try:
        found = os.stat(os.path.join(root, path))
    except OSError as error:
        raise RetinalabError(f"{root / path} cannot be read ({error.strerror}). Complete the copy.") from None
    return path, found.st_size, found.st_mtime_ns


def digest(parts: Iterable[object]) -> str:
    """Short hexadecimal digest of a sequence of plain values."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(repr(part).encode())
    return sha.hexdigest()[:16]


def need(path: Path, remedy: str = "complete the copy") -> None:
    """Check that a label file is there.

    Args:
        path: the file.
        remedy: what to do where no file of that name lies around it.

    Raises:
        RetinalabError: it is not; names the nearest name in its folder.
    """
    if path.is_file():
        return
    if not path.parent.is_dir():
        raise RetinalabError(f"No folder {path.parent}, which should hold {path.name!r}. Complete the copy.")
    there = list_files(path.parent)
    around = [*(path.parent / name for name in _folders(path.parent)), path.parent.resolve().parent]
    place = next((folder for folder in around if os.path.isfile(folder / path.name)), None)
    if place is not None:
        remedy = f"one of that name lies in {place}"
    raise unknown(
        "file",
        path.name,
        there[:20],
        f"{path} is needed; {remedy}.",
        label="There",
    )


def need_folder(root: Path, name: str, title: str) -> Path:
    """Find a folder of the official layout.

    Args:
        root: the folder that the user gave.
        name: the expected sub-folder, with ``/``.
        title: of the set, for the error.

    Raises:
        RetinalabError: it is absent; says what was found instead, and where the folder is if it lies one level above or
            below.
    """
    if (root / name).is_dir():
        return root / name
    below = [entry for entry in _folders(root) if (root / entry / name).is_dir()]
    if below:
        hint = f"It lies in {root / below[0]}: give that folder."
    elif (root.resolve().parent / name).is_dir():
        hint = f"It lies in {root.resolve().parent}: give that folder."
    else:
        hint = "Give the folder that holds it, or complete the copy."
    found = [*(f"{entry}/" for entry in _folders(root)), *list_files(root)]
    shown = ", ".join(repr(entry) for entry in found[:5]) + " …" * (len(found) > 5)
    raise RetinalabError(
        f"{root} holds no folder {name!r} of {title}; found there: {shown or 'nothing'}. {hint}"
    )


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())
