"""The layout of ``claims.yaml``: a paper's tables, figures and text, with what holds for many cells said once."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from retinalab.config.base import Model

__all__ = [
    "Cell",
    "ClaimsFile",
    "Column",
    "Details",
    "Kind",
    "Origin",
    "PlaceName",
    "PublishedProtocol",
    "Row",
    "Table",
    "numbers_in",
]

Kind = Literal["result", "data", "time", "size", "setting", "statement"]
Origin = Literal["own", "reimplemented", "quoted", "reader"]
PlaceName = tuple[str, str, str]
"""Table, row and column of another cell."""

_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?(?:e-?\d+)?)")
_METRIC = re.compile(r"^(val|test(@[a-z0-9_]+)?)/[a-z]+(/[A-Za-z0-9_]+)+$")


def numbers_in(printed: str) -> list[float]:
    """The numbers of a printed text, in order.

    Example:
        >>> numbers_in("7,286 of 36,270"), numbers_in("23.52 M"), numbers_in("VNXK, 5e-2")
        ([7286.0, 36270.0], [23.52], [0.05])
    """
    return [float(word.replace(",", "").replace("−", "-")) for word in _NUMBER.findall(printed)]


class PublishedProtocol(Model):
    """How the paper came by its figures: what a reader must know before comparing."""

    split: str = Field(description="which photographs train, choose and test, in the paper's words")
    folds: int = Field(1, ge=1, description="1: one split")
    patients: Literal["apart", "mixed", "unknown"] = Field(
        description="whether both sides of the split are known to share no patient, known to share some, or neither"
    )
    selection: Literal["validation", "test", "unknown"] = Field(
        description="the photographs that chose the checkpoint; 'test' is optimistic"
    )
    spread: str = Field("none printed", description="which spread or interval is printed")
    note: str = ""


class Details(Model):
    """What holds for a whole table, a column, a row or one cell; the narrower wins, in this order."""

    data: str | None = Field(
        None, description="photographs that the figure is about; a data set's name, or words"
    )
    trained_on: str | None = Field(None, description="where another set trained")
    public: bool | None = Field(None, description="whether all photographs and labels behind it can be had")
    source: Origin | None = Field(
        None,
        description="own: the paper's method; reimplemented: another method, run by the authors; quoted: taken over "
        "from another publication or a leaderboard; reader: people",
    )
    protocol: str | None = Field(None, description="one of the file's protocols")
    kind: Kind | None = Field(None, description="result unless said otherwise")
    metric: str | None = Field(None, description="key in metrics.json, where the figure has one")
    factor: float | None = Field(
        None, gt=0, description="printed value times this is in the metric's units; default: 1"
    )
    unit: str | None = Field(
        None, description="of the printed value, where it is neither a share nor a count"
    )
    experiment: str | None = Field(None, description="of this paper, that computes the metric")
    overrides: tuple[str, ...] = Field((), description="added to those of the wider levels")
    surrogate: str | None = Field(
        None,
        description="in what the experiment's photographs differ from the paper's; none: they are the same",
    )
    command: str | None = Field(None, description="where no experiment but another command measures it")
    why_not: str | None = Field(None, description="why nothing here reproduces it")
    where: str | None = Field(None, description="section of the text")
    doubt: str | None = Field(None, description="what speaks against the printed value; levels are collected")

    @field_validator("metric")
    @classmethod
    def _is_a_key(cls, metric: str | None) -> str | None:
        if metric is not None and not _METRIC.match(metric):
            raise ValueError("no metric key; one looks like test/dr/kappa, val/dr/kappa or test@SET/dr/kappa")
        return metric

    @model_validator(mode="after")
    def _one_way(self) -> Details:
        given = [name for name in ("experiment", "command", "why_not") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; keep one")
        return self


class Cell(Details):
    """One printed value. In a file a plain text is enough: ``0.78``; ``-`` is printed but no value; ``~`` is drawn in a
    figure and not printed, ``~0.78`` the same, read off the figure.
    """

    published: str | None = Field(
        None, min_length=1, description="as printed; none where a figure draws it only"
    )
    number: float | None = Field(None, description="default: the one number of the printed text")
    spread: str | None = Field(None, description="printed beside it, such as a standard deviation")
    repeats: PlaceName | None = Field(None, description="the cell whose value the text repeats")
    difference: tuple[PlaceName, PlaceName] | None = Field(
        None, description="the two cells whose difference the text states"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, raw: Any) -> Any:
        given = {"published": raw} if isinstance(raw, str) else raw
        if not isinstance(given, dict) or not isinstance(given.get("published"), str):
            return given
        printed, found = given["published"], numbers_in(given["published"])
        read = {"number": found[0]} if len(found) == 1 else {}
        return read | given | ({"published": None} if printed.startswith("~") else {})

    @property
    def printed(self) -> bool:
        """Whether the paper prints the value, rather than drawing it."""
        return self.published is not None


class Column(Details):
    """What holds for a column."""


class Row(Details):
    """A row: column -> cell. In a table without columns, which is how a list of single values is written, ``value`` is
    its only cell.
    """

    values: dict[str, Cell] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _single(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "value" in raw and "values" not in raw:
            value = raw["value"]
            moved = {key: raw[key] for key in ("repeats", "difference") if key in raw}
            cell = {"published": value} | moved if isinstance(value, str) else value
            rest = {key: kept for key, kept in raw.items() if key not in ("value", *moved)}
            return rest | {"values": {"value": cell}}
        return raw


class Table(Details):
    """A table, a quantitative figure, or the figures in the running text."""

    label: str = Field(description="as the paper calls it: Table IV")
    title: str
    columns: dict[str, Column] = Field(default_factory=lambda: {"value": Column()})
    rows: dict[str, Row] = Field(min_length=1)

    @field_validator("columns", mode="before")
    @classmethod
    def _empty_columns(cls, raw: Any) -> Any:
        return (
            {name: {} if given == "" else given for name, given in raw.items()}
            if isinstance(raw, dict)
            else raw
        )


class ClaimsFile(Model):
    """A whole ``claims.yaml``."""

    paper: str
    protocols: dict[str, PublishedProtocol] = Field(default_factory=dict)
    tables: dict[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")], Table] = Field(min_length=1)
