"""Photographs whose grade the lesions do not allow: counted with an interval, and listed for review."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from retinalab.metrics.clinical.result import Contradiction, Rules
from retinalab.metrics.clinical.rules import allowed_grades, known_lesions, segmented_lesions
from retinalab.metrics.figures import Figures
from retinalab.metrics.grading import Array, ratio
from retinalab.metrics.measure import Measure
from retinalab.metrics.statistics import Clusters
from retinalab.protocol import Scale

__all__ = ["read_rules"]


def read_rules(
    rows: pd.DataFrame, lesions: pd.DataFrame | None, disease: str, scale: Scale, measure: Measure
) -> list[Rules] | str:
    """The network's grades and the references against what annotated and found lesions allow; or why that cannot be.

    Args:
        rows: predictions of one test set with a grade; the reference may be unknown (-1).
        lesions: the run's table of lesions, None where it left none.
        disease: whose grades.
        scale: of its grades.
        measure: the bootstrap.
    """
    found = []
    for source, judged, presence in _sources(rows, lesions, disease):
        bounds = allowed_grades(presence, disease, scale)
        if bounds is None:
            return f"no rule leads from lesions to {disease.upper()} on scale {scale.name}"
        column = disease if judged == "reference" else f"{disease}_grade"
        bound = (bounds["low"] > 0) | (bounds["high"] < scale.size - 1)
        kept = rows[bound & (rows[column] >= 0)]
        if len(kept):
            found.append(_against(kept, presence, bounds, column, (judged, source), disease, measure))
    return (
        found or "no lesion is annotated here or their masks were not loaded, and the network looks for none"
    )


def _sources(
    rows: pd.DataFrame, lesions: pd.DataFrame | None, disease: str
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    known, segmented = known_lesions(rows, lesions), segmented_lesions(rows, lesions)
    if known is not None:
        yield "annotated", "network", known
    if segmented is not None:
        yield "found by the network", "network", segmented
    if known is not None and (rows[disease] >= 0).any():
        yield "annotated", "reference", known


def _against(
    rows: pd.DataFrame,
    presence: pd.DataFrame,
    bounds: pd.DataFrame,
    column: str,
    names: tuple[str, str],
    disease: str,
    measure: Measure,
) -> Rules:
    grade = rows[column].to_numpy(dtype=np.int64)
    low, high = (bounds.loc[rows.index, end].to_numpy(dtype=np.int64) for end in ("low", "high"))
    outside = np.maximum(low - grade, 0) + np.maximum(grade - high, 0)
    marked = rows.assign(**{"rules|below": grade < low, "rules|above": grade > high})
    metrics = measure("rules", marked, _shares)
    first = (rows["seed"] == rows["seed"].min()).to_numpy()
    order = [k for k in np.argsort(-outside, kind="stable") if outside[k] and first[k]]
    listed = []
    for k in order:
        row, cells = rows.iloc[k], presence.loc[rows.index[k]]
        listed.append(
            Contradiction(
                str(row["image"]), str(row["set"]), int(grade[k]), int(low[k]), int(high[k]),
                int(row[disease]), [str(x) for x, cell in cells.items() if cell == 1],
            )
        )  # fmt: skip
    share = {name.removeprefix("rules/"): metric for name, metric in metrics.items()}
    return Rules(*names, int(first.sum()), share, listed)


def _shares(rows: pd.DataFrame, clusters: Clusters) -> Figures:
    """Share of contradictions, and of those below and above the bounds."""
    below, above = (rows[f"rules|{side}"].to_numpy(dtype=np.float64) for side in ("below", "above"))
    sums = np.zeros((clusters.size, 4))
    np.add.at(
        sums,
        clusters.index(rows["group"]),
        np.stack([below + above, below, above, np.ones(len(rows))], axis=1),
    )

    def panel(counts: Array) -> Array:
        totals = counts @ sums
        return ratio(totals[:, :3], totals[:, 3:])

    return Figures(("contradicted", "below", "above"), panel)
