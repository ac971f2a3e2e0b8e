"""Gather folds, seeds and stages into one table and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retinalab.config import Experiment
from retinalab.data.parts import Part, Parts
from retinalab.errors import RetinalabError
from retinalab.metrics.evaluate import evaluate, majority
from retinalab.metrics.shortcut import colour_features, colour_probe
from retinalab.metrics.tables import diseases_of, lesions_of, read_table

__all__ = ["colour_baseline", "joined", "summarise"]

_KEYS = ["image", "set", "part", "fold", "seed", "patient", "eye", "view", "group", "quality", "reason"]


def joined(tables: Path, stages: Sequence[str], kind: Any) -> pd.DataFrame | None:
    """The tables of several stages as one: predictions side by side by photograph, other tables one below the other.

    Where the stages were tested on different photographs, what one does not predict is unknown there (-1).

    Raises:
        RetinalabError: two stages predict the same of one photograph.
    """
    places = {stage: tables / stage / f"{kind}.parquet" for stage in stages}
    found = {stage: read_table(place, kind) for stage, place in places.items() if place.is_file()}
    if not found:
        return None
    if kind != "predictions":
        return pd.concat(found.values(), ignore_index=True)
    first, *others = found
    whole = found[first]
    for other in others:
        whole = _beside(whole, found[other], f"Stages {first!r} and {other!r}")
    return _completed(whole)


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


def summarise(experiment: Experiment, tables: dict[str, pd.DataFrame], parts: Parts) -> dict[str, Any]:
    """Every figure with its interval, and beside it what the majority grade and colours alone would reach."""
    primary = next(iter(parts.tests))
    primary = parts.tests[primary].records.table["set"].iloc[0]
    scales = experiment.protocol.scales
    metrics: dict[str, Any] = {}
    predictions = tables.get("predictions")
    if predictions is not None:
        metrics.update(
            evaluate(predictions, scales, tables.get("lesions"), tables.get("windows"), primary_set=primary)
        )
        tested = predictions[predictions["part"] == "test"]
        metrics.update(majority(parts.train.records.table, tested, scales, primary_set=primary))
        metrics.update(colour_baseline(experiment, parts, tested))
    elif tables:
        empty = pd.DataFrame(columns=["image", "set", "part"])
        metrics.update(
            evaluate(empty, scales, tables.get("lesions"), tables.get("windows"), primary_set=primary)
        )
    return {key: metrics[key] for key in sorted(metrics, key=_order)}


def colour_baseline(experiment: Experiment, parts: Parts, tested: pd.DataFrame) -> dict[str, Any]:
    """AUC for referable disease of a logistic regression on colours alone, on the photographs tested.

    Fitted on the training part, without the patients of the test part; where folds are pooled, cross-validated by
    patient over the same folds' photographs.
    """
    test = next(iter(parts.tests.values()))
    pooled = experiment.folds > 1 and experiment.fold is None
    chosen: list[Part] = [parts.train, parts.val, test] if pooled else [parts.train, test]
    table = pd.concat(
        [part.records.table.assign(group=part.records.groups) for part in chosen], ignore_index=True
    )
    features = np.concatenate([_features(part) for part in chosen])
    fitted = None if pooled else np.arange(len(table)) < len(parts.train)
    # as published, a patient may stand on both sides, and the test part may be the validation part too
    kept = ~table.duplicated(["set", "image"], keep="last").to_numpy()
    if fitted is not None:
        kept &= ~(fitted & table["group"].isin(table["group"][~fitted]).to_numpy())
        fitted = fitted[kept]
    table, features = table[kept].reset_index(drop=True), features[kept]
    figures: dict[str, Any] = {}
    for disease, scale in experiment.protocol.scales.items():
        if f"{disease}_grade" not in tested or not _both(table, disease, scale.referable, fitted):
            continue
        probed = colour_probe(features, table, disease, scale, fitted, folds=max(2, experiment.folds))
        found = evaluate(probed, {disease: _binary()}, primary_set=str(table["set"].iloc[0]))
        if f"test/{disease}/auc" in found:
            figures[f"test/{disease}/auc_referable_colour"] = found[f"test/{disease}/auc"]
    return figures


def _features(part: Part) -> np.ndarray:
    chunks = [colour_features(part.cache.images(part.rows[i : i + 64])) for i in range(0, len(part), 64)]
    return np.concatenate(chunks)


def _both(table: pd.DataFrame, disease: str, referable: int, fitted: np.ndarray | None) -> bool:
    seen = table if fitted is None else table[fitted]
    known = seen.loc[seen[disease] >= 0, disease]
    positive = int((known >= referable).sum())
    return min(positive, len(known) - positive) >= 5


def _binary() -> Any:
    from retinalab.protocol import SCALES

    return SCALES["referable"]


def _order(key: str) -> tuple[int, str]:
    return (0 if key.startswith("test/") else 1 if key.startswith("test@") else 2, key)
