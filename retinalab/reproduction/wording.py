"""How published and measured figures, commands and doubts are worded, the same in every format."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retinalab.claims import Claim
from retinalab.reproduction.filled import Beside, FilledCell, FilledTable, Measure, Row
from retinalab.reproduction.runs import MeasuredRun
from retinalab.reproduction.ways import reason

__all__ = [
    "Footnotes",
    "beside_figures",
    "counts",
    "figure",
    "footnotes",
    "missing_ways",
    "published",
    "run_line",
    "sample",
    "source",
    "spread",
]

_SOURCES = {"reimplemented": "run by the authors", "quoted": "quoted", "reader": "a person", "own": ""}


def published(claim: Claim) -> str:
    """The printed value; what a figure draws is marked, since nobody printed it.

    Example:
        >>> from retinalab.claims import Place
        >>> place = Place(table="4", row="a", column="b")
        >>> published(Claim(paper="p", label="1", place=place, published="85.1", number=85.1, spread="± 0.4"))
        '85.1 ± 0.4'
        >>> published(Claim(paper="p", label="1", place=place, published=None, number=0.78))
        'about 0.78 (drawn)'
    """
    if claim.published is None:
        return "drawn" if claim.number is None else f"about {claim.number:g} (drawn)"
    return f"{claim.published} {claim.spread}" if claim.spread else claim.published


def figure(claim: Claim, measure: Measure) -> str:
    """A measured value with its 95 % interval, in the unit and to the decimals of the printed one."""
    places = _decimals(claim)
    text = _number(measure.value / claim.factor, places)
    if _known(measure.low) and _known(measure.high):
        low, high = (_number(float(end or 0) / claim.factor, places) for end in (measure.low, measure.high))
        text = f"{text} [{low}, {high}]"
    return text


def sample(measure: Measure) -> str:
    """Photographs, and patients where these are known and fewer.

    Example:
        >>> sample(Measure(0.5, n=320, groups=80)), sample(Measure(0.5, n=103, groups=103))
        ('320 (80 patients)', '103')
    """
    if measure.n is None:
        return ""
    patients = f" ({measure.groups:,} patients)" if measure.groups not in (None, measure.n) else ""
    return f"{measure.n:,}{patients}"


def spread(claim: Claim, measure: Measure) -> str:
    """Standard deviation between seeds in the unit of the printed value; "" where one seed was trained."""
    if measure.sd_seeds is None:
        return ""
    return _number(measure.sd_seeds / claim.factor, max(1, _decimals(claim)))


def source(row: Row) -> str:
    """Whose figures a row prints, where they are not the paper's own method."""
    sources = {cell.claim.source for cell in row.cells if cell.claim.source is not None}
    return _SOURCES[sources.pop()] if len(sources) == 1 else ""


def run_line(run: MeasuredRun) -> str:
    """A run: where it lies, its seeds, folds and commit."""
    experiment = run.experiment
    parts = [f"{run.seeds} seed{'s' * (run.seeds != 1)}"]
    if experiment.folds > 1:
        one = experiment.fold is not None
        parts.append(f"fold {experiment.fold} of {experiment.folds}" if one else f"{experiment.folds} folds")
    if run.commit:
        parts.append(f"commit {run.commit[:7]}")
    return f"{run.name} ({', '.join(parts)})"


def counts(table: FilledTable) -> dict[str, int]:
    """Cells in all; those that something here reproduces, of these with public data behind the published value, and
    with a surrogate in their place; measured, and measured under another protocol only.
    """
    here = [cell for cell in table.cells if cell.here]
    other = {claim.place for one in table.beside for claim, _ in one.measures.values()} - {
        cell.claim.place for cell in table.cells if cell.measure is not None
    }
    return {
        "cells": len(table.cells),
        "here": len(here),
        "public": sum(cell.claim.public is True for cell in here),
        "surrogate": sum(cell.claim.surrogate is not None for cell in here),
        "measured": sum(cell.measure is not None for cell in table.cells),
        "apart": len(other),
    }


