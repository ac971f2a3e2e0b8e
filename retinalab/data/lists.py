"""Split lists as authors published them: ten folds of row numbers, or three lists of file names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retinalab.errors import RetinalabError
from retinalab.records import PARTS, Records, photograph_name

__all__ = ["Lists", "read_lists"]


@dataclass(frozen=True)
class Lists:
    """Published lists, as positions in the records.

    Attributes:
        folder: where they lie.
        folds: the test rows of each fold; empty where the lists are train, val and test.
        parts: train, val and test rows; empty where the lists are folds.
    """

    folder: Path
    folds: tuple[np.ndarray, ...] = ()
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)


def read_lists(folder: Path | str, records: Records) -> Lists:
    """Read the lists of a folder and find their photographs among the records.

    Either ``file_list.txt`` (one name a line) with ``fold1.txt``, ``fold2.txt`` … anywhere below (row numbers
    into it, from 0), or ``train``, ``val`` and ``test`` with the suffix ``.csv`` or ``.txt`` (one name a
    line, no header). Names are compared without folder and suffix and in lower case where that is
    unambiguous.

    Raises:
        RetinalabError: no such lists, a photograph that the records lack, or a row number beyond the file
            list.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RetinalabError(f"No folder {folder} of published split lists (protocol.lists). Check the path.")
    places = _Places(records)
    names = folder / "file_list.txt"
    folds = sorted(folder.rglob("fold*.txt"), key=lambda path: _number(path.stem))
    if names.is_file() and folds:
        rows = places.find(_lines(names), names)
        return Lists(folder, folds=tuple(np.sort(rows[_numbers(path, len(rows))]) for path in folds))
    files = {part: _first(folder, part) for part in PARTS}
    found = {part: path for part, path in files.items() if path is not None}
    if "train" not in found or "test" not in found:
        raise RetinalabError(
            f"{folder} holds neither file_list.txt with fold1.txt … nor train, val and test lists "
            "(.csv or .txt). Put the authors' files there."
        )
    parts = {part: np.unique(places.find(_lines(path), path)) for part, path in found.items()}
    return Lists(folder, parts={part: parts.get(part, np.empty(0, np.int64)) for part in PARTS})


class _Places:
    """Finds photographs by name: the path as listed, else the bare name where only one bears it."""

    def __init__(self, records: Records) -> None:
        images = records.table["image"].tolist()
        self._paths = {image.lower(): row for row, image in enumerate(images)}
        self._stems: dict[str, int] = {}
        for row, image in enumerate(images):
            stem = photograph_name(image)
            self._stems[stem] = -1 if stem in self._stems else row

    def find(self, names: Sequence[str], source: Path) -> np.ndarray:
        rows = [self._paths.get(name.lower(), self._stems.get(photograph_name(name), -2)) for name in names]
        for state, reason in ((-2, "none has"), (-1, "several have")):
            wrong = [name for name, row in zip(names, rows, strict=True) if row == state]
            if wrong:
                raise RetinalabError(
                    f"{source} lists {wrong[0]!r}, a name that {reason} among the photographs "
                    f"({len(wrong)} of {len(names)} names). Use the lists with the set that they "
                    "were made for, and a complete copy of it."
                )
        return np.array(rows, dtype=np.int64)


def _lines(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    return [line for line in lines if line]


def _number(stem: str) -> int:
    digits = re.sub(r"\D", "", stem)
    return int(digits) if digits else -1


def _numbers(path: Path, count: int) -> np.ndarray:
    try:
        numbers = np.array([int(line) for line in _lines(path)], dtype=np.int64)
    except ValueError as error:
        raise RetinalabError(
            f"{path} holds more than row numbers ({error}). Fetch the authors' file again."
        ) from None
    if len(numbers) == 0 or numbers.min() < 0 or numbers.max() >= count:
        raise RetinalabError(
            f"{path} holds row numbers outside 0 to {count - 1}. It belongs to another file list."
        )
    return numbers


def _first(folder: Path, part: str) -> Path | None:
    return next((path for suffix in ("csv", "txt") if (path := folder / f"{part}.{suffix}").is_file()), None)
