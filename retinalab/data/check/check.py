"""The whole check of one data set: everything that is wrong with it, found in one reading of its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from retinalab.data.check.counts import count_findings, count_rows, cross_notes, cross_rows
from retinalab.data.check.duplicates import duplicates
from retinalab.data.check.findings import KINDS, Check, Finding
from retinalab.data.check.lesion_size import lesion_pixels, vanishing
from retinalab.data.check.masks import mask_columns, masks
from retinalab.data.check.overlaps import Other, overlaps
from retinalab.data.check.patients import patient_facts, patients_on_two_sides
from retinalab.data.check.photographs import Describe, Seen, look_at_all
from retinalab.data.enlarged import ENLARGED, enlarged
from retinalab.data.sets.base import PhotographSet
from retinalab.data.sets.files import compare_files
from retinalab.protocol import SCALES, Scale
from retinalab.records import Records, SetInfo

__all__ = ["Shortcut", "check_set"]

_OPENED = "--quick opens no file: photographs, copies, masks, lesion size and shortcuts were not checked"
_OF_A_FILE = ("missing", "unreadable", "damaged", "empty-field")


@dataclass(frozen=True)
class Shortcut:
    """How labels are predicted without the retina; given from outside, since this room knows no metrics.

    Attributes:
        describe: the features that are kept of an open photograph.
        probe: ``(n, F)`` features, n rows of records and the scales -> rows of ``Check.probe``.
        warn_above: AUC from which on it is a finding.
    """

    describe: Describe
    probe: Callable[[np.ndarray, pd.DataFrame, Mapping[str, Scale]], Sequence[Mapping[str, Any]]]
    warn_above: float


@dataclass
class _Gathered:
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    lesion_pixels: list[dict[str, Any]] = field(default_factory=list)
    probe: list[Mapping[str, Any]] = field(default_factory=list)


def check_set(
    source: PhotographSet,
    others: Mapping[str, PhotographSet] | None = None,
    quick: bool = False,
    size: int | None = None,
    shortcut: Shortcut | None = None,
    further: Sequence[Finding] = (),
) -> Check:
    """Check a data set; nothing found stops it, and what could not be checked is listed.

    Args:
        source: the opened set.
        others: sets that its photographs are looked for in, by name.
        quick: open no file: names and labels only.
        size: input size in pixels that the size of a microaneurysm is judged at.
        shortcut: the probe of the labels; None leaves it out.
        further: findings made elsewhere, such as those of a manifest.

    Raises:
        RetinalabError: the labels cannot be read at all.
    """
    started = time.perf_counter()
    records = source.records(check=False)
    info = next(iter(records.info.values()))
    made = _Gathered(facts=dict(patient_facts(records)))
    made.findings += patients_on_two_sides(records)
    counts, cross = count_rows(records, info), cross_rows(records, info)
    made.findings += count_findings(counts)
    seen: list[Seen] = []
    absent: set[str] = set()
    if source.has_files:
        absent = _missing(records, made)
    if source.has_files and not quick:
        seen = _looked_at(records, absent, made, shortcut)
        made.findings += _enlarged(seen, size, info)
        made.findings += duplicates(records, seen)
        found, unjudged = masks(source, records, seen, absent)
        made.findings += found
        made.skipped += unjudged
        made.lesion_pixels = lesion_pixels(source, records, size)
        made.findings += vanishing(made.lesion_pixels, size)
        _probe(records, info, seen, shortcut, made)
    else:
        made.skipped.append(_why_unopened(source, quick))
    for name, other in (others or {}).items():
        made.findings += overlaps(records, seen, _read(name, other, opened=bool(seen)))
    known = {path for found in made.findings if found.kind in _OF_A_FILE for path in found.images}
    made.findings += [
        found for found in further if found.kind == "checksum" or known.isdisjoint(found.images)
    ]
    order = list(KINDS)
    return Check(
        set=info.name,
        title=info.title,
        root=str(source.root),
        synthetic=info.synthetic,
        photographs=len(records),
        patients=made.facts.pop("patients", 0),
        notes=[*records.notes, *cross_notes(cross, info)],
        findings=sorted(made.findings, key=lambda found: order.index(found.kind)),
        counts=counts,
        cross=cross,
        facts=made.facts,
        lesion_pixels=made.lesion_pixels,
        probe=made.probe,
        skipped=made.skipped,
        seconds=round(time.perf_counter() - started, 2),
    )


def _missing(records: Records, made: _Gathered) -> set[str]:
    """Files that are listed and absent, found by listing folders; photographs and masks."""
    table = records.table
    root = next(iter(records.roots.values()))
    absent, unlisted = compare_files(root, table["image"].astype(str).tolist())
    made.findings += [Finding("missing", (image,), "there is no such file") for image in absent]
    if unlisted:
        made.facts["photographs beside them that are not listed"] = len(unlisted)
    for column in mask_columns(records):
        listed = table[table[column].fillna("") != ""]
        gone = set(compare_files(root, listed[column].astype(str).tolist())[0])
        for image, path in zip(listed["image"], listed[column], strict=True):
            if path in gone:
                made.findings.append(Finding("missing", (str(image),), f"its mask {path} is absent"))
        absent += gone
    return set(absent)


def _looked_at(records: Records, absent: set[str], made: _Gathered, shortcut: Shortcut | None) -> list[Seen]:
    seen = look_at_all(records, absent, shortcut.describe if shortcut else None)
    made.findings += [Finding(one.kind, (one.image,), one.reason) for one in seen if one.kind]
    read = [one for one in seen if one.height]
    if read:
        formats = pd.Series([one.format for one in read]).value_counts()
        made.facts |= {
            "median width, pixels": float(np.median([one.width for one in read])),
            "median height, pixels": float(np.median([one.height for one in read])),
            "file types": ", ".join(f"{kind or 'other'} {count}" for kind, count in formats.items()),
            "megabytes": round(sum(one.size for one in seen) / 1e6, 1),
        }
    return seen


def _enlarged(seen: Sequence[Seen], size: int | None, info: SetInfo) -> list[Finding]:
    """Photographs whose field of view is smaller than the size that was asked for."""
    open_ = [one for one in seen if one.field is not None]
    sides = np.array([one.field.rescale(one.height, one.width).side for one in open_ if one.field], float)
    if size is None or not (note := enlarged(sides, size, info.name)):
        return []
    small = [one.image for one, side in zip(open_, sides, strict=True) if side < size]
    return [Finding(ENLARGED, tuple(small), note.removeprefix(f"{ENLARGED}: "))]


def _probe(
    records: Records, info: SetInfo, seen: Sequence[Seen], shortcut: Shortcut | None, made: _Gathered
) -> None:
    if shortcut is None:
        return
    if not info.scales:
        made.skipped.append("the shortcut probe: the set has no grades")
        return
    described = {row: one.features for row, one in enumerate(seen) if one.features is not None}
    if not described:
        made.skipped.append("the shortcut probe: no photograph could be opened")
        return
    chosen, features = records.take(list(described)), np.stack(list(described.values()))
    scales = {disease: SCALES[scale] for disease, scale in info.scales.items()}
    made.probe = list(shortcut.probe(features, chosen.table.assign(group=chosen.groups), scales))
    for disease in scales:
        judged = [row for row in made.probe if row["disease"] == disease and row["auc"] is not None]
        best = max(judged, key=lambda row: float(row["auc"]), default=None)
        if best is not None and best["auc"] > shortcut.warn_above:
            made.findings.append(Finding("shortcut", (), _told(best)))


def _told(row: Mapping[str, Any]) -> str:
    interval = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
    features = "all features together" if row["features"] == "all" else f"{row['features']} alone"
    figure = f"{row['disease']} ({row['target']}): AUC {row['auc']:.2f}{interval}"
    return f"{figure} from {features}; strongest {row['strongest']}"


def _why_unopened(source: PhotographSet, quick: bool) -> str:
    if source.drawn:
        return "the photographs are drawn when they are needed: there is no file to check"
    return _OPENED if quick else "labels_only: photographs, copies, masks and shortcuts were not checked"


def _read(name: str, other: PhotographSet, opened: bool) -> Other:
    records = other.records(check=False)
    if not opened or not other.has_files:
        return Other(name, records)
    root = next(iter(records.roots.values()))
    absent = set(compare_files(root, records.table["image"].astype(str).tolist())[0])
    return Other(name, records, look_at_all(records, absent, label=name))
