"""Tables as Markdown, for a README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from retinalab.report.markdown import escaped, table_row
from retinalab.reproduction.about import about
from retinalab.reproduction.filled import Beside, FilledCell, FilledTable, Row
from retinalab.reproduction.wording import (
    Footnotes,
    beside_figures,
    counts,
    figure,
    footnotes,
    missing_ways,
    published,
    run_line,
    sample,
    source,
)

__all__ = ["list_markdown", "table_markdown"]


def list_markdown(tables: Sequence[FilledTable]) -> list[str]:
    """A paper's tables, figures and text with their numbers of cells."""
    heads = [
        "",
        "",
        "cells",
        "reproducible here",
        "on public data",
        "on a surrogate",
        "measured",
        "other protocol only",
    ]
    lines = [table_row(heads), "|---|---|" + "---:|" * 6]
    for table in tables:
        lines.append(table_row([table.label, table.title, *map(str, counts(table).values())]))
    return lines


def table_markdown(table: FilledTable, given: Iterable[str] = ()) -> list[str]:
    """One table: rows, what is missing with its command, doubts, runs of other protocols apart.

    Args:
        table: with what was measured.
        given: overrides for every command, such as a data set's folder.
    """
    notes = footnotes(table)
    lines = [f"### {table.label}: {escaped(table.title)}", ""]
    lines += [f"- {term}: {escaped(text)}" for term, text in about(table)]
    lines += [f"- Doubt: {escaped(text)}" for text in notes.whole]
    lines += ["", *_grid(table, notes), "", *_runs(table), *_missing(table, tuple(given))]
    lines += [f"{number}. {escaped(text)}" for number, text in enumerate(notes.texts, 1)]
    if table.beside:
        lines += ["", "Measured under another protocol, not to be held against the published column:"]
        for one in table.beside:
            lines += ["", *_beside(one)]
    return lines


def _grid(table: FilledTable, notes: Footnotes) -> list[str]:
    """A line for each row where nothing is measured; one for each figure of a row where something is."""
    measured = any(cell.measure for cell in table.cells)
    if not measured:
        lines = [table_row(["published", *map(_name, table.columns)]), "|---|" + "---|" * len(table.columns)]
        return lines + [
            table_row([_titled(row, notes), *_published(row, table, notes)]) for row in table.rows
        ]
    lines = [table_row(["", "", "published", "measured [95 % interval]", "photographs", "seeds"])]
    lines.append("|---|---|---:|---|---|---:|")
    for row in table.rows:
        for number, cell in enumerate(row.cells):
            one = cell.measure
            figures = ["–", "", ""] if one is None else [figure(cell.claim, one), sample(one), str(one.seeds)]
            first = _titled(row, notes) if number == 0 else ""
            lines.append(table_row([first, _name(cell.claim.place.column), _printed(cell, notes), *figures]))
    return lines


def _published(row: Row, table: FilledTable, notes: Footnotes) -> list[str]:
    by_column = {cell.claim.place.column: cell for cell in row.cells}
    return [_printed(by_column[name], notes) if name in by_column else "" for name in table.columns]


def _printed(cell: FilledCell, notes: Footnotes) -> str:
    return f"{published(cell.claim)}{notes.cell(cell)}"


def _titled(row: Row, notes: Footnotes) -> str:
    whose = source(row)
    return f"{row.name}{notes.row(row.name)}" + (f" ({whose})" if whose else "")


def _name(column: str) -> str:
    return "" if column == "value" else column


def _runs(table: FilledTable) -> list[str]:
    runs = {
        cell.measure.run.name: cell.measure.run for cell in table.cells if cell.measure and cell.measure.run
    }
    lines = []
    for run in runs.values():
        labels = "".join(f"; {escaped(label)}" for label in run.labels)
        lines.append(f"- Measured by {escaped(run_line(run))}, `{run.command}`{labels}")
    return [*lines, ""] if lines else []


def _missing(table: FilledTable, given: tuple[str, ...]) -> list[str]:
    lines = []
    for row in table.rows:
        for command, columns, why in missing_ways(row, given):
            of = f", {', '.join(columns)}" if columns else ""
            text = "; ".join(filter(None, [escaped(why), f"`{command}`" if command else ""]))
            lines.append(f"- Not measured: {escaped(row.name + of)}: {text}")
    return [*lines, ""] if lines else []


def _beside(one: Beside) -> list[str]:
    lines = [f"- {escaped(run_line(one.run))}, nearest row {escaped(one.row)}; `{one.run.command}`"]
    lines += [f"  - {escaped(label)}" for label in one.run.labels]
    figures = "; ".join(f"{_name(column)} {value}, n {n}".strip() for column, value, n in beside_figures(one))
    differs = "; ".join(map(str, one.differs))
    return [*lines, f"  - {escaped(figures)}", f"  - Differs: {escaped(differs)}"]
