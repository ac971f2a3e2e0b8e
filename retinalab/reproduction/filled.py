"""A paper's table, each cell with what was measured of it here, and by what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from retinalab.claims import Claim, Place
from retinalab.reproduction.nearest import Comparison
from retinalab.reproduction.runs import MeasuredRun
from retinalab.reproduction.settings import Difference
from retinalab.reproduction.ways import Recipe, Recipes, Way, way_of

__all__ = ["Beside", "FilledCell", "FilledTable", "Measure", "Row", "filled"]


@dataclass(frozen=True)
class Measure:
    """A figure of a run, in the units of the metric.

    Attributes:
        value: mean over seeds where there are several.
        low: of the 95 % interval over the units of independence; None where there is none.
        high: likewise.
        n: photographs.
        groups: units of independence among them, patients where these are known.
        seeds: trained networks of each fold.
        sd_seeds: standard deviation between seeds.
        run: whose figure it is; None for the difference of two.
        further: finished runs of the same settings with as many seeds or fewer, which are not shown.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    groups: int | None = None
    seeds: int = 1
    sd_seeds: float | None = None
    run: MeasuredRun | None = None
    further: int = 0


@dataclass(frozen=True)
class FilledCell:
    """A published value, and what was measured of it.

    Attributes:
        claim: the value.
        way: which way leads to it.
        measure: what was measured; None where nothing was.
        recipe: what a run must be for it.
        here: whether something here leads to it; to a difference, whether runs lead to both values.
    """

    claim: Claim
    way: Way
    measure: Measure | None = None
    recipe: Recipe | None = None
    here: bool = False

    @property
    def missing(self) -> bool:
        """Whether a run would measure it and none has."""
        return self.way == "run" and self.measure is None


@dataclass(frozen=True)
class Row:
    """A row of a published table."""

    name: str
    cells: tuple[FilledCell, ...]

    def recipes(self) -> dict[Recipe, list[FilledCell]]:
        """What must be run for the cells that are missing -> those cells."""
        found: dict[Recipe, list[FilledCell]] = {}
        for cell in self.cells:
            if cell.missing and cell.recipe is not None:
                found.setdefault(cell.recipe, []).append(cell)
        return found


@dataclass(frozen=True)
class Beside:
    """A run of another protocol, beside the row that it comes nearest to: never in one column with it."""

    run: MeasuredRun
    row: str
    recipe: Recipe
    differs: tuple[Difference, ...]
    measures: Mapping[str, tuple[Claim, Measure]] = field(default_factory=dict)
    further: int = 0