def missing_ways(row: Row, given: Iterable[str] = ()) -> list[tuple[str, tuple[str, ...], str]]:
    """Of each way that would fill empty cells: its command ("" where there is none), the columns, and why or a remark.

    No columns are named where one way is that of every cell of the row that a run or a command could measure.

    Args:
        row: of a table.
        given: overrides for every command, such as a data set's folder.
    """
    found: list[tuple[str, tuple[str, ...], str]] = []
    given = tuple(given)
    for recipe, cells in row.recipes().items():
        found.append((recipe.command(given), tuple(cell.claim.place.column for cell in cells), ""))
    other: dict[tuple[str, str], list[str]] = {}
    for cell in row.cells:
        if cell.measure is None and cell.way not in ("run", "stated"):
            command = cell.claim.command or (cell.recipe.command(given) if cell.recipe else "")
            other.setdefault((command, reason(cell.claim)), []).append(cell.claim.place.column)
    found += [(command, tuple(columns), why) for (command, why), columns in other.items()]
    if len(found) == 1 and all(cell.measure is None for cell in row.cells):
        return [(found[0][0], (), found[0][2])]
    return found


@dataclass(frozen=True)
class Footnotes:
    """Known doubts of a table.

    Attributes:
        whole: about every cell.
        texts: the others; the first is note 1.
        of_row: row -> numbers of the notes on all its cells.
        of_cell: row and column -> numbers of the other notes on the cell.
    """

    whole: tuple[str, ...]
    texts: tuple[str, ...]
    of_row: dict[str, tuple[int, ...]]
    of_cell: dict[tuple[str, str], tuple[int, ...]]

    def row(self, name: str) -> str:
        """The marks of a row, such as `` [1]``."""
        return _marks(self.of_row.get(name, ()))

    def cell(self, cell: FilledCell) -> str:
        """The marks of a cell."""
        return _marks(self.of_cell.get((cell.claim.place.row, cell.claim.place.column), ()))


def footnotes(table: FilledTable) -> Footnotes:
    """Doubts about every cell, about a row, about single cells."""
    whole = _common(table.cells)
    numbers: dict[str, int] = {}
    of_row: dict[str, tuple[int, ...]] = {}
    of_cell: dict[tuple[str, str], tuple[int, ...]] = {}
    for row in table.rows:
        on_row = [one for one in _common(row.cells) if one not in whole]
        of_row[row.name] = tuple(numbers.setdefault(one, len(numbers) + 1) for one in on_row)
        for cell in row.cells:
            own = [one for one in cell.claim.doubts if one not in whole and one not in on_row]
            notes = tuple(numbers.setdefault(one, len(numbers) + 1) for one in own)
            of_cell[row.name, cell.claim.place.column] = notes
    return Footnotes(tuple(whole), tuple(numbers), of_row, of_cell)


def _marks(numbers: Sequence[int]) -> str:
    return f" [{', '.join(map(str, numbers))}]" if numbers else ""


def _common(cells: Sequence[FilledCell]) -> list[str]:
    return [one for one in cells[0].claim.doubts if all(one in cell.claim.doubts for cell in cells)]


def _decimals(claim: Claim) -> int:
    printed = re.search(r"\d\.(\d+)", claim.published or "")
    if printed and not re.search(r"\de-?\d", claim.published or ""):
        return len(printed[1])
    if claim.published is not None and claim.number is not None and claim.factor >= 1 and claim.number > 1:
        return 0 if claim.factor == 1 else 2
    return 1 if claim.factor == 0.01 else 3


def _number(value: float, places: int) -> str:
    return f"{value:,.{places}f}".replace("-", "−")


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def beside_figures(one: Beside) -> list[tuple[str, str, str]]:
    """Column, figure and photographs of a run under another protocol."""
    return [
        (column, figure(claim, measure), sample(measure)) for column, (claim, measure) in one.measures.items()
    ]
