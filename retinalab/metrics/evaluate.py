"""Metrics with intervals from the tables that a run leaves, or from predictions made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from retinalab.errors import RetinalabError, unknown
from retinalab.metrics.figures import (
    Figures,
    disease_figures,
    joint_figures,
    lesion_figures,
    mean_over_lesions,
    presence_figures,
    window_figures,
)
from retinalab.metrics.grading import confusion_matrix, unacceptable_errors
from retinalab.metrics.measure import Build, Measure, Metric
from retinalab.metrics.statistics import Clusters
from retinalab.metrics.tables import complete_predictions, diseases_of, lesions_of, probabilities_of
from retinalab.protocol import Scale
from retinalab.records import LESIONS

__all__ = ["check_grades", "evaluate", "majority"]


def evaluate(
    predictions: pd.DataFrame,
    scales: Mapping[str, Scale],
    lesions: pd.DataFrame | None = None,
    windows: pd.DataFrame | None = None,
    resamples: int = 2000,
    seed: int = 0,
    primary_set: str | None = None,
) -> dict[str, Metric]:
    """Every figure of a run, with its 95 % interval (:func:`retinalab.metrics.statistics.bootstrap`).

    Keys are ``test/dr/kappa`` for the primary set and ``test@messidor2/dr/kappa`` for any other; ``val``
    likewise. Folds are pooled; a photograph that several folds predicted counts with each prediction, in
    ``n`` once. Clusters are drawn within strata of their worst reference grade (joint accuracy: of the first
    disease; lesions and patches: no strata), so that an interval holds for this mix of grades.

    Args:
        predictions: columns as in :mod:`retinalab.metrics.tables`; those made elsewhere may lack identity
            columns.
        scales: disease -> its scale; a disease that the table does not grade has no figures.
        lesions: one row per photograph and annotated lesion.
        windows: one row per patch.
        resamples: bootstrap resamples; 0 gives values without intervals.
        seed: of the bootstrap.
        primary_set: the set whose keys carry no name; by default the first in the table.

    Raises:
        RetinalabError: a disease without a scale, a grade outside it, a probability that is not finite.
    """
    table = complete_predictions(predictions).reset_index(drop=True)
    graded = diseases_of(table)
    if graded and "image" not in table:
        raise unknown(
            "column", "image", map(str, predictions.columns), "Each row needs the photograph's name."
        )
    for disease in graded:
        if disease not in scales:
            raise unknown(
                "disease", disease, scales, "The protocol must name the grade scale of each disease."
            )
        unasked = (table[disease] == -1) & (table[f"{disease}_grade"] == -1)
        check_grades(table[~unasked], disease, scales[disease])
    primary = primary_set if primary_set is not None else (str(table["set"].iloc[0]) if len(table) else "")
    out: dict[str, Metric] = {}
    measure = Measure(resamples, seed)
    for prefix, rows in _parts(table, primary):
        for disease in graded:
            known = rows[rows[disease] >= 0]
            out |= measure(
                f"{prefix}/{disease}", known, _on(disease_figures, disease, scales[disease]), disease
            )
            _count_errors(out, f"{prefix}/{disease}/unacceptable", known, disease, scales[disease])
        if len(graded) > 1:
            known = rows[(rows[list(graded)] >= 0).all(axis=1)]
            out |= measure(f"{prefix}/joint", known, _on(joint_figures, graded), graded[0])
        out |= _presence(prefix, rows, measure)
    if lesions is not None:
        for prefix, rows in _parts(lesions, primary):
            out |= _segmentation(prefix, rows, measure)
    if windows is not None:
        _check_windows(windows)
        for prefix, rows in _parts(windows, primary):
            out |= measure(f"{prefix}/windows", rows[rows["label"] >= 0], window_figures, photographs=False)
    return out


def majority(
    train: pd.DataFrame,
    predictions: pd.DataFrame,
    scales: Mapping[str, Scale],
    resamples: int = 2000,
    seed: int = 0,
    primary_set: str | None = None,
    windows: pd.DataFrame | None = None,
) -> dict[str, Metric]:
    """What always answering the most frequent training grade would score, to stand beside a result.

    Keys are ``test/dr/accuracy_majority`` per disease and ``test/joint/accuracy_majority``, which answers
    the most frequent combination of grades. Clusters are drawn without strata: the score is the share of
    one grade, which strata would hold fixed. Of patches, ``test/windows/accuracy_majority`` answers the most frequent
    class of the tested patches themselves: no constant answer scores higher.

    Args:
        train: reference grades of the training photographs, a column per disease; -1 is unknown.
        predictions: the photographs to score on, as for :func:`evaluate`.
        scales, resamples, seed, primary_set: as for :func:`evaluate`.
        windows: tested patches, as for :func:`evaluate`.
    """
    table = complete_predictions(predictions)
    diseases = [disease for disease in diseases_of(table) if disease in scales and disease in train]
    primary = primary_set if primary_set is not None else (str(table["set"].iloc[0]) if len(table) else "")
    measure = Measure(resamples, seed)
    targets = [(disease, [disease]) for disease in diseases] + (
        [("joint", diseases)] if len(diseases) > 1 else []
    )
    out: dict[str, Metric] = {}
    for name, columns in targets:
        known = train.loc[(train[columns] >= 0).all(axis=1), columns]
        if not len(known):
            continue
        answer = known.value_counts(sort=True).index[0]
        guess = table.assign(**{f"{d}_grade": int(grade) for d, grade in zip(columns, answer, strict=True)})
        for prefix, rows in _parts(guess, primary):
            rows = rows[(rows[columns] >= 0).all(axis=1)]
            scored = measure(f"{prefix}/{name}", rows, _on(joint_figures, columns))
            out |= {f"{key}_majority": metric for key, metric in scored.items()}
    for prefix, rows in _parts(windows, primary) if windows is not None else ():
        known = rows[rows["label"] >= 0]
        if len(known):
            guess = known.assign(grade=int(known["label"].mode().iloc[0]))
            scored = measure(f"{prefix}/windows", guess, window_figures, photographs=False)
            out[f"{prefix}/windows/accuracy_majority"] = scored[f"{prefix}/windows/accuracy"]
    return out


def _count_errors(out: dict[str, Metric], key: str, rows: pd.DataFrame, disease: str, scale: Scale) -> None:
    if key in out:
        confusion = confusion_matrix(rows[disease], rows[f"{disease}_grade"], scale.size)
        errors = unacceptable_errors(confusion, scale)
        out[key]["counts"] = {way: int(count) for way, count in errors.items()}
        out[key]["of"] = int(confusion.sum())


def _presence(prefix: str, rows: pd.DataFrame, measure: Measure) -> dict[str, Metric]:
    out: dict[str, Metric] = {}
    lesions = lesions_of(rows)
    known = {x: (rows[f"lesion_{x}"] >= 0) & rows[f"lesion_{x}_p"].notna() for x in lesions}
    for lesion in lesions:
        if f"lesion_{lesion}_annotated" in rows:
            known[lesion] &= rows[f"lesion_{lesion}_annotated"].astype(bool)
    for lesion in lesions:
        out |= measure(f"{prefix}/lesion/{lesion}", rows[known[lesion]], _on(presence_figures, lesion))
    if not out:
        return out

    def build(part: pd.DataFrame, clusters: Clusters) -> Figures:
        each = [presence_figures(part[known[x].loc[part.index]], clusters, x) for x in lesions]
        return mean_over_lesions(each, "image_f1")

    means = measure(f"{prefix}/lesion/mean", rows[np.any(list(known.values()), axis=0)], build)
    found = [out.get(f"{prefix}/lesion/{x}/image_f1") for x in lesions]
    values = [None if one is None else one["value"] for one in found]
    for metric in means.values():
        _note_lesions(metric, lesions, values)
    return out | means


def _segmentation(prefix: str, rows: pd.DataFrame, measure: Measure) -> dict[str, Metric]:
    present = rows["lesion"].unique().tolist()
    names = [x for x in LESIONS if x in present] + sorted(x for x in present if x not in LESIONS)
    out: dict[str, Metric] = {}
    for lesion in names:
        out |= measure(f"{prefix}/lesion/{lesion}", rows[rows["lesion"] == lesion], lesion_figures)

    def build(part: pd.DataFrame, clusters: Clusters) -> Figures:
        each = [
            lesion_figures(part[part["lesion"] == lesion], clusters) for lesion in part["lesion"].unique()
        ]
        return mean_over_lesions(each, "f1", "ap", "froc")

    means = measure(f"{prefix}/lesion/mean", rows, build)
    for key, metric in means.items():
        _note_lesions(metric, names, [out[key.replace("/mean/", f"/{x}/")]["value"] for x in names])
    return out | means


def _note_lesions(metric: Metric, names: Sequence[str], values: Sequence[float | None]) -> None:
    """Say which lesions a mean is over, where it is not over all eight."""
    defined = [name for name, value in zip(names, values, strict=True) if value is not None]
    if defined and len(defined) < len(LESIONS):
        over = f"mean over {', '.join(defined)}"
        metric["note"] = "; ".join(filter(None, [over, metric.get("note", "")]))


def _parts(table: pd.DataFrame, primary: str) -> Iterator[tuple[str, pd.DataFrame]]:
    full = table if "seed" in table else table.assign(seed=0)
    for (part, name), rows in full.groupby(["part", "set"], sort=False, dropna=False):
        yield (str(part) if name == primary else f"{part}@{name}"), rows


def _on(figures: Callable[..., Figures], *arguments: object) -> Build:
    return lambda rows, clusters: figures(rows, clusters, *arguments)


def check_grades(table: pd.DataFrame, disease: str, scale: Scale) -> None:
    """Hold grades to their scale, and probabilities or the score to finite numbers.

    Raises:
        RetinalabError: a cell that is none; the first photograph is named.
    """
    columns = probabilities_of(table, f"{disease}_p")
    regression = f"{disease}_score" in table
    if columns and not regression and len(columns) != scale.size:
        raise RetinalabError(
            f"{disease}: {len(columns)} probability columns for scale {scale.name} of {scale.size} grades. "
            f"Give {disease}_p0 to {disease}_p{scale.size - 1} or none, or name the scale of the predictions."
        )
    given: Sequence[str] = [f"{disease}_score"] if regression else columns
    for column in (disease, f"{disease}_grade", *given):
        _check_numbers(table, column, whole=column not in given)
    for column, lowest in ((disease, -1), (f"{disease}_grade", 0)):
        wrong = table[~table[column].between(lowest, scale.size - 1)]
        if len(wrong):
            raise RetinalabError(
                f"{column} of {wrong['image'].iloc[0]!r} is {wrong[column].iloc[0]}, outside {scale.name} "
                f"({lowest} to {scale.size - 1}; {len(wrong)} such rows). Correct it or name another scale."
            )
    broken = table[~np.isfinite(table[given].to_numpy(dtype=np.float64)).all(axis=1)]
    if len(broken):
        raise RetinalabError(
            f"{disease}: the prediction for {broken['image'].iloc[0]!r} is not finite "
            f"({len(broken)} such rows). Train with a lower learning rate, or correct the table."
        )


def _check_numbers(table: pd.DataFrame, column: str, whole: bool) -> None:
    numbers = pd.to_numeric(table[column], errors="coerce")
    wrong = table[(numbers.isna() & table[column].notna()) | (whole & (numbers % 1 > 0))]
    if len(wrong):
        raise RetinalabError(
            f"{column} of {wrong['image'].iloc[0]!r} is '{wrong[column].iloc[0]}', not a {'whole ' * whole}number "
            f"({len(wrong)} such rows). Correct it, or name another column."
        )


def _check_windows(windows: pd.DataFrame) -> None:
    size = len(probabilities_of(windows, "p"))
    for column, lowest in (("label", -1), ("grade", 0)):
        wrong = windows[~windows[column].between(lowest, size - 1)]
        if len(wrong):
            raise RetinalabError(
                f"{column} of a patch of {wrong['image'].iloc[0]!r} is {wrong[column].iloc[0]}, there are "
                f"probabilities of {size} classes ({len(wrong)} such rows). Correct the table."
            )
