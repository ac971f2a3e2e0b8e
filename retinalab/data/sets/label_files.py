"""Label files as text tables and whole numbers; errors name file, row and remedy."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from retinalab.data.sets.files import need
from retinalab.errors import RetinalabError, unknown

__all__ = ["as_rows", "integers", "read_csv"]

MAX_BYTES = 1 << 29
"""Of a label file; one of a million photographs with a dozen columns has a fifth of it."""
_MAX_HEADER = 1 << 18
_MAX_COLUMNS = 4096
_LARGEST = 2**53
"""Whole numbers up to here are told apart as floating ones."""


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


def integers(
    table: pd.DataFrame,
    column: str,
    source: Path,
    words: Mapping[str, int] | None = None,
    named: str | None = None,
) -> pd.Series:
    """A column of text as whole numbers; an empty cell is -1.

    Args:
        table: as :func:`read_csv` returns it.
        column: one of its columns.
        source: the file, named in the error.
        words: meaning of cells that are words.
        named: what the file calls the column, where that is another name.

    Raises:
        RetinalabError: a cell is no whole number.
    """
    cells = table[column].astype(str)
    if words:
        cells = cells.map(lambda cell: str(words.get(cell, cell)))
    numbers = pd.to_numeric(cells.mask(cells.str.lower().isin(["", "na", "nan"]), "-1"), errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0) | (numbers.abs() > _LARGEST)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise RetinalabError(
            f"{source}, row {row + 2}: {named or column} is {table[column].iloc[row]!r}, not a whole number "
            f"({int(wrong.sum())} such rows). Correct the cell or leave it empty."
        )
    return numbers.astype("int64")