@dataclass(frozen=True)
class FilledTable:
    """A table, a figure or the text of a paper, with what was measured of it."""

    paper: str
    key: str
    label: str
    title: str
    rows: tuple[Row, ...]
    beside: tuple[Beside, ...] = ()

    @property
    def cells(self) -> tuple[FilledCell, ...]:
        """Of all rows."""
        return tuple(cell for row in self.rows for cell in row.cells)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that any row fills."""
        return tuple(dict.fromkeys(cell.claim.place.column for cell in self.cells))


def filled(claims: Sequence[Claim], runs: Iterable[MeasuredRun]) -> tuple[FilledTable, ...]:
    """Every table of a paper with what runs measured of it.

    A run measures a cell when its resolved experiment is that of the cell's experiment and overrides; of several the
    one with the most seeds, then the most folds, then the latest. Any other run that has the metric stands beside the
    row that it comes nearest to, if there is one.

    Args:
        claims: of one paper, in the order of its file.
        runs: finished runs of the paper.
    """
    if not claims:
        return ()
    ordered = _without_copies(sorted(runs, key=_rank, reverse=True))
    recipes = Recipes(claims[0].paper)
    of = {claim.place: recipes.of(claim) for claim in claims}
    comparison = Comparison([one for one in of.values() if one is not None])
    measured: dict[Place, FilledCell] = {}
    for claim in claims:
        way, recipe = way_of(claim), of[claim.place]
        found = _measure(claim, recipe, ordered, comparison) if way == "run" and recipe else None
        kept = recipe if way in ("run", "look") else None
        measured[claim.place] = FilledCell(claim, way, found, kept, way in ("run", "look", "command"))
    for place, cell in measured.items():
        if cell.claim.difference is not None:
            here = all(measured[one].way == "run" for one in cell.claim.difference)
            measured[place] = replace(cell, measure=_difference(*cell.claim.difference, measured), here=here)
    return tuple(_table(key, measured, ordered, comparison) for key in _tables_of(claims))


def _tables_of(claims: Sequence[Claim]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(claim.place.table for claim in claims))


def _table(
    key: str,
    measured: Mapping[Place, FilledCell],
    runs: Sequence[MeasuredRun],
    comparison: Comparison,
) -> FilledTable:
    cells = [cell for place, cell in measured.items() if place.table == key]
    names = dict.fromkeys(cell.claim.place.row for cell in cells)
    rows = tuple(Row(name, tuple(c for c in cells if c.claim.place.row == name)) for name in names)
    first = cells[0].claim
    beside = _beside(rows, runs, comparison)
    return FilledTable(first.paper, key, first.label, first.title, rows, beside)


def _rank(run: MeasuredRun) -> tuple[Any, ...]:
    return (run.seeds, run.experiment.folds, not run.kept, run.finished, run.name)


def _without_copies(runs: Sequence[MeasuredRun]) -> list[MeasuredRun]:
    """Runs without kept figures whose own folder is at hand too."""
    folders = [run for run in runs if not run.kept]
    return [run for run in runs if not (run.kept and any(one.same_figures(run) for one in folders))]


def _measure(
    claim: Claim, recipe: Recipe, runs: Sequence[MeasuredRun], comparison: Comparison
) -> Measure | None:
    metric = str(claim.metric)
    fitting = [run for run in runs if run.measures(metric) and not comparison.apart(run, recipe)]
    return _figure(fitting[0], metric, len(fitting) - 1) if fitting else None


def _figure(run: MeasuredRun, metric: str, further: int = 0) -> Measure:
    figure = run.metrics[metric]
    return Measure(
        value=float(figure["value"]),
        low=figure.get("low"),
        high=figure.get("high"),
        n=figure.get("n"),
        groups=figure.get("n_groups"),
        seeds=run.seeds,
        sd_seeds=figure.get("sd_seeds"),
        run=run,
        further=further,
    )


def _difference(minuend: Place, subtrahend: Place, measured: Mapping[Place, FilledCell]) -> Measure | None:
    """Measured minus measured; without an interval, which only the two runs' photographs together would give."""
    one, other = measured[minuend].measure, measured[subtrahend].measure
    if one is None or other is None:
        return None
    return Measure(one.value - other.value, n=one.n, groups=one.groups, seeds=min(one.seeds, other.seeds))


def _beside(rows: Sequence[Row], runs: Sequence[MeasuredRun], comparison: Comparison) -> tuple[Beside, ...]:
    """Runs of other protocols, each at the row that it comes nearest to; repeated values are left to their place."""
    found: dict[tuple[str, str, Recipe], dict[str, tuple[Claim, Measure]]] = {}
    by_name = {run.name: run for run in runs}
    open_cells = [c for row in rows for c in row.cells if c.way == "run" and c.claim.repeats is None]
    for column in dict.fromkeys(cell.claim.place.column for cell in open_cells):
        cells = [cell for cell in open_cells if cell.claim.place.column == column]
        candidates = [cell.recipe for cell in cells if cell.recipe is not None]
        for run in runs:
            nearest = comparison.nearest(run, candidates)
            if nearest is None or not comparison.apart(run, nearest):
                continue
            claim = next(one.claim for one in cells if one.recipe is nearest)
            if run.measures(str(claim.metric)):
                entry = found.setdefault((run.name, claim.place.row, nearest), {})
                entry[column] = (claim, _figure(run, str(claim.metric)))
    every = [
        Beside(by_name[name], row, recipe, comparison.apart(by_name[name], recipe), measures)
        for (name, row, recipe), measures in found.items()
    ]
    return _best(every, [row.name for row in rows])


def _best(found: list[Beside], order: list[str]) -> tuple[Beside, ...]:
    """Of runs with equal settings beside one row the one with the most seeds, in the order of the rows."""
    kept: dict[tuple[str, Recipe, tuple[str, ...]], Beside] = {}
    for one in sorted(found, key=lambda one: _rank(one.run), reverse=True):
        key = (one.row, one.recipe, tuple(str(d) for d in one.differs if d.key not in ("seeds", "folds")))
        first = kept.setdefault(key, one)
        if first is not one:
            kept[key] = replace(first, further=first.further + 1)
    return tuple(sorted(kept.values(), key=lambda one: order.index(one.row)))
