"""Tables as one self-contained page in the style of the reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from retinalab.registry import paper
from retinalab.report.render import write_page
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
    spread,
)

__all__ = ["write_tables"]


def write_tables(tables: Sequence[FilledTable], given: Iterable[str], target: Path) -> Path:
    """Write tables of one paper as a page: one file, no script, no request to any network.

    Args:
        tables: with what was measured.
        given: overrides for every command, such as a data set's folder.
        target: the file.
    """
    of, given = tables[0].paper, tuple(given)
    found = paper(of)
    context = {
        "paper": of,
        "citation": f"{found.title}. {found.citation}",
        "tables": [_table(one, given) for one in tables],
    }
    return write_page("table.html", context, target)


def _table(table: FilledTable, given: Sequence[str]) -> Mapping[str, Any]:
    notes = footnotes(table)
    terms: dict[str, list[str]] = {}
    for term, text in about(table):
        terms.setdefault(term, []).append(text)
    if notes.whole:
        terms["Doubt"] = list(notes.whole)
    return {
        "key": table.key,
        "label": table.label,
        "title": table.title,
        "counts": counts(table),
        "about": list(terms.items()),
        "rows": [_row(row, notes, given) for row in table.rows],
        "doubts": notes.texts,
        "beside": [_beside(one) for one in table.beside],
    }


def _row(row: Row, notes: Footnotes, given: Sequence[str]) -> Mapping[str, Any]:
    runs = {
        cell.measure.run.name: cell.measure.run for cell in row.cells if cell.measure and cell.measure.run
    }
    return {
        "name": row.name,
        "marks": notes.row(row.name),
        "source": source(row),
        "surrogate": any(cell.claim.surrogate for cell in row.cells if cell.measure),
        "measured": [_cell(cell, notes) for cell in row.cells if cell.measure],
        "printed": [_cell(cell, notes) for cell in row.cells if not cell.measure],
        "runs": [
            {"line": run_line(run), "labels": run.labels, "command": run.command} for run in runs.values()
        ],
        "ways": missing_ways(row, given),
    }


def _cell(cell: FilledCell, notes: Footnotes) -> Mapping[str, Any]:
    column, measure = cell.claim.place.column, cell.measure
    shown = {
        "name": "" if column == "value" else column,
        "published": published(cell.claim),
        "marks": notes.cell(cell),
    }
    if measure is None:
        return shown
    figures = {"figure": figure(cell.claim, measure), "sample": sample(measure), "seeds": measure.seeds}
    return shown | figures | {"sd": spread(cell.claim, measure)}


def _beside(one: Beside) -> Mapping[str, Any]:
    return {
        "line": run_line(one.run),
        "labels": one.run.labels,
        "row": one.row,
        "further": one.further,
        "figures": beside_figures(one),
        "command": one.run.command,
        "differs": [str(difference) for difference in one.differs],
    }
