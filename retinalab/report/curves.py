"""Everything that is drawn of one set's ranking: ROC with readers, reliability, and what cannot be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from retinalab.metrics.tables import complete_predictions
from retinalab.report.chart import Chart
from retinalab.report.figures import reliability, roc
from retinalab.report.folder import RunFolder
from retinalab.report.operating import OperatingPoint, chosen_points
from retinalab.report.readers import (
    READERS,
    ReadersTable,
    Reading,
    read_readers,
    readers_table,
    targets,
)

__all__ = ["Curves", "curves", "readings_of"]


@dataclass
class Curves:
    """Charts, tables of readers, and a line for each thing that is missing."""

    charts: list[Chart] = field(default_factory=list)
    readers: list[ReadersTable] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def readings_of(run: RunFolder) -> tuple[Reading, ...]:
    """The readers whose copy the run keeps; none where it keeps no such file.

    Raises:
        RetinalabError: the file cannot be used; its row is named.
    """
    path = run.path / READERS
    sets = {run.set_of(prefix) for prefix in run.tested}
    return read_readers(path, run.scales, sets) if path.is_file() else ()


def curves(
    run: RunFolder,
    prefix: str,
    graded: Mapping[str, pd.DataFrame],
    readings: Sequence[Reading],
    with_reliability: bool = True,
) -> Curves:
    """ROC and reliability of each disease; a reader who looked for something else has a curve of their own.

    Args:
        prefix: of the test set's keys.
        graded: disease -> predictions of the set whose reference is known.
        readings: all readers' points.
        with_reliability: whether it is wanted here; a clinical reading draws its own.
    """
    out = Curves()
    for disease, rows in graded.items():
        scale = run.scales[disease]
        default, *others = targets(scale)
        area = run.metrics.get(f"{prefix}/{disease}/{'auc' if scale.size == 2 else 'auc_referable'}")
        for target in (default, *others):
            here = [
                one
                for one in readings
                if (one.disease, one.target) == (disease, target)
                and (one.set == run.set_of(prefix) if one.set else "@" not in prefix)
            ]
            if target != default and not here:
                continue
            points, lacking = _chosen(run, rows, disease, targets(scale)[target])
            curve = roc(rows, disease, scale, area if target == default else None, here, target, points)
            if curve is None:
                what = f"the references lie on one side of {target}"
                out.missing.append(f"{disease.upper()}: no ROC, since {what}.")
                continue
            out.charts.append(curve)
            out.missing += [f"{disease.upper()}, {target}: {why}." for why in lacking]
            if here:
                out.readers.append(readers_table(rows, disease, targets(scale)[target], target, here))
        if with_reliability:
            _add_reliability(out, rows, disease, run)
    return out


def _chosen(
    run: RunFolder, rows: pd.DataFrame, disease: str, lowest: int
) -> tuple[list[OperatingPoint], list[str]]:
    """The points that validation fixed; the validation photographs of all sets choose."""
    table = rows.head(0) if run.predictions is None else run.predictions
    validation = table[table["part"] == "val"]
    return chosen_points(complete_predictions(rows), complete_predictions(validation), disease, lowest)


def _add_reliability(out: Curves, rows: pd.DataFrame, disease: str, run: RunFolder) -> None:
    trust = reliability(rows[rows["seed"] == rows["seed"].min()], disease, run.scales[disease])
    if trust is not None:
        out.charts.append(trust)
        return
    regression = f"{disease}_score" in rows
    why = "the score of a regression is no probability" if regression else "there are too few photographs"
    out.missing.append(f"{disease.upper()}: reliability is not applicable, since {why}.")
