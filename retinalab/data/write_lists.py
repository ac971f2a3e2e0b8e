"""Writes split lists, so that another run reads back the very same split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from retinalab.data.lists import FILE_LIST, read_lists
from retinalab.errors import RetinalabError
from retinalab.records import Records

__all__ = ["write_folds", "write_parts"]


def write_parts(folder: Path, records: Records, parts: Mapping[str, np.ndarray]) -> None:
    """Write ``train.csv``, ``val.csv`` and ``test.csv``, to be read back to the same rows.

    Args:
        folder: an absent or empty one, or one with lists of the same kind, which are overwritten.
        records: the table that the positions refer to.
        parts: part -> rows; an absent part gets no list.

    Raises:
        RetinalabError: the folder holds other files or cannot be written, or photographs share a name.
    """
    images = _distinct(records)
    _write(folder, {f"{part}.csv": [images[row] for row in rows] for part, rows in parts.items()})
    back = read_lists(folder, records).parts
    _same_rows(folder, [(rows, back[part]) for part, rows in parts.items()])


def write_folds(
    folder: Path, records: Records, tests: Sequence[np.ndarray], validations: Sequence[np.ndarray] = ()
) -> None:
    """Write ``file_list.txt`` with ``fold1.txt`` … and ``val1.txt`` …, to be read back to the same rows.

    Args:
        folder: as in :func:`write_parts`.
        records: the table that the positions refer to; its photographs become the file list.
        tests: the test rows of each fold.
        validations: the validation rows of each fold; empty to have them taken from training.

    Raises:
        RetinalabError: as in :func:`write_parts`.
    """
    files = {FILE_LIST: _distinct(records)}
    for word, parts in (("fold", tests), ("val", validations)):
        for number, rows in enumerate(parts, start=1):
            files[f"{word}{number}.txt"] = [str(row) for row in rows]
    _write(folder, files)
    back = read_lists(folder, records)
    written = [*zip(tests, back.folds, strict=True), *zip(validations, back.validations, strict=True)]
    _same_rows(folder, written)


def _distinct(records: Records) -> list[str]:
    images: list[str] = records.table["image"].tolist()
    twice = records.table["image"].duplicated()
    if twice.any():
        raise RetinalabError(
            f"{images[int(twice.to_numpy().argmax())]!r} is the name of two photographs of different sets, which a "
            "list cannot tell apart. Write the split of each set alone, or a table (--out FILE.csv)."
        )
    return images


def _write(folder: Path, files: Mapping[str, Sequence[str]]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted({path.name for path in folder.iterdir()} - set(files))
        if others:
            raise RetinalabError(
                f"{folder} holds other files ({len(others)}, first: {others[0]!r}), which could be taken for lists "
                "of this split. Name an empty folder."
            )
        for name, lines in files.items():
            (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise RetinalabError(
            f"Cannot write lists into {folder}: {error.strerror or error}. Name another folder."
        ) from error


def _same_rows(folder: Path, written: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    if not all(np.array_equal(rows, back) for rows, back in written):
        raise RetinalabError(
            f"The lists in {folder} read back as another split: a photograph's name holds a line break or ends in "
            "a space. Rename it, or write a table (--out FILE.csv)."
        )
