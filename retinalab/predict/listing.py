"""A list of photographs: a text or CSV file with one relative path per line, with or without a header."""

from __future__ import annotations

import csv
import os
import stat
from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TextIO

import numpy as np

from retinalab.data.sets.files import IMAGE_SUFFIXES
from retinalab.errors import RetinalabError
from retinalab.predict.columns import image_column
from retinalab.predict.dicom import DICOM_SUFFIXES
from retinalab.predict.photograph import Photograph

__all__ = ["LIST_SUFFIXES", "MAX_LINE", "MAX_LINES", "ListFile"]

LIST_SUFFIXES = (".csv", ".txt", ".lst")

MAX_LINE = 1 << 16
"""Characters of a line; no path of a file has more than 4,096."""
MAX_LINES = 1 << 26
"""Of a list: eight bytes are kept of each."""

_SHOWN = 10


@dataclass
class _Base:
    """A folder that the paths of a list may be relative to, and the lines that are absent from it."""

    path: Path
    absent: int = 0
    shown: list[str] = field(default_factory=list)

    def look(self, name: str, line: int) -> None:
        if not os.path.exists(self.path / name):
            self.absent += 1
            if len(self.shown) < _SHOWN:
                self.shown.append(f"line {line} {name!r}")


class ListFile:
    """Photographs listed in a file.

    The paths are relative to the list's own folder or, where more of them lie there, to the working folder. In a CSV
    file with several columns the photographs' column is known by its name or by the suffix of an image in it. Since a
    list may come from anyone, no path of it may lead out of that folder; a link that lies in it is followed wherever it
    leads, since whoever owns the folder made it. The list is read line by line, in bounded memory.

    Args:
        path: the list.

    Raises:
        RetinalabError: the list cannot be read or is empty, a path leaves its folder, or lines that name an absent
            photograph or repeat an earlier one, with their numbers, both kinds at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passed = 0
        self._column, self._header = self._layout()
        self.base = self._checked()

    def __iter__(self) -> Iterator[Photograph]:
        for line, name in self._lines():
            yield Photograph(name, self.base / name, f"line {line} of {self.path.name}")

    def __str__(self) -> str:
        return f"List {self.path}"

    def _layout(self) -> tuple[int, bool]:
        """The column of the paths, and whether the first line is a header."""
        rows = [cells for _, cells in zip(range(2), self._rows(), strict=False)]
        if not rows or (len(rows) == 1 and _with_suffix(rows[0][1]) is None):
            raise RetinalabError(f"{self.path} lists no photograph. Write one relative path per line.")
        first = rows[0][1]
        if (column := _with_suffix(first)) is not None:
            return column, False
        if (column := image_column(first)) is not None:
            return column, True
        if len(rows) > 1 and (column := _with_suffix(rows[1][1])) is not None:
            return column, True
        raise RetinalabError(
            f"{self.path} names no photograph in its first lines (found: {', '.join(map(repr, first[:4]))}). Write one "
            f"path per line with its suffix ({', '.join(IMAGE_SUFFIXES[:4])} …), or name the column 'image'."
        )

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of each line that is not blank."""
        try:
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                raise RetinalabError(
                    f"{self.path} is no regular file, and a list is read more than once. Write it to a file."
                )
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                lines = self._bounded(file)
                if self.path.suffix.lower() == ".csv":
                    reader = csv.reader(lines, skipinitialspace=True, strict=True)
                    rows = ((reader.line_num, cells) for cells in reader)
                else:
                    rows = ((number, [line]) for number, line in enumerate(lines, 1))
                for number, cells in rows:
                    stripped = [cell.strip() for cell in cells]
                    if any(stripped):
                        yield number, stripped
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = " ".join(str(error).split())
            raise RetinalabError(f"{self.path} is no readable list ({reason}). Write it in UTF-8.") from None

    def _bounded(self, file: TextIO) -> Iterator[str]:
        """The lines, none of which is held that no path could need."""
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE or number > MAX_LINES:
                what = f"line {number} is longer than {MAX_LINE} characters"
                if number > MAX_LINES:
                    what = f"it has more than {MAX_LINES} lines"
                raise RetinalabError(
                    f"{self.path} is no list of photographs: {what}. Write one relative path per line."
                )
            if "\0" in line:
                raise RetinalabError(
                    f"{self.path}, line {number}: a zero byte, which no path has. Write text in UTF-8."
                )
            yield line

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Line number and path of each photograph."""
        rows = self._rows()
        if self._header:
            next(rows)
        for line, cells in rows:
            name = cells[self._column].replace("\\", "/") if self._column < len(cells) else ""
            if not name:
                raise RetinalabError(
                    f"{self.path}, line {line}: no photograph is named. Complete or remove the line."
                )
            yield line, name

    def _checked(self) -> Path:
        """The folder that the paths are relative to."""
        bases = [_Base(folder) for folder in dict.fromkeys((self.path.parent, Path()))]
        seen = array("q")
        for line, name in self._lines():
            if _climbs(name):
                raise RetinalabError(
                    f"{self.path}, line {line}: {name!r} leaves the folder of the list. Write paths relative to it or "
                    "to the working folder, or name the photographs on the command line."
                )
            seen.append(hash(os.path.normpath(name)))
            for base in bases:
                base.look(name, line)
        faults: list[str] = []
        hashes, counts = np.unique(np.frombuffer(seen, np.int64), return_counts=True)
        if (counts > 1).any():
            faults.append(self._repeated(set(hashes[counts > 1].tolist())))
        best = min(bases, key=lambda base: base.absent)
        if best.absent:
            tried = " and ".join(str(base.path.resolve()) for base in bases)
            faults.append(
                f"{self.path} lists photographs that are absent: {', '.join(best.shown)}"
                f"{' …' * (best.absent > len(best.shown))} ({best.absent} in all; looked in {tried}). Complete the "
                "copy or remove the lines."
            )
        if faults:
            raise RetinalabError(*faults)
        return best.path

    def _repeated(self, hashes: set[int]) -> str:
        found: dict[str, list[int]] = defaultdict(list)
        for line, name in self._lines():
            if hash(plain := os.path.normpath(name)) in hashes:
                found[plain].append(line)
        twice = [
            f"lines {', '.join(map(str, lines))} {name!r}" for name, lines in found.items() if len(lines) > 1
        ]
        return (
            f"{self.path} lists photographs more than once: {'; '.join(twice[:_SHOWN])}"
            f"{' …' * (len(twice) > _SHOWN)} ({len(twice)} in all). Keep one line for each."
        )


def _with_suffix(cells: list[str]) -> int | None:
    return next(
        (k for k, cell in enumerate(cells) if cell.lower().endswith((*IMAGE_SUFFIXES, *DICOM_SUFFIXES))), None
    )


def _climbs(name: str) -> bool:
    """Whether a path is absolute or has a step upwards, which behind a link leads elsewhere than it seems."""
    return PurePosixPath(name).is_absolute() or name[1:2] == ":" or ".." in name.split("/")
