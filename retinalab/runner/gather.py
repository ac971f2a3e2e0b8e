"""Gather folds, seeds and stages into one table and its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retinalab.config import Experiment
from retinalab.data.parts import Parts
from retinalab.errors import RetinalabError
from retinalab.metrics.evaluate import evaluate, majority
from retinalab.metrics.tables import diseases_of, lesions_of, read_table, write_table
from retinalab.runner.baselines import baseline_figures, baseline_predictions
from retinalab.runner.lesion_baseline import threshold_figures
from retinalab.runner.ungradable import ungradable_photographs

__all__ = ["joined", "summarise"]

_KEYS = ["image", "set", "part", "fold", "seed", "patient", "eye", "view", "group", "quality", "reason"]


def joined(tables: Path, stages: Sequence[str], kind: Any) -> pd.DataFrame | None:
    """The tables of several stages as one: predictions side by side by photograph, other tables one below the other.

    Where the stages were tested on different photographs, what one does not predict is unknown there (-1). Maps of
    one name from several stages carry the stage in their name.

    Raises:
        RetinalabError: two stages predict the same of one photograph.
    """
    places = {stage: tables / stage / f"{kind}.parquet" for stage in stages}
    found = {stage: read_table(place, kind) for stage, place in places.items() if place.is_file()}
    if not found:
        return None
    if kind == "maps":
        found = _told_apart(found)
    if kind != "predictions":
        return pd.concat(found.values(), ignore_index=True)
    first, *others = found
    whole = found[first]
    for other in others:
        whole = _beside(whole, found[other], f"Stages {first!r} and {other!r}")
    return _completed(whole)


def _told_apart(found: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Maps whose name several stages use, named after the stage too."""
    uses = Counter(name for table in found.values() for name in table["map"].unique())
    return {
        stage: table.assign(map=[f"{name} ({stage})" if uses[name] > 1 else name for name in table["map"]])
        for stage, table in found.items()
    }


def _beside(whole: pd.DataFrame, other: pd.DataFrame, who: str) -> pd.DataFrame:
    shared = [column for column in other.columns if column in whole.columns and column not in _KEYS]
    both = whole.merge(
        other, on=_KEYS, how="outer", suffixes=("", "|other"), validate="one_to_one", sort=False
    )
    for column in shared:
        theirs = both.pop(f"{column}|other")
        predicted = column.removesuffix("_grade") if column.endswith("_grade") else column.removesuffix("_p")
        if predicted != column and (both[column].notna() & theirs.notna()).any():
            raise RetinalabError(
                f"{who} both predict {predicted} of the same photographs. Name one of them in test.stages, "
                f"or give each its "
                "own diseases."
            )
        both[column] = both[column].where(both[column].notna(), theirs)
    return both


def _completed(table: pd.DataFrame) -> pd.DataFrame:
    unknown: dict[str, Any] = {}
    for disease in diseases_of(table):
        unknown.update(dict.fromkeys((disease, f"{disease}_grade"), np.int64(-1)))
    for lesion in lesions_of(table):
        unknown.update({f"lesion_{lesion}": np.int8(-1), f"lesion_{lesion}_annotated": False})
    full = table.copy()
    for column, value in unknown.items():
        full[column] = full[column].where(full[column].notna(), value).astype(type(value))
    return full


def summarise(
    experiment: Experiment, tables: dict[str, pd.DataFrame], parts: Mapping[str, Parts], folder: Path
) -> dict[str, Any]:
    """Every figure with its interval, and beside it what is reached without looking at the retina.

    Beside it stand the majority grade of the training part, the baselines of
    :mod:`retinalab.runner.baselines`, whose predictions go to ``baselines.parquet``, and beside lesions' pixel F1 a
    threshold on colour (:mod:`retinalab.runner.lesion_baseline`). Tested photographs that the protocol leaves out as
    ungradable are listed in ``ungradable.parquet``.

    Args:
        experiment: what was run.
        tables: kind -> table that the run left.
        parts: stage -> its photographs (of the first fold).
        folder: of the run.
    """
    evaluated = parts[experiment.evaluated[-1]]
    primary = next(iter(evaluated.tests))
    primary = evaluated.tests[primary].records.table["set"].iloc[0]
    scales = experiment.protocol.scales
    metrics: dict[str, Any] = {}
    predictions = tables.get("predictions", pd.DataFrame(columns=["image", "set", "part"]))
    tested = predictions[predictions["part"] == "test"]
    windows = tables.get("windows")
    if tables:
        metrics.update(evaluate(predictions, scales, tables.get("lesions"), windows, primary_set=primary))
        patches = None if windows is None else windows[windows["part"] == "test"]
        known = evaluated.train.records.table
        metrics.update(majority(known, tested, scales, primary_set=primary, windows=patches))
    if "predictions" in tables:
        baselines, notes = baseline_predictions(experiment, parts, tested)
        metrics.update(baseline_figures(baselines, notes, tested, scales, primary))
        if len(baselines):
            write_table(baselines, folder / "baselines.parquet", "predictions")
        left_out = ungradable_photographs(experiment, parts)
        if len(left_out):
            write_table(left_out, folder / "ungradable.parquet", "predictions")
    if "lesions" in tables:
        metrics.update(threshold_figures(experiment, parts, tables["lesions"], primary))
    return {key: metrics[key] for key in sorted(metrics, key=_order)}


def _order(key: str) -> tuple[int, str]:
    return (0 if key.startswith("test/") else 1 if key.startswith("test@") else 2, key)
