"""Review of what a stage made: labels, where photographs were changed, nearest test photograph, traces left."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retinalab.data.ahead import ahead
from retinalab.data.likeness import likeness_hash
from retinalab.data.made import open_made
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.metrics.matching import Matched, matched
from retinalab.metrics.review import (
    area_share,
    nearest_bits,
    nearness,
    picture_features,
    spread,
    told_apart,
    undefined,
)
from retinalab.metrics.traces import tile_features
from retinalab.protocol import SCALES
from retinalab.runner.anatomy import DrawnAnatomy
from retinalab.tasks.maker import Made

__all__ = ["DRAWN", "REVIEW", "changed_columns", "few_sources", "review"]

REVIEW = "review.json"
"""Name of the file beside the photographs."""

DRAWN = 64
"""Photographs, at most, whose optic disc and vessels are drawn to see what was changed there."""

_CHUNK = 64
_FEW, _OFTEN = 5, 10
_PLACES = ("disc", "vessels")
_NOTHING = "undefined: no photograph was made that is trained on"
_UNGRADED = "undefined: no made photograph has a grade to compare originals of"


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
    folder: Path,
    table: pd.DataFrame,
    module: FundusDataModule,
    scales: Mapping[str, str],
    tests: Mapping[str, Part],
) -> dict[str, Any]:
    """Everything that the report says of the photographs that a stage made; a figure that is undefined says why.

    Of the photographs that are trained on: labels before and after, from how many different sources and targets those
    of each label were made, pixels changed on the optic disc and on vessels
    where these are known, the nearest test photograph of any set by perceptual hash, and whether a logistic regression
    tells made photographs from originals of the same grades: by sharpness and colours of the whole, by detail in tiles,
    and by both.

    Args:
        folder: of the stage's photographs.
        table: a row for each, as ``made.parquet`` holds it.
        module: whose training part they were made from.
        scales: disease -> name of its grade scale.
        tests: data set -> photographs that the experiment is tested on.
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
        "likeness": _likeness(part, kept, train, tests),
        "told_apart": _told_apart(part, kept, used, train, scales),
    }


def few_sources(table: pd.DataFrame, scales: Mapping[str, str]) -> list[str]:
    """A line for each grade whose made photographs repeat what few sources hold.

    Few are fewer than five, or fewer than a tenth of the photographs made of them. Only what is trained on counts.

    Args:
        table: a row for each made photograph; without a column ``source`` nothing is said.
        scales: disease -> name of its grade scale.
    """
    if "source" not in table:
        return []
    used = table[~table["left_out"].to_numpy(bool)]
    said: list[str] = []
    for disease, scale in scales.items():
        size = SCALES[scale].size
        made, sources = _histogram(used, disease, size), _different(used, disease, size, "source")
        names = [f"grade {grade} {level}" for grade, level in enumerate(SCALES[scale].levels)]
        said += [
            f"{disease.upper()}: {count} photographs of {name} were made from {few} "
            f"source{'s' if few > 1 else ''} only, and repeat what {'these show' if few > 1 else 'it shows'}."
            for name, count, few in zip(names, made, sources, strict=False)
            if 0 < few < count and (few < _FEW or _OFTEN * few < count)
        ]
    return said


def _labels(train: Part, used: pd.DataFrame, disease: str, scale: str) -> dict[str, Any]:
    """Photographs of each grade, and last of unknown grade; how many different ones those made were made from."""
    size = SCALES[scale].size
    before, made = _histogram(train.records.table, disease, size), _histogram(used, disease, size)
    origins = {f"{one}s": _different(used, disease, size, one) for one in ("source", "target") if one in used}
    return {
        "grades": [*SCALES[scale].levels, "unknown"],
        "before": before,
        "after": [old + further for old, further in zip(before, made, strict=True)],
        **origins,
    }


def _histogram(table: pd.DataFrame, disease: str, size: int) -> list[int]:
    return [int(count) for count in np.bincount(_bins(table, disease, size), minlength=size + 1)]


