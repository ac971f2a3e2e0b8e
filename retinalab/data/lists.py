"""Split lists: read as authors published them, or as ``retinalab data split`` wrote them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retinalab.errors import RetinalabError
from retinalab.records import PARTS, Records, photograph_name

__all__ = ["FILE_LIST", "Lists", "read_lists"]

FILE_LIST = "file_list.txt"


@dataclass(frozen=True)
class Lists:
    """Published lists, as positions in the records.

    Attributes:
        folder: where they lie.
        folds: the test rows of each fold; empty where the lists are train, val and test.
        validations: the validation rows of each fold; empty where the lists leave them to be taken from training.
        parts: train, val and test rows; empty where the lists are folds.
    """

    folder: Path
    folds: tuple[np.ndarray, ...] = ()
    validations: tuple[np.ndarray, ...] = ()
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)


def read_lists(folder: Path | str, records: Records) -> Lists:
    """Read the lists of a folder and find their photographs among the records.

    Either ``file_list.txt`` (one name a line) with ``fold1.txt``, ``fold2.txt`` … anywhere below (row numbers
    into it, from 0) and, where the folds name their validation part too, ``val1.txt``, ``val2.txt`` … beside
    them; or ``train``, ``val`` and ``test`` with the suffix ``.csv`` or ``.txt`` (one name a line, no header).
    Names are compared without folder and suffix and in lower case where that is unambiguous.

    Raises:
        RetinalabError: no such lists, a photograph that the records lack, a fold that is missing, or a row number
            beyond the file list.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RetinalabError(f"No folder {folder} of published split lists (protocol.lists). Check the path.")
    places = _Places(records)
    names = folder / FILE_LIST
    folds = _numbered(folder, "fold")
    if names.is_file() and folds:
        rows = places.find(_lines(names), names)
        vals = _numbered(folder, "val")
        if vals and vals.keys() != folds.keys():
            odd = min(vals.keys() ^ folds.keys())
            raise RetinalabError(f"{folder} holds only one of fold{odd}.txt and val{odd}.txt. Complete it.")
        tests, validations = (_all_rows(files, rows) for files in (folds, vals))
        return Lists(folder, tests, validations)
    files = {part: _first(folder, part) for part in PARTS}
    found = {part: path for part, path in files.items() if path is not None}
    if "train" not in found or "test" not in found:
        raise RetinalabError(
            f"{folder} holds neither {FILE_LIST} with fold1.txt … nor train, val and test lists (.csv or .txt); "
            f"found there: {_contents(folder)}. Put the authors' files there."
        )
    parts = {part: np.unique(places.find(_lines(path), path)) for part, path in found.items()}
    return Lists(folder, parts={part: parts.get(part, np.empty(0, np.int64)) for part in PARTS})


class _Places:
    """Finds photographs by name: the path as listed, else in lower case, else the bare name, where one bears it."""

    def __init__(self, records: Records) -> None:
        images = records.table["image"].tolist()
        self._whose = " and ".join(repr(name) for name in dict.fromkeys(records.table["set"]))
        self._notes = records.notes
        self._exact = {image: row for row, image in enumerate(images)}
        self._paths: dict[str, int] = {}
        self._stems: dict[str, int] = {}
        for row, image in enumerate(images):
            for known, name in ((self._paths, image.lower()), (self._stems, photograph_name(image))):
                known[name] = -1 if name in known else row

    def find(self, names: Sequence[str], source: Path) -> np.ndarray:
        rows = [self._row(name) for name in names]
        for state, reason in ((-2, "none has"), (-1, "several have")):
            wrong = [name for name, row in zip(names, rows, strict=True) if row == state]
            if wrong:
                raise RetinalabError(
                    f"{source} lists {wrong[0]!r}, a name that {reason} among the {len(self._exact)} photographs of "
                    f"{self._whose} ({len(wrong)} of {len(names)} names). {self._remedy(wrong)}"
                )
        return np.array(rows, dtype=np.int64)

    def _row(self, name: str) -> int:
        stem = self._stems.get(photograph_name(name), -2)
        return self._exact.get(name, self._paths.get(name.lower(), stem))

    def _remedy(self, wrong: Sequence[str]) -> str:
        bare = [photograph_name(name) for name in wrong]
        told = [note for note in self._notes if any(name in note.lower() for name in bare)]
        if told:
            return f"The set was read so: {told[0]}."
        return (
            "Use the lists with the set that they were made for, a complete copy of it, and options that leave "
            "none of them out."
        )


def _numbered(folder: Path, word: str) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for path in sorted(folder.rglob(f"{word}*.txt")):
        number = re.fullmatch(rf"{word}([0-9]{{1,4}})", path.stem)
        if number is None:
            continue
        if int(number[1]) in found:
            other = found[int(number[1])]
            raise RetinalabError(
                f"{other} and {path} are both {path.stem}. Keep the lists of one split there."
            )
        found[int(number[1])] = path
    missing = sorted(set(range(min(1, *found), max(found))) - set(found)) if found else []
    if missing:
        raise RetinalabError(
            f"{folder} lacks {word}{missing[0]}.txt ({len(missing)} of {len(found) + len(missing)} such lists). "
            "Complete the authors' files."
        )
    return dict(sorted(found.items()))


def _all_rows(files: Mapping[int, Path], rows: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.unique(rows[_numbers(path, len(rows))]) for path in files.values())


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RetinalabError(
            f"{path} is no readable list ({error}). Fetch the authors' file again."
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _numbers(path: Path, count: int) -> np.ndarray:
    try:
        numbers = np.array([int(line) for line in _lines(path)], dtype=np.int64)
    except (ValueError, OverflowError) as error:
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


def _contents(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(repr(name) for name in names[:5]) + " …" * (len(names) > 5) if names else "nothing"
