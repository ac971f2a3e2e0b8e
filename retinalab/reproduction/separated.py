"""Tables as comma-separated values: one line for each printed value, and one for each figure of another protocol."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from retinalab.claims import Claim
from retinalab.reproduction.filled import Beside, FilledTable, Measure
from retinalab.reproduction.ways import reason

__all__ = ["COLUMNS", "separated"]

COLUMNS = (
    "paper", "table", "label", "row", "column", "kind", "source", "data", "trained_on", "public",
    "surrogate", "published", "published_number", "unit", "metric", "status", "measured", "low", "high",
    "other_protocol", "other_low", "other_high", "differs", "photographs", "patients", "seeds", "sd_seeds",
    "folds", "run", "commit", "labels", "command", "why_not", "doubts",
)  # fmt: skip
"""``published_number``, ``measured`` and ``other_protocol`` with their intervals are in the units of the metric."""


def separated(tables: Sequence[FilledTable], given: Iterable[str] = ()) -> str:
    """Tables of one paper as CSV with a header.

    Args:
        tables: with what was measured.
        given: overrides for every command, such as a data set's folder.
    """
    text, given = io.StringIO(), tuple(given)
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for cell in table.cells:
            status = "measured" if cell.measure else {"run": "missing"}.get(cell.way, cell.way)
            line = _claimed(cell.claim) | {"status": status, "why_not": reason(cell.claim)}
            if cell.measure:
                line |= _figures(cell.measure, ("measured", "low", "high"))
            elif cell.recipe:
                line["command"] = cell.recipe.command(given)
            else:
                line["command"] = cell.claim.command or ""
            writer.writerow(line)
        for one in table.beside:
            writer.writerows(_beside(one))
    return text.getvalue()


def _beside(one: Beside) -> list[dict[str, object]]:
    return [
        _claimed(claim)
        | {"status": "other protocol", "published": "", "published_number": "", "surrogate": ""}
        | _figures(measure, ("other_protocol", "other_low", "other_high"))
        | {"differs": "; ".join(map(str, one.differs)), "command": one.run.command}
        for claim, measure in one.measures.values()
    ]


def _claimed(claim: Claim) -> dict[str, object]:
    return {
        "paper": claim.paper,
        "table": claim.place.table,
        "label": claim.label,
        "row": claim.place.row,
        "column": claim.place.column,
        "kind": claim.kind,
        "source": claim.source,
        "data": claim.data,
        "trained_on": claim.trained_on,
        "public": {True: "yes", False: "no", None: ""}[claim.public],
        "surrogate": claim.surrogate,
        "published": claim.published if claim.printed else "drawn",
        "published_number": "" if claim.expected is None else f"{claim.expected:.10g}",
        "unit": claim.unit,
        "metric": claim.metric,
        "doubts": " | ".join(claim.doubts),
    }


def _figures(measure: Measure, names: tuple[str, str, str]) -> dict[str, object]:
    run = measure.run
    return {
        **dict(zip(names, (measure.value, measure.low, measure.high), strict=True)),
        "photographs": measure.n,
        "patients": measure.groups,
        "seeds": measure.seeds,
        "sd_seeds": measure.sd_seeds,
        "folds": run.experiment.folds if run else "",
        "run": run.name if run else "",
        "commit": run.commit if run else "",
        "labels": " | ".join(run.labels) if run else "",
    }
