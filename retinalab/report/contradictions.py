"""Grades that the lesions of their photographs contradict, as the run's page shows them: shares, and photographs."""

from __future__ import annotations

from collections.abc import Sequence

from retinalab.counted import counted
from retinalab.metrics.clinical.result import Rules
from retinalab.report.numbers import cells
from retinalab.report.results import Grid

__all__ = ["contradicted_photographs", "contradicted_shares"]

_SHARES = {"contradicted": "share", "below": "grade too low", "above": "grade too high"}


def contradicted_shares(found: Sequence[Rules]) -> Grid | None:
    """How many grades of the network and of the reference are contradicted; None where nothing was judged."""
    if not found:
        return None
    rows = []
    for one in found:
        name = f"{_judged(one)}, lesions {one.lesions}"
        rows.append((name, [f"{len(one.listed)} of {one.photographs}", *cells(one.share, _SHARES)]))
    return Grid(["contradicted", *_SHARES.values()], rows)


def contradicted_photographs(one: Rules) -> tuple[str, Grid] | None:
    """A title and the photographs to review; None where there is none."""
    if not one.listed:
        return None
    rows = [
        (
            listed.image,
            [
                str(listed.grade),
                str(listed.low) if listed.low == listed.high else f"{listed.low}–{listed.high}",
                str(listed.reference) if listed.reference >= 0 else "unknown",
                " ".join(listed.lesions) or "none",
            ],
        )
        for listed in one.listed
    ]
    lesions = "annotated lesions" if one.lesions == "annotated" else f"lesions {one.lesions}"
    title = f"{counted(len(rows), 'photograph')} in which {lesions} contradict {_judged(one)}"
    return title, Grid(["grade", "lesions allow", "reference", "lesions"], rows)


def _judged(one: Rules) -> str:
    return "the network’s grade" if one.judged == "network" else "the reference"
