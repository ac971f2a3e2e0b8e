"""One claim, with everything that its table, column, row and cell say of it laid together."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from retinalab.claims.file import Cell, Details, Kind, Origin, PublishedProtocol, Table
from retinalab.config.base import Model

__all__ = ["WAYS", "Claim", "Place", "laid_together"]


class Place(Model):
    """Where a claim stands: the table's key in the file, the row and the column."""

    table: str
    row: str
    column: str

    def __str__(self) -> str:
        return f"{self.table} / {self.row} / {self.column}"


class Claim(Model):
    """A published value: where it stands, how it came about, and what reproduces it."""

    paper: str
    place: Place
    label: str = Field(description="Table IV")
    title: str = Field("", description="of the table")
    published: str | None = Field(description="as printed; none where a figure draws it and prints nothing")
    number: float | None
    spread: str | None = None
    kind: Kind = "result"
    data: str | None = None
    trained_on: str | None = None
    public: bool | None = None
    source: Origin | None = None
    protocol: PublishedProtocol | None = None
    metric: str | None = None
    factor: float = 1.0
    unit: str | None = None
    experiment: str | None = None
    overrides: tuple[str, ...] = ()
    surrogate: str | None = None
    command: str | None = None
    why_not: str | None = None
    where: str | None = None
    doubts: tuple[str, ...] = ()
    repeats: Place | None = None
    difference: tuple[Place, Place] | None = None

    @property
    def printed(self) -> bool:
        """Whether the paper prints the value."""
        return self.published is not None

    @property
    def expected(self) -> float | None:
        """The published value in the units of the metric; none where no number is printed or read."""
        return None if self.number is None else self.number * self.factor


def laid_together(
    paper: str, key: str, table: Table, row: str, column: str, protocols: Mapping[str, PublishedProtocol]
) -> Claim:
    """The claim of one cell: what the cell says wins over its row, that over the column, that over the table.

    Doubts are collected, overrides add up. Naming an experiment, a command or a reason why not at one level takes the
    place of whichever a wider level named; overrides begin anew with an experiment.
    """
    cell = table.rows[row].values[column]
    found: dict[str, object] = {}
    overrides: tuple[str, ...] = ()
    doubts: list[str] = []
    for level in (table, table.columns[column], table.rows[row], cell):
        given = _given(level)
        if given.keys() & WAYS:
            found = {name: value for name, value in found.items() if name not in WAYS}
            overrides = ()
        overrides += level.overrides
        doubts += [level.doubt] if level.doubt else []
        found |= given
    if "experiment" in found:
        found["overrides"] = overrides
    if isinstance(found.get("protocol"), str):
        found["protocol"] = protocols[str(found["protocol"])]
    return Claim.model_validate(
        found
        | {
            "paper": paper,
            "place": Place(table=key, row=row, column=column),
            "label": table.label,
            "title": table.title,
            "doubts": tuple(dict.fromkeys(doubts)),
            **_of_the_cell(cell),
        }
    )


WAYS = frozenset({"experiment", "command", "why_not", "surrogate"})
_APART = frozenset({"overrides", "doubt"})


def _given(level: Details) -> dict[str, object]:
    """What a level sets, of the fields that all levels have."""
    names = [name for name in Details.model_fields if name not in _APART]
    return {name: value for name in names if (value := getattr(level, name)) is not None}


def _of_the_cell(cell: Cell) -> dict[str, object]:
    given: dict[str, object] = {"published": cell.published, "number": cell.number, "spread": cell.spread}
    if cell.repeats is not None:
        given["repeats"] = _place(cell.repeats)
    if cell.difference is not None:
        given["difference"] = tuple(_place(one) for one in cell.difference)
    return given


def _place(names: tuple[str, str, str]) -> Place:
    table, row, column = names
    return Place(table=table, row=row, column=column)
