"""Review of what a stage made: labels, where photographs were changed, how near they are to test photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retinalab.data.made import open_made
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.metrics.review import (
    area_share,
    nearest_bits,
    nearness,
    picture_features,
    spread,
    told_apart,
    undefined,
)
from retinalab.protocol import SCALES
from retinalab.runner.anatomy import DrawnAnatomy
from retinalab.tasks.maker import Made

__all__ = ["DRAWN", "REVIEW", "changed_columns", "review"]

REVIEW = "review.json"
"""Name of the file beside the photographs."""

DRAWN = 64
"""Photographs, at most, whose optic disc and vessels are drawn to see what was changed there."""

_COMPARED = 500
_CHUNK = 64
_PLACES = ("disc", "vessels")
_NOTHING = "undefined: no photograph was made that is trained on"


def changed_columns(made: Made, measured: np.ndarray, anatomy: DrawnAnatomy) -> pd.DataFrame:
    """How many pixels of each photograph were changed, and of some drawn ones where.

    Args:
        made: some photographs.
        measured: ``(B,)`` bool, those whose disc and vessels are looked at, where they are drawn and were changed.
        anatomy: of the part that they were made from.

    Returns:
        A row for each photograph: ``changed`` pixels; where any is looked at also ``field_pixels``, ``disc_pixels``,
        ``vessels_pixels`` and ``changed_disc``, ``changed_vessels``, nan for the others.
    """
    changed = np.asarray(made.changed, bool)
    table = pd.DataFrame({"changed": changed.sum(axis=(1, 2))})
    for k in np.flatnonzero(measured & changed.any(axis=(1, 2))):
        found = anatomy.of(int(made.rows["target"].iloc[k]))
        if found is None:
            continue
        table.loc[k, "field_pixels"] = float(found.field.sum())
        for name, plane in zip(_PLACES, (found.disc, found.vessels), strict=True):
            table.loc[k, f"{name}_pixels"] = float(plane.sum())
            table.loc[k, f"changed_{name}"] = float((plane & changed[k]).sum())
    return table


def review(
    folder: Path, table: pd.DataFrame, module: FundusDataModule, scales: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that the report says of the photographs that a stage made; a figure that is undefined says why.

    Of the photographs that are trained on: labels before and after, pixels changed on the optic disc and on vessels
    where these are known, the nearest test photograph by perceptual hash, and whether sharpness and colours tell made
    photographs from originals, all and those that they were made from, of at most 500 on each side.

    Args:
        folder: of the stage's photographs.
        table: a row for each, as ``made.parquet`` holds it.
        module: whose training part they were made from.
        scales: disease -> name of its grade scale.
    """
    train = module.parts.train
    kept = np.flatnonzero(~table["left_out"].to_numpy(bool)) if len(table) else np.empty(0, np.int64)
    used = table.iloc[kept].reset_index(drop=True)
    part = open_made(folder, len(table), folder.name, dict(scales)) if len(table) else None
    groups = train.records.groups[used["target"].to_numpy(int)] if len(used) else np.empty(0, str)
    return {
        "made": len(table),
        "left_out": len(table) - len(used),
        "labels": {disease: _labels(train, used, disease, name) for disease, name in scales.items()},
        "changed": _changed(used, groups, train),
        "likeness": _likeness(part, kept, module),
        "told_apart": _told_apart(part, kept, used, groups, train),
    }


def _labels(train: Part, used: pd.DataFrame, disease: str, scale: str) -> dict[str, Any]:
    """Photographs of each grade, and last of unknown grade."""
    size = SCALES[scale].size
    before = _histogram(train.records.table[disease], size)
    made = _histogram(used[disease], size) if disease in used else [*[0] * size, len(used)]
    return {
        "grades": [*SCALES[scale].levels, "unknown"],
        "before": before,
        "after": [old + further for old, further in zip(before, made, strict=True)],
    }


def _histogram(grades: pd.Series, size: int) -> list[int]:
    given = grades.to_numpy(int)
    counted = np.bincount(np.where(given < 0, size, given), minlength=size + 1)
    return [int(count) for count in counted]


def _changed(used: pd.DataFrame, groups: np.ndarray, train: Part) -> dict[str, Any]:
    """Share of the square that was changed; share of the changed pixels on disc and vessels beside what these cover."""
    pixels = used["changed"].to_numpy(float) if len(used) else np.empty(0)
    found: dict[str, Any] = {"of_the_square": spread(pixels / train.cache.size**2, _NOTHING)}
    drawn = (
        used["field_pixels"].notna().to_numpy(bool) if "field_pixels" in used else np.zeros(len(used), bool)
    )
    if not drawn.any():
        why = (
            _NOTHING
            if not len(used)
            else "undefined: where disc and vessels lie is known of drawn photographs only"
        )
        if len(used) and DrawnAnatomy.any_in(train):
            why = "undefined: no drawn photograph was changed"
        return found | {f"{kind}_{place}": undefined(why) for place in _PLACES for kind in ("on", "cover")}
    seen, units = used[drawn], groups[drawn]
    for place in _PLACES:
        found[f"on_{place}"] = area_share(seen[f"changed_{place}"], seen["changed"], units, _NOTHING)
        found[f"cover_{place}"] = area_share(seen[f"{place}_pixels"], seen["field_pixels"], units, _NOTHING)
    return found


def _likeness(part: Part | None, kept: np.ndarray, module: FundusDataModule) -> dict[str, Any]:
    """Bits between each photograph, made or original, and the nearest test photograph of any set."""
    tests = np.concatenate([one.cache.likeness[one.rows] for one in module.parts.tests.values()])
    train = module.parts.train
    made = part.cache.likeness[part.rows[kept]] if part is not None else np.empty((0, 4), np.uint64)
    both = {"made": made, "original": train.cache.likeness[train.rows]}
    return {name: nearness(nearest_bits(hashes, tests)) for name, hashes in both.items()}


def _told_apart(
    part: Part | None, kept: np.ndarray, used: pd.DataFrame, groups: np.ndarray, train: Part
) -> dict[str, Any]:
    """AUC against all training photographs, and against those that were made into others."""
    if part is None or not len(kept):
        return {name: undefined(_NOTHING) for name in ("originals", "targets")}
    chosen = _spread_out(len(kept))
    made, units = _features(part, kept[chosen]), groups[chosen]
    others = {
        "originals": _spread_out(len(train)),
        "targets": np.unique(used["target"].to_numpy(int)[chosen]),
    }
    found = {}
    for name, rows in others.items():
        features = np.concatenate([made, _features(train, rows)])
        both = np.concatenate([units, train.records.groups[rows]])
        found[name] = told_apart(features, np.arange(len(features)) < len(made), both)
    return found


def _spread_out(count: int) -> np.ndarray:
    """At most 500 positions, evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, _COMPARED)).round().astype(int))


def _features(part: Part, positions: Sequence[int] | np.ndarray) -> np.ndarray:
    rows = part.rows[np.asarray(positions)]
    chunks = (rows[first : first + _CHUNK] for first in range(0, len(rows), _CHUNK))
    return np.concatenate([picture_features(part.cache.images(chunk)) for chunk in chunks])
