"""Reading folders and label files: few calls to the file system, errors that name file and remedy."""

from __future__ import annotations

import csv
import hashlib
import os
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from retinalab.errors import RetinalabError, unknown

__all__ = [
    "IMAGE_SUFFIXES",
    "as_rows",
    "check_files",
    "check_paths",
    "compare_files",
    "digest",
    "integers",
    "list_files",
    "need",
    "need_folder",
    "read_csv",
    "stamp",
]

MAX_BYTES = 1 << 29
"""Of a label file; one of a million photographs with a dozen columns has a fifth of it."""
_MAX_HEADER = 1 << 18
_MAX_COLUMNS = 4096
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm")


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
    for image in images:
        path = PurePosixPath(image)
        listed[str(path.parent)].add(path.name)
    present = {folder: set(list_files(root / folder)) for folder in listed}
    absent = [
        image
        for image, path in zip(images, map(PurePosixPath, images), strict=True)
        if path.name not in present[str(path.parent)]
    ]
    unlisted = [
        str(PurePosixPath(folder) / name)
        for folder, names in listed.items()
        for name in present[folder] - names
        if name.lower().endswith(IMAGE_SUFFIXES)
    ]
    return absent, unlisted


def stamp(root: Path, path: str) -> tuple[str, int, int]:
    """Name, size and modification time of a file.

    Raises:
        RetinalabError: it is absent.
    """
    try:
        found = os.stat(root / path)
    except OSError as error:
        raise RetinalabError(f"{root / path} cannot be read ({error.strerror}). Complete the copy.") from None
    return path, found.st_size, found.st_mtime_ns


def digest(parts: Iterable[object]) -> str:
    """Short hexadecimal digest of a sequence of plain values."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(repr(part).encode())
    return sha.hexdigest()[:16]


def read_csv(path: Path, columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read a label file as text: headers and cells stripped, empty columns and rows dropped.

    Raises:
        RetinalabError: the file is absent, empty or no table, or lacks one of ``columns``.
    """
    need(path)
    _check_extent(path)
    try:
        with warnings.catch_warnings():  # a row longer than the header would else shift every column by one
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                skipinitialspace=True,
                index_col=False,
                compression=None,
            )
        header = _header(path)
    except OSError as error:
        raise RetinalabError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None
    except (
        pd.errors.EmptyDataError,
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        UnicodeDecodeError,
        csv.Error,
    ) as error:
        reason = " ".join(str(error).split())
        raise RetinalabError(
            f"{path} is no readable CSV ({reason}). Write it in UTF-8, with commas, every row as long as "
            "the header; or fetch it again from its source."
        ) from None
    _check_header(header, path)
    table.columns = [str(column).strip() for column in table.columns]
    named = [column for column in table.columns if column and not column.startswith("Unnamed")]
    table = pd.DataFrame({column: table[column].str.strip() for column in named})
    table = table[(table != "").any(axis=1)]
    for column in columns:
        if column not in table.columns:
            raise unknown(
                "column", column, table.columns, f"{path} must have it.", label=f"Columns of {path.name}"
            )
    return table.reset_index(drop=True)


def _check_extent(path: Path) -> None:
    """Refuse what would take all memory: a file, or a first line, beyond any label file."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise RetinalabError(
            f"{path} has {size / 1e9:.1f} GB, which no label file has. Fetch it again from its source."
        )
    try:
        with path.open("rb") as file:
            first = file.readline(_MAX_HEADER)
    except OSError as error:
        raise RetinalabError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None
    if len(first) == _MAX_HEADER or first.count(b",") >= _MAX_COLUMNS:
        raise RetinalabError(
            f"{path} is no readable CSV (its first line has {first.count(b',') + 1} columns or more in {len(first)} "
            "bytes or more). Give a file with a header and one row for each photograph."
        )


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = ([cell.strip() for cell in row] for row in csv.reader(lines, skipinitialspace=True))
        return next((row for row in rows if any(row)), [])


def _check_header(header: Sequence[str], path: Path) -> None:
    """Refuse columns that are not separated by commas, and a name (no number: there is no header) that two bear."""
    other = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    if other is not None:
        raise RetinalabError(
            f"{path} separates its columns with {other!r}, not with commas (its header: {header[0]!r}). "
            "Write it with commas."
        )
    twice = next(
        (name for name in header if header.count(name) > 1 and not (name.isdigit() or name == "")), None
    )
    if twice is not None:
        raise RetinalabError(
            f"{path} has {header.count(twice)} columns {twice!r}. Remove or rename all but the one that is meant."
        )


def as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One mapping per row, column -> cell."""
    columns = [str(column) for column in table.columns]
    return [dict(zip(columns, cells, strict=True)) for cells in table.itertuples(index=False, name=None)]


def need(path: Path) -> None:
    """Check that a label file is there.

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
    remedy = "complete the copy" if place is None else f"one of that name lies in {place}"
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


def integers(
    table: pd.DataFrame, column: str, source: Path, words: Mapping[str, int] | None = None
) -> pd.Series:
    """A column of text as whole numbers; an empty cell is -1.

    Args:
        table: as :func:`read_csv` returns it.
        column: one of its columns.
        source: the file, named in the error.
        words: meaning of cells that are words.

    Raises:
        RetinalabError: a cell is no whole number.
    """
    cells = table[column].astype(str)
    if words:
        cells = cells.map(lambda cell: str(words.get(cell, cell)))
    numbers = pd.to_numeric(cells.mask(cells.str.lower().isin(["", "na", "nan"]), "-1"), errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise RetinalabError(
            f"{source}, row {row + 2}: {column} is {table[column].iloc[row]!r}, not a whole number "
            f"({int(wrong.sum())} such rows). Correct the cell or leave it empty."
        )
    return numbers.astype("int64")
