"""Subgroups of the tested photographs by a column of the records, and which of them are too small to say anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from retinalab.counted import counted
from retinalab.errors import RetinalabError, unknown
from retinalab.metrics.clinical.options import DEFAULT_SUBGROUPS, Options
from retinalab.metrics.clinical.photographs import grade_figures
from retinalab.metrics.clinical.points import Plan
from retinalab.metrics.clinical.result import Subgroup
from retinalab.metrics.clinical.screening import combined, ranking_figures, screening_figures
from retinalab.metrics.clinical.undefined import explained
from retinalab.metrics.figures import Figures
from retinalab.metrics.measure import Measure
from retinalab.metrics.statistics import Clusters
from retinalab.metrics.tables import diseases_of, probabilities_of
from retinalab.protocol import Scale
from retinalab.units import unit_of

__all__ = ["groups_of", "read_subgroups", "subgroup_columns", "warning"]

_MOST, _MOST_NUMBERS = 40, 10
_SHOWN = ("auc", "kappa", "kappa_unweighted", "sensitivity", "specificity", "referrals")
_NOT_RECORDED = "not recorded"
_IDENTITY = {
    **dict.fromkeys(("image", "patient", "group"), "names single photographs or patients"),
    **dict.fromkeys(("part", "fold", "seed"), "tells networks and parts of the data apart"),
}


def subgroup_columns(table: pd.DataFrame, asked: Sequence[str]) -> tuple[str, ...]:
    """The columns asked for; without any, those of the default that take several values.

    Raises:
        RetinalabError: no such column, or one that is no property of patients and their photographs.
    """
    for column in asked:
        if column not in table:
            raise unknown("column", column, map(str, table.columns), "Subgroups are told apart by a column.")
        if why := _no_property(column, table):
            raise RetinalabError(
                f"Column {column} {why}, and makes no subgroups. Name one that patients or photographs share, such as "
                "camera, quality or eye."
            )
    several = tuple(c for c in DEFAULT_SUBGROUPS if c in table and table[c].astype(str).nunique() > 1)
    return tuple(asked) or several


def _no_property(column: str, table: pd.DataFrame) -> str:
    """What a column is in the place of a property of patients and photographs; "" where it is one."""
    if column in _IDENTITY:
        return _IDENTITY[column]
    for disease in diseases_of(table):
        if column == disease:
            return "is the reference that grades are held against"
        if column in (f"{disease}_grade", f"{disease}_score", *probabilities_of(table, f"{disease}_p")):
            return "is what was predicted"
    return ""


def read_subgroups(
    rows: pd.DataFrame, columns: Sequence[str], plan: Plan, scale: Scale, options: Options, measure: Measure
) -> list[Subgroup]:
    """AUC, kappa, sensitivity, specificity and referrals of each subgroup, the rates at the plan's preferred point.

    Args:
        rows: photographs with a known reference, with the plan's verdicts as columns.
        columns: of :func:`subgroup_columns`.
        plan: of the target that is looked for.
        scale: of its disease.
        options: the stated prevalence, and the fewest patients.
        measure: the bootstrap.
    """
    target, disease = plan.target, plan.target.disease
    scored = not rows[target.score].isna().any()

    def build(part: pd.DataFrame, clusters: Clusters) -> Figures:
        positive, verdict = part[target.positive].to_numpy(), part[plan.column(plan.preferred)].to_numpy()
        each = {
            "rates": screening_figures(part, clusters, positive, verdict, options.prevalence),
            "grades": grade_figures(part, clusters, disease, scale),
        }
        if scored:
            each["rank"] = ranking_figures(part, clusters, target.positive, target.score)
        return combined(each)

    out = []
    for column in columns:
        for value, part in groups_of(rows, column):
            first = part[part["seed"] == part["seed"].min()]
            found = {key.rpartition("/")[2]: one for key, one in measure("", part, build, disease).items()}
            units, positive = part["group"].nunique(), int(first[target.positive].sum())
            out.append(
                Subgroup(
                    column, value, len(first), units, unit_of(part["patient"]), positive,
                    explained({name: found[name] for name in _SHOWN if name in found}),
                    warning(units, positive, len(first), options.fewest),
                )
            )  # fmt: skip
    return out


def groups_of(table: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and rows of each subgroup; numbers of more than ten values by their quarters.

    Raises:
        RetinalabError: text of so many values that no group would say anything.

    Example:
        >>> [(name, len(rows)) for name, rows in groups_of(pd.DataFrame({"eye": ["right", "", "right"]}), "eye")]
        [('not recorded', 1), ('right', 2)]
    """
    cells = table[column]
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        names = _ranges(cells) if cells.nunique() > _MOST_NUMBERS else cells.map(_number)
    else:
        names = cells.fillna("").astype(str).str.strip().replace("", _NOT_RECORDED)
    count = names.nunique()
    if count > _MOST:
        raise RetinalabError(
            f"Column {column} has {count} values, too many for a table by subgroup (at most {_MOST}). Name a column "
            "of few, such as camera, quality or eye."
        )
    for name in dict.fromkeys(names.sort_values(key=_order)):
        yield str(name), table[names == name]


def warning(patients: int, positive: int, photographs: int, fewest: int) -> str:
    """Why a subgroup says nothing; "" where it may.

    Example:
        >>> warning(8, 3, 30, 20), warning(25, 30, 30, 20), warning(25, 3, 30, 20)
        ('fewer than 20 patients', 'no negative', '')
    """
    reasons = [f"fewer than {counted(fewest, 'patient')}"] if patients < fewest else []
    if positive == photographs:
        reasons.append("no negative")
    if positive == 0:
        reasons.append("no positive")
    return "; ".join(reasons)


def _ranges(cells: pd.Series) -> pd.Series:
    edges = np.unique(np.nanquantile(cells.to_numpy(dtype=np.float64), [0, 0.25, 0.5, 0.75, 1]))
    place = np.clip(
        np.searchsorted(edges, cells.to_numpy(dtype=np.float64), side="right") - 1, 0, len(edges) - 2
    )
    names = [f"{edges[k]:.4g} to {edges[k + 1]:.4g}" for k in place]
    return pd.Series(names, index=cells.index).where(cells.notna(), _NOT_RECORDED)


def _number(cell: float) -> str:
    return _NOT_RECORDED if pd.isna(cell) else f"{cell:g}"


def _order(names: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(names.str.split().str[0], errors="coerce")
    place = {name: k for k, name in enumerate(sorted(set(names)))}
    return numbers.where(numbers.notna(), names.map(place) + 1e12)
