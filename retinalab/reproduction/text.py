"""Tables as plain text for a terminal of 80 columns."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Sequence

from retinalab.reproduction.about import about
from retinalab.reproduction.filled import Beside, FilledTable, Measure, Row
from retinalab.reproduction.wording import (
    Footnotes,
    beside_figures,
    counts,
    figure,
    footnotes,
    missing_ways,
    published,
    run_line,
    source,
)

__all__ = ["list_lines", "table_lines"]

WIDTH = 80
_COUNTED = ("cells", "here", "public", "surrogate", "measured", "apart")
_HEADS = ("cells", "here", "public", "surr.", "meas.", "apart")


def list_lines(tables: Sequence[FilledTable], paper: str) -> list[str]:
    """A paper's tables, figures and text with their numbers of cells, and what the numbers mean."""
    lines = [f"{'':36s}" + "".join(f"{head:>7s}" for head in _HEADS)]
    sums = dict.fromkeys(_COUNTED, 0)
    for table in tables:
        found = counts(table)
        sums = {key: sums[key] + found[key] for key in _COUNTED}
        title = f"{table.key:6s} {table.label}: {table.title}"
        first, *rest = textwrap.wrap(title, 36, subsequent_indent=" " * 7, drop_whitespace=True)
        lines.append(f"{first:36s}" + _numbers(found))
        lines += rest
    lines.append(f"{'':7s}{'all':29s}" + _numbers(sums))
    meaning = (
        "cells: printed values. here: those that a command here reproduces; of these public: on photographs "
        "that can be had, surr.: on a surrogate in the place of private ones. meas.: measured. apart: measured "
        f"under another protocol only. One of them: retinalab table {paper} {tables[0].key if tables else 'KEY'}"
    )
    return [*lines, "", *textwrap.wrap(meaning, WIDTH, break_on_hyphens=False)]


def table_lines(table: FilledTable, given: Iterable[str] = ()) -> list[str]:
    """One table: published beside measured, what is missing with its command, doubts, runs of other protocols.

    Args:
        table: with what was measured.
        given: overrides for every command, such as a data set's folder.
    """
    notes, given = footnotes(table), tuple(given)
    lines = _wrapped(f"{table.paper}, {table.label}: {table.title}", "")
    for term, text in about(table):
        lines += _wrapped(text, f"  {term + ':':14s}")
    for text in notes.whole:
        lines += _wrapped(text, "  Doubt:        ")
    for row in table.rows:
        lines += ["", *_row_lines(row, notes, given)]
    if notes.texts:
        lines += ["", "Known doubts"]
        for number, text in enumerate(notes.texts, 1):
            lines += _wrapped(text, f"  {f'[{number}]':5s}")
    if table.beside:
        lines += [
            "",
            *_wrapped("Measured under another protocol: not to be held against the column published", ""),
        ]
        for number, one in enumerate(table.beside):
            alike = number > 0 and one.differs == table.beside[number - 1].differs
            lines += ["", *_beside_lines(one, alike)]
    return lines


def _numbers(found: dict[str, int]) -> str:
    return "".join(f"{found[key] or '-':>7}" for key in _COUNTED)


def _row_lines(row: Row, notes: Footnotes, given: Sequence[str]) -> list[str]:
    whose = source(row)
    lines = _wrapped(f"{row.name}{notes.row(row.name)}" + (f" ({whose})" if whose else ""), "")
    measured = [cell for cell in row.cells if cell.measure is not None]
    rest = [cell for cell in row.cells if cell.measure is None]
    if measured:
        lines.append(f"  {'':20s}{'published':>14s}  {'measured [95 % interval]':26s}{'n':>7s}{'seeds':>6s}")
    for cell in measured:
        name = f"{cell.claim.place.column}{notes.cell(cell)}".removeprefix("value")
        lines += _measured_lines(name, published(cell.claim), figure(cell.claim, cell.measure), cell.measure)  # type: ignore[arg-type]
    if rest:
        printed = [f"{c.claim.place.column} {published(c.claim)}{notes.cell(c)}" for c in rest]
        alone = len(row.cells) == 1 and rest[0].claim.place.column == "value"
        printed = [one.removeprefix("value ") for one in printed] if alone else printed
        lines += _wrapped(_unbroken(printed), "  published: ")
    lines += _origin(row)
    for command, columns, why in missing_ways(row, given):
        of = f" of {', '.join(columns)}" if columns else ""
        lines += _wrapped(f"not measured{of}{': ' if why else '; run:'}{why}", "  ")
        lines += _command_lines(command) if command else []
    return lines


def _measured_lines(name: str, printed: str, measured: str, measure: Measure) -> list[str]:
    n = "" if measure.n is None else f"{measure.n:,}"
    values = f"{printed:>14s}  {measured:26s}{n:>7s}{measure.seeds:>6d}"
    return [f"  {name:20s}{values}"] if len(name) < 20 else [f"  {name}", f"  {'':20s}{values}"]


def _origin(row: Row) -> list[str]:
    """Which runs the measured figures are of, and what must be said beside them."""
    lines: list[str] = []
    runs = {cell.measure.run.name: cell.measure for cell in row.cells if cell.measure and cell.measure.run}
    for measure in runs.values():
        if measure.run is None:
            continue
        further = f"; {measure.further} more of the same settings" if measure.further else ""
        lines += _wrapped(run_line(measure.run) + further, "  run: ")
        for label in measure.run.labels:
            lines += _wrapped(label, "  ")
    if runs and any(cell.measure and cell.claim.surrogate for cell in row.cells):
        lines.append("  on surrogate photographs")
    return lines


def _beside_lines(one: Beside, as_above: bool) -> list[str]:
    lines = _wrapped(run_line(one.run) + (f"; {one.further} more of its kind" if one.further else ""), "")
    lines += _wrapped(one.row, "  nearest row: ")
    for label in one.run.labels:
        lines += _wrapped(label, "  ")
    lines += _wrapped(one.run.command, "  made by: ")
    for column, value, n in beside_figures(one):
        lines.append(f"    {column:24s} {value:26s} n {n}")
    differs = (
        "in the same settings as the run above"
        if as_above
        else _unbroken([str(d) for d in one.differs], "; ")
    )
    return lines + _wrapped(differs, "  differs: ")


def _unbroken(parts: Iterable[str], between: str = " · ") -> str:
    """Parts that no line is broken within, unless one is as long as a line."""
    return between.join(part.replace(" ", "\u00a0") if len(part) < 62 else part for part in parts)


def _wrapped(text: str, head: str) -> list[str]:
    """Lines of the width; those after the first stand under the text, where the head leaves room."""
    indent = " " * min(len(head), 16)
    lines = textwrap.wrap(
        head + text, WIDTH, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True
    )
    return [line.replace("\u00a0", " ") for line in lines]


def _command_lines(command: str) -> list[str]:
    """A command over several lines, as a shell reads it."""
    lines, line = [], "    "
    for word in map(shlex.quote, shlex.split(command)):
        if len(line) + len(word) > WIDTH - 3 and line.strip():
            lines.append(f"{line.rstrip()} \\")
            line = "      "
        line += f"{word} "
    return [*lines, line.rstrip()]
