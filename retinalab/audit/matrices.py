"""Figures that follow from a printed confusion matrix."""

from __future__ import annotations

import csv
import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.audit.finding import Answer
from retinalab.audit.rounding import decimal
from retinalab.audit.table import Check
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FIGURES", "figure", "from_matrix", "read_matrix"]

FIGURES = ("accuracy", "kappa", "kappa_linear", "kappa_unweighted", "unacceptable", "total")
_EXACT = 10**12


def from_matrix(check: Check) -> Answer:
    """Agreement, unacceptable errors or the total of a printed matrix of photographs, beside the printed figure.

    Raises:
        RetinalabError: no readable matrix, or one of another size than the figure needs.
    """
    words = check.named.get("matrix", "")
    if not words:
        raise RetinalabError(
            f"'from' of {check.check!r} is matrix=FILE.csv or matrix=5 1 / 2 7, got {check.given!r}."
        )
    if check.averaged > 1:
        return Answer(
            "untestable", "a mean over folds or runs; kappa of their summed matrix is another", telling=False
        )
    value = figure(check.check, read_matrix(words, check.folder))
    stated = check.printed
    if value is None:
        return Answer("impossible", f"{check.check} of this matrix is not defined")
    why = f"the matrix gives {decimal(value, stated, check.unit)}{f' {check.unit}' if check.unit else ''}"
    fits, slip = stated.rounded_from(value), stated.slip(value)
    return Answer.of(fits, why if fits or not slip else f"{why}: {slip}")


def figure(name: str, matrix: npt.NDArray[np.int64]) -> Fraction | None:
    """One of :data:`FIGURES`; kappas to twelve digits, the others exactly; None where it is not defined.

    Shape:
        - ``matrix``: ``(K, K)``, int64, photographs of each reference grade (row) by predicted grade (column).

    Raises:
        RetinalabError: unacceptable errors of other than five grades.
    """
    total = int(matrix.sum())
    if name == "total":
        return Fraction(total)
    if name == "accuracy":
        return Fraction(int(matrix.trace()), total) if total else None
    from retinalab.metrics.grading import kappa, unacceptable_errors
    from retinalab.protocol import SCALES

    if name == "unacceptable":
        if len(matrix) != SCALES["icdr5"].size:
            raise RetinalabError(
                f"Unacceptable errors are those of five ICDR grades, the matrix has {len(matrix)}. Leave the row out."
            )
        found = unacceptable_errors(matrix.astype("float64"), SCALES["icdr5"])
        return Fraction(int(sum(float(count) for count in found.values())))
    counts = matrix.astype("float64")
    value = float(
        kappa(counts, "linear") if name == "kappa_linear"
        else kappa(counts, "none") if name == "kappa_unweighted" else kappa(counts)
    )  # fmt: skip
    return None if math.isnan(value) else Fraction(round(value * _EXACT), _EXACT)


def read_matrix(words: str, folder: Path) -> npt.NDArray[np.int64]:
    """A matrix from ``5 1 / 2 7`` or from a CSV file of whole numbers without a header.

    Raises:
        RetinalabError: no such file, no whole numbers, not square.

    Example:
        >>> read_matrix("5 1 / 2 7", Path()).tolist()
        [[5, 1], [2, 7]]
    """
    rows = (
        _rows_of(folder / words) if words.lower().endswith(".csv") else [r.split() for r in words.split("/")]
    )
    try:
        numbers = [[int(cell.replace(",", "")) for cell in row] for row in rows]
    except ValueError as error:
        raise RetinalabError(
            f"Matrix {words!r} holds more than whole numbers: {error}. Write counts only."
        ) from error
    if len(numbers) < 2 or any(len(row) != len(numbers) for row in numbers) or min(map(min, numbers)) < 0:
        shape = f"{len(numbers)} rows of {', '.join(dict.fromkeys(str(len(row)) for row in numbers))}"
        raise RetinalabError(
            f"Matrix {words!r} is no square table of counts: {shape}. Write a row for each grade."
        )
    import numpy as np

    return np.array(numbers, dtype=np.int64)


def _rows_of(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.reader(file) if any(row)]
    except OSError as error:
        raise RetinalabError(
            f"No matrix {path}: {error.strerror}. Its path is relative to the table's."
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise RetinalabError(f"{path} is no readable CSV ({error}). Save it as CSV in UTF-8.") from error
