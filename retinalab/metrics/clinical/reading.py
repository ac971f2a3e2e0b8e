"""A table of predictions, read as a clinic would: every test set, every disease, everything with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from retinalab.counted import counted
from retinalab.errors import RetinalabError, unknown
from retinalab.metrics.clinical.disease import Photographs, planned, read_disease
from retinalab.metrics.clinical.options import Options
from retinalab.metrics.clinical.result import ClinicalReading, DiseaseReading, SetReading, Subgroup
from retinalab.metrics.clinical.subgroups import read_subgroups, subgroup_columns
from retinalab.metrics.clinical.ungradable import ungradable_rows
from retinalab.metrics.evaluate import check_grades
from retinalab.metrics.measure import Measure
from retinalab.metrics.tables import complete_predictions, diseases_of
from retinalab.protocol import Scale
from retinalab.units import unit_of

__all__ = ["read_clinically"]


def read_clinically(
    predictions: pd.DataFrame,
    scales: Mapping[str, Scale],
    options: Options | None = None,
    lesions: pd.DataFrame | None = None,
    ungradable: pd.DataFrame | None = None,
    primary_set: str | None = None,
) -> ClinicalReading:
    """Read predictions clinically; validation fixes what has to be fixed, test says what that comes to.

    Figures are means over seeds, their intervals those of another sample of patients under the same thresholds and
    temperatures: how far another validation part would have moved those is not in them.

    Args:
        predictions: columns as in :mod:`retinalab.metrics.tables`; those made elsewhere may lack identity columns. Part
            ``val`` chooses thresholds and temperatures, part ``test`` is read.
        scales: disease -> its scale; every graded disease needs one.
        options: prevalence, operating points, subgroups.
        lesions: the run's table of lesions.
        ungradable: ungradable photographs that were not predicted, with the columns of ``predictions`` that tell which
            photographs they are, and references where known.
        primary_set: the set called ``test``; others are ``test@<set>``. By default the first in the table.

    Raises:
        RetinalabError: nothing graded, no tested photograph, a disease without a scale, a grade outside it, or a
            column that is not there.
    """
    options = options or Options()
    _need(predictions, "image")
    table = _with_ungradable(complete_predictions(predictions).reset_index(drop=True), ungradable)
    diseases = [disease for disease in diseases_of(table) if disease in scales]
    if not diseases or not (table["part"] == "test").any():
        what = "no test photographs" if diseases else "no graded disease"
        raise RetinalabError(
            f"The predictions hold {what}. A clinical reading needs part test, a reference (dr) and a prediction "
            "(dr_grade, and dr_p0 ... or dr_score)."
        )
    marked = ungradable_rows(table, options.ungradable)
    for disease in diseases:
        table = _checked(table, marked, disease, scales[disease])
    tested = (table["part"] == "test").to_numpy()
    columns = subgroup_columns(table[tested], [name for name in options.subgroups if name != "set"])
    first = str(table["set"].iloc[0]) if primary_set is None else primary_set
    notes: list[str] = _notes(table, tested, marked)
    sets = []
    for name in dict.fromkeys(table.loc[tested, "set"]):
        here = tested & (table["set"] == name).to_numpy()
        prefix = "test" if name == first else f"test@{name}"
        readings: list[DiseaseReading] = []
        for disease in diseases:
            given = _photographs(table, here, marked, disease, lesions)
            if (given.tested[disease] >= 0).any():
                readings.append(read_disease(given, disease, scales[disease], columns, options))
            else:
                notes.append(f"{prefix}: no photograph with a known and a predicted grade of {disease}")
        sets.append(_set(prefix, name, table[here], readings))
    if "set" in options.subgroups and len(sets) < 2:
        notes.append("no table by set: one set was tested")
    by_set = _by_set(table, tested, marked, diseases, scales, options) if len(sets) > 1 else {}
    return ClinicalReading(
        {**asdict(options), "prevalence_source": options.prevalence_source},
        int(table.loc[tested, "seed"].nunique()), notes, sets, by_set,
    )  # fmt: skip


def _need(table: pd.DataFrame, column: str) -> None:
    if column not in table:
        raise unknown("column", column, map(str, table.columns), "Each row needs the photograph's name.")


def _with_ungradable(table: pd.DataFrame, ungradable: pd.DataFrame | None) -> pd.DataFrame:
    if ungradable is None or not len(ungradable):
        return table
    return pd.concat([table, complete_predictions(ungradable).assign(gradable=False)], ignore_index=True)


def _checked(table: pd.DataFrame, marked: np.ndarray, disease: str, scale: Scale) -> pd.DataFrame:
    """Whole grades; only an ungradable photograph may have none, and its reference be unknown."""
    predicted = f"{disease}_grade"
    without = marked & (pd.to_numeric(table[predicted], errors="coerce").fillna(-1) < 0).to_numpy()
    absent = ((table[disease] == -1) & (table[predicted] == -1)).to_numpy()
    check_grades(table[~without & ~absent], disease, scale)
    reference = table[disease].where(~marked | table[disease].notna(), -1)
    grade = table[predicted].where(~without, -1)
    return table.assign(**{disease: reference.astype(np.int64), predicted: grade.astype(np.int64)})


def _photographs(
    table: pd.DataFrame, here: np.ndarray, marked: np.ndarray, disease: str, lesions: pd.DataFrame | None
) -> Photographs:
    graded = (table[f"{disease}_grade"] >= 0).to_numpy()
    known = (table[disease] >= 0).to_numpy()
    validation = (table["part"] == "val").to_numpy()
    return Photographs(
        tested=table[here & graded].reset_index(drop=True),
        marked=marked[here & graded],
        ungraded=table[here & ~graded & marked].reset_index(drop=True),
        validation=table[validation & graded & known].reset_index(drop=True),
        lesions=lesions,
    )


def _set(prefix: str, name: str, rows: pd.DataFrame, readings: Sequence[DiseaseReading]) -> SetReading:
    count, units = int(rows["image"].nunique()), int(rows["group"].nunique())
    return SetReading(prefix, str(name), count, units, unit_of(rows["patient"]), list(readings))


def _notes(table: pd.DataFrame, tested: np.ndarray, marked: np.ndarray) -> list[str]:
    validation = (table["part"] == "val").to_numpy()
    notes = []
    if not validation.any():
        notes.append("no validation part: thresholds and temperatures cannot be fixed on other photographs")
    photograph = pd.MultiIndex.from_frame(table[["set", "image"]].astype(str))
    for fold in table.loc[tested, "fold"].unique():
        mine = (table["fold"] == fold).to_numpy()
        shared = photograph[tested & mine].unique().intersection(photograph[validation & mine].unique())
        if len(shared):
            notes.append(
                f"{counted(len(shared), 'tested photograph')} also chose thresholds and temperatures: what follows is "
                "optimistic"
            )
    if (marked & validation).any():
        notes.append(
            f"marked ungradable in validation, and taking part: {counted(int((marked & validation).sum()), 'row')}"
        )
    return notes


def _by_set(
    table: pd.DataFrame,
    tested: np.ndarray,
    marked: np.ndarray,
    diseases: Sequence[str],
    scales: Mapping[str, Scale],
    options: Options,
) -> dict[str, list[Subgroup]]:
    """All test sets beside each other, as a subgroup by set."""
    out: dict[str, list[Subgroup]] = {}
    for disease in diseases:
        given = _photographs(table, tested, marked, disease, None)
        rows, plans = planned(given.tested, given.validation, disease, scales[disease], options)
        rows = rows[rows[disease] >= 0].reset_index(drop=True)
        if len(rows):
            measure = Measure(options.resamples, options.seed)
            out[disease] = read_subgroups(rows, ["set"], plans[0], scales[disease], options, measure)
    return out
