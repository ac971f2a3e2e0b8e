"""Readers' operating points: read from a CSV, checked, and set beside the network's ROC curve as numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from retinalab.errors import RetinalabError, unknown
from retinalab.metrics.operating import at_readers_points
from retinalab.metrics.statistics import Interval
from retinalab.protocol import Scale
from retinalab.report.numbers import number

__all__ = ["READERS", "ReaderRow", "ReadersTable", "Reading", "read_readers", "readers_table", "targets"]

READERS = "readers.csv"
"""Name of the copy that a run keeps in its folder, from which its report is drawn again."""

_NEEDED = ("disease", "reader", "sensitivity", "specificity")
_OPTIONAL = ("set", "target")


@dataclass(frozen=True)
class Reading:
    """One operating point of a reader, shares in [0, 1].

    Attributes:
        set: the data set that was read; "" is the one that the network was trained on.
        target: what counts as positive, one of :func:`targets`.
    """

    disease: str
    reader: str
    sensitivity: float
    specificity: float
    set: str
    target: str


def targets(scale: Scale) -> dict[str, int]:
    """What a reader may have looked for on a scale, and the lowest grade that counts as such; the default first.

    Example:
        >>> from retinalab.protocol import SCALES
        >>> targets(SCALES["icdr5"]), targets(SCALES["any"])
        ({'referable': 2, 'any': 1}, {'any': 1})
    """
    if scale.size > 2:
        return {"referable": scale.referable, "any": 1}
    return {scale.name if scale.name in ("referable", "any") else "present": 1}


def read_readers(path: Path, scales: Mapping[str, Scale], sets: Collection[str]) -> tuple[Reading, ...]:
    """Read a CSV of readers' operating points.

    Columns ``disease, reader, sensitivity, specificity``, and, where wanted, ``set`` (a test set; empty: the
    one trained on) and ``target`` (``referable``, ``any`` or, of a yes or no, ``present``; empty: the scale's
    own). Several rows of one reader are several points. Shares are written 0.92 or 92%.

    Args:
        scales: disease -> its scale.
        sets: names of the sets that are tested.

    Raises:
        RetinalabError: no such file, no row, a column missing or unknown, a value that is no share, or a
            disease, set or target that is not there; the row is named.
    """
    rows = _rows(path)
    out = []
    for line, row in rows:
        where = f"{path.name}, line {line}"
        disease, name = row["disease"].lower(), row.get("set", "")
        name = name if name in sets else name.replace("-", "_")
        if disease not in scales:
            raise unknown("disease", row["disease"], scales, f"Correct {where}.")
        if not row["reader"]:
            raise RetinalabError(f"{where}: column reader is empty. Name the reader, such as 'reader A'.")
        if name and name not in sets:
            raise unknown(
                "data set", row["set"], sets, f"Correct {where}, or test on it: test.sets=[{name}]."
            )
        known = targets(scales[disease])
        target = row.get("target", "").lower() or next(iter(known))
        if target not in known:
            remedy = f"Correct {where}; {disease} is graded on {scales[disease].name}."
            raise unknown("target", target, known, remedy)
        shares = [_share(row[column], column, where) for column in ("sensitivity", "specificity")]
        out.append(Reading(disease, row["reader"], shares[0], shares[1], name, target))
    return tuple(out)


@dataclass(frozen=True)
class ReaderRow:
    """A reader's point beside the network's on the same axis, as printed."""

    reader: str
    sensitivity: str
    specificity: str
    network_sensitivity: str
    sensitivity_position: str
    network_specificity: str
    specificity_position: str


@dataclass(frozen=True)
class ReadersTable:
    """The comparison of one disease and target on one test set."""

    title: str
    rows: list[ReaderRow]


def readers_table(
    rows: pd.DataFrame, disease: str, lowest: int, target: str, readings: Sequence[Reading]
) -> ReadersTable:
    """The network's sensitivity at each reader's specificity with its interval, and the reverse.

    Args:
        rows: predictions of the test set whose reference is known, on both sides of ``lowest``.
    """
    points = [(one.sensitivity, one.specificity) for one in readings]
    found = at_readers_points(rows, disease, lowest, points)
    out = []
    for one, (sensitivity, specificity) in zip(readings, found, strict=True):
        out.append(
            ReaderRow(
                one.reader, number(one.sensitivity), number(one.specificity),
                _text(sensitivity), _position(one.sensitivity, sensitivity),
                _text(specificity), _position(one.specificity, specificity),
            )
        )  # fmt: skip
    return ReadersTable(f"{disease.upper()}, {target} (grade ≥ {lowest})", out)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    if not path.is_file():
        raise RetinalabError(f"No file {path} of readers. Give a CSV with columns {', '.join(_NEEDED)}.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="")
            columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RetinalabError(
            f"{path} is no readable CSV ({error}). Save it as comma-separated UTF-8 text."
        ) from error
    _check_columns(path, columns)
    for line, row in rows:
        if "" in row or None in row.values():
            raise RetinalabError(
                f"{path.name}, line {line}: not the {len(columns)} cells of the header. Quote names with commas."
            )
    kept = [(line, {name: cell.strip() for name, cell in row.items()}) for line, row in rows]
    kept = [(line, row) for line, row in kept if any(row.values())]
    if not kept:
        raise RetinalabError(f"{path} holds no reader. Give a row for each operating point.")
    return kept


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in (*_NEEDED, *_OPTIONAL) or columns.count(column) > 1:
            twice = "Remove the copy." if columns.count(column) > 1 else f"Correct the header of {path}."
            raise unknown("column", column, (*_NEEDED, *_OPTIONAL), twice)
    if missing := [column for column in _NEEDED if column not in columns]:
        raise RetinalabError(
            f"{path} lacks column {', '.join(missing)}; it has {', '.join(columns) or 'none'}. A readers' file "
            f"has {', '.join(_NEEDED)}, and may have {' and '.join(_OPTIONAL)}."
        )


def _share(cell: str, column: str, where: str) -> float:
    text = cell.removesuffix("%").strip()
    try:
        value = float(text) / (100 if cell.endswith("%") else 1)
    except ValueError:
        raise RetinalabError(
            f"{where}: {column} is {cell!r}, not a number. Write a share such as 0.92, or 92%."
        ) from None
    if not (math.isfinite(value) and 0 <= value <= 1):
        remedy = f"Write {text}%, or 0.92." if 1 < value <= 100 and "%" not in cell else "Write 0.92, or 92%."
        raise RetinalabError(f"{where}: {column} is {cell}, not a share between 0 and 1. {remedy}")
    return value


def _text(one: Interval) -> str:
    bounds = "" if math.isnan(one.low) else f" [{number(one.low)}, {number(one.high)}]"
    return f"{number(one.value)}{bounds}"


def _position(reader: float, network: Interval) -> str:
    if math.isnan(network.low):
        return ""
    if reader < network.low:
        return "reader below the interval"
    return "reader above the interval" if reader > network.high else "reader inside the interval"