def _different(table: pd.DataFrame, disease: str, size: int, origin: str) -> list[int]:
    """How many different photographs those of each grade were made from."""
    once = pd.DataFrame({"bin": _bins(table, disease, size), "origin": table[origin].to_numpy(np.int64)})
    counted = np.bincount(once[once["origin"] >= 0].drop_duplicates()["bin"], minlength=size + 1)
    return [int(count) for count in counted]


def _bins(table: pd.DataFrame, disease: str, size: int) -> np.ndarray:
    """Grade of each row; what is unknown, or not graded in the disease, comes after the last."""
    given = table[disease].to_numpy(np.int64) if disease in table else np.full(len(table), -1)
    return np.where(given < 0, size, given)


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


def _likeness(part: Part | None, kept: np.ndarray, train: Part, tests: Mapping[str, Part]) -> dict[str, Any]:
    """Bits between each photograph, made or original, and the nearest test photograph of any set."""
    tested = np.concatenate([_hashes(one, np.arange(len(one))) for one in tests.values()])
    made = _hashes(part, kept) if part is not None else np.empty((0, 4), np.uint64)
    both = {"made": made, "original": _hashes(train, np.arange(len(train)))}
    found: dict[str, Any] = {name: nearness(nearest_bits(hashes, tested)) for name, hashes in both.items()}
    return found | {"tests": {name: len(one) for name, one in tests.items()}}


def _hashes(part: Part, which: np.ndarray) -> np.ndarray:
    """``(n, 4)`` uint64 of working images: of what was made no other outline is known than the one seen in it."""

    def of(row: int) -> np.ndarray:
        return likeness_hash(part.cache.images(part.rows[[row]])[0])

    hashes = list(ahead(of, np.arange(len(part))[which].tolist(), len(os.sched_getaffinity(0))))
    return np.array(hashes, np.uint64).reshape(-1, 4)


def _told_apart(
    part: Part | None, kept: np.ndarray, used: pd.DataFrame, train: Part, scales: Mapping[str, str]
) -> dict[str, Any]:
    """AUC between made photographs and originals at matched grades, by three sets of features."""
    names = ("whole", "tiles", "both")
    disease = next((one for one in scales if one in used and (used[one] >= 0).any()), None)
    if part is None or disease is None:
        return {name: undefined(_UNGRADED if len(used) else _NOTHING) for name in names}
    linked = used[[one for one in ("target", "source") if one in used]].to_numpy(np.int64)
    grades = train.records.table[disease].to_numpy(np.int64)
    pairs = matched(
        used[disease].to_numpy(np.int64), linked, grades, train.records.groups, _size(scales, disease)
    )
    matching = {"disease": disease, "counts": pairs.counts.tolist()}
    if not len(pairs.made):
        why = "undefined: no original of a grade that was made, or all were made from a few patients"
        return {name: undefined(why) for name in names} | {"matched": matching}
    features = _features(part, kept, train, pairs)
    side = np.arange(2 * len(pairs.made)) < len(pairs.made)
    told = {name: told_apart(features[name], side, pairs.units) for name in names}
    return told | {"matched": matching}


def _size(scales: Mapping[str, str], disease: str) -> int:
    return SCALES[scales[disease]].size


def _features(part: Part, kept: np.ndarray, train: Part, pairs: Matched) -> dict[str, np.ndarray]:
    """Of the made photographs, then of the originals."""
    found: dict[str, list[np.ndarray]] = {"whole": [], "tiles": []}
    for one, rows in ((part, part.rows[kept[pairs.made]]), (train, train.rows[pairs.originals])):
        for first in range(0, len(rows), _CHUNK):
            images = one.cache.images(rows[first : first + _CHUNK])
            found["whole"].append(picture_features(images))
            found["tiles"].append(tile_features(images))
    whole, tiles = (np.concatenate(several) for several in found.values())
    return {"whole": whole, "tiles": tiles, "both": np.concatenate([whole, tiles], axis=1)}
