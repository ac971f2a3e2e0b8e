"""The table of printed values to be audited: a CSV file, one row a check."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from retinalab.audit.rounding import Printed, printed
from retinalab.errors import RetinalabError, unknown

__all__ = ["CHECKS", "COLUMNS", "Check", "read_checks"]

COLUMNS = {
    "table": "where it is printed: Table IV",
    "row": "row and column of the cell, or any words",
    "check": "one of the checks below",
    "value": "as printed, with all its digits: 65.1, 0.780, 488 × 448",
    "unit": "%, k (thousand), M (million); empty for shares and counts; of every number in 'from' too",
    "n": "units counted: 103; 3512-3514 where it is known roughly",
    "from": "what the value follows from: numbers, or name=number, between semicolons",
    "averaged": "number of folds, runs or classes that the value is a mean of; empty for one",
    "assumes": "what must hold besides for the check to be fair; printed with the verdict",
}
CHECKS = {
    "share": "some whole k of n rounds to the value (GRIM)",
    "ratio": "the value is the first number in 'from' over the second",
    "count": "the value is a counted number, rounded",
    "sum": "the value is the sum of the printed numbers, within their rounding",
    "mean": "... their mean",
    "difference": "... the first less the second",
    "change": "... the first less the second, over the second",
    "weighted": "... a weighted sum: 0.8*0.0736; 0.2*0.0",
    "joint": "share right in both of two tasks, from the shares right in each",
    "f1": "from precision=, recall= as printed; with positives=, negatives= (counts) exactly",
    "accuracy": "from positives=, negatives= and sensitivity=, specificity=, precision=, f1=, or from matrix=",
    "sensitivity": "the same (not from a matrix)",
    "specificity": "the same (not from a matrix)",
    "precision": "the same (not from a matrix)",
    "kappa": "quadratic weighted kappa, from matrix=FILE.csv or matrix=5 1 / 2 7 (rows: reference)",
    "kappa_linear": "linearly weighted kappa, from matrix=",
    "kappa_unweighted": "Cohen's kappa, from matrix=",
    "unacceptable": "photographs graded 0-1 for 3-4 and the reverse (five grades), from matrix=",
    "total": "photographs in matrix=",
    "same": "printed elsewhere as in 'from'",
    "square": "the sides of a printed size are equal",
}
_SIZES = 10_000
_RANGE = re.compile(r"(\d+)(?:\s*[-–]\s*(\d+))?")


@dataclass(frozen=True)
class Check:
    """One row of the file.

    Attributes:
        folder: of the file; paths in ``given`` are relative to it.
        line: of the file, for messages.
        given: the column ``from``.
        averaged: how many figures the value is a mean of; 1 for one run on one test set.
    """

    folder: Path
    line: int
    table: str
    row: str
    check: str
    value: str
    unit: str = ""
    n: str = ""
    given: str = ""
    averaged: int = 1
    assumes: str = ""

    @property
    def printed(self) -> Printed:
        """The value as a number."""
        return printed(self.value, self.unit)

    @property
    def sizes(self) -> range:
        """Every n that it may be counted on.

        Raises:
            RetinalabError: none is given, or no whole number or range of them.
        """
        found = _RANGE.fullmatch(self.n.strip().replace(",", ""))
        if found is None:
            raise RetinalabError(f"{self.n!r} is no n. Write the number of units, such as 103 or 3512-3514.")
        sizes = range(int(found[1]), int(found[2] or found[1]) + 1)
        if not sizes or sizes[0] < 1:
            raise RetinalabError(f"n = {self.n!r} counts nothing. Write the lower end first, above 0.")
        if sizes.stop - sizes.start > _SIZES:
            raise RetinalabError(
                f"n = {self.n!r} is a range of more than {_SIZES:,} sizes. Narrow it, or leave the row out."
            )
        return sizes

    @property
    def parts(self) -> list[str]:
        """Numbers of ``given``, as printed."""
        return [part.strip() for part in self.given.split(";") if part.strip()]

    @property
    def named(self) -> dict[str, str]:
        """name=number pairs of ``given``.

        Raises:
            RetinalabError: a part without a name, or a name twice.
        """
        pairs = [part.partition("=") for part in self.parts]
        names = [name.strip() for name, _, _ in pairs]
        for name, equals, _ in pairs:
            if not equals or names.count(name.strip()) > 1:
                raise RetinalabError(
                    f"'from' needs each of its parts named once for {self.check!r}, got {name.strip()!r}. "
                    f"It takes {CHECKS[self.check]}."
                )
        return {name.strip(): number.strip() for name, _, number in pairs}


def read_checks(path: Path) -> tuple[Check, ...]:
    """Read a file of printed values.

    Raises:
        RetinalabError: no such file, no CSV, an unknown or missing column, an unknown check, an empty value.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(reader.fieldnames, path)
            checks = [_check(row, path, reader.line_num) for row in reader if any(row.values())]
    except OSError as error:
        raise RetinalabError(
            f"No table {path}: {error.strerror}. Give a CSV file of printed values."
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise RetinalabError(f"{path} is no readable CSV ({error}). Save it as CSV in UTF-8.") from error
    if not checks:
        raise RetinalabError(f"{path} holds no rows. Write one for each value; see: retinalab audit --help")
    return tuple(checks)


def _check_columns(found: object, path: Path) -> None:
    names = list(found) if isinstance(found, list) else []
    for name in names:
        if name not in COLUMNS or names.count(name) > 1:
            twice = f"{path}: column {name!r} stands twice. Keep one."
            raise (
                RetinalabError(twice)
                if name in COLUMNS
                else unknown("column", name, COLUMNS, f"Correct {path}.")
            )
    missing = [name for name in ("check", "value") if name not in names]
    if missing:
        raise RetinalabError(
            f"{path} has no column {missing[0]!r}. Its first line names the columns: {', '.join(COLUMNS)}."
        )


def _check(row: dict[str | None, str | None], path: Path, line: int) -> Check:
    where = f"{path} line {line}"
    if None in row:
        raise RetinalabError(f"{where}: more fields than columns. Put a field that holds a comma in quotes.")
    cell = {str(name): (text or "").strip() for name, text in row.items()}
    if cell["check"] not in CHECKS:
        raise unknown("check", cell["check"], CHECKS, f"Correct {where}.")
    if not cell["value"]:
        raise RetinalabError(f"{where}: no value. Write it as printed, or leave the row out.")
    averaged = cell.get("averaged", "") or "1"
    if not averaged.isdecimal() or int(averaged) < 1:
        raise RetinalabError(
            f"{where}: averaged {averaged!r} is no number of figures. Write one, or nothing."
        )
    words = {name: cell.get(name, "") for name in ("table", "row", "check", "value", "unit", "n", "assumes")}
    return Check(path.parent, line, given=cell.get("from", ""), averaged=int(averaged), **words)
