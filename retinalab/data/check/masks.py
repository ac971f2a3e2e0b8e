"""Lesion masks: of another size than their photograph, empty, outside the field of view, unreadable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retinalab.data.check.findings import Finding
from retinalab.data.check.photographs import Seen, threaded
from retinalab.data.fov import Fov
from retinalab.data.sets.base import PhotographSet
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS, Records

__all__ = ["OUTSIDE", "has_outline", "mask_columns", "masks", "share_outside"]

OUTSIDE = 0.05
"""Share of a mask's pixels outside the field from which on it is a finding. Of the 143 masks of HEI-MED and of 16
photographs of IDRiD not one has a pixel outside the fitted outline, of 440 drawn ones at 160 pixels one has 2 %: what
is left is for lesions marked across the rim."""
_LARGEST = 0.75
"""Half axes over the side of the visible field: 0.5 of a whole circle, 0.71 of one that fills a square picture."""
_MARGIN = 1.02  # the outline is fitted to about one per cent of the radius


@dataclass(frozen=True)
class _Job:
    row: int
    lesion: str
    path: str
    seen: Seen


def mask_columns(records: Records) -> list[str]:
    """Columns of the records that hold paths of masks, those beyond the eight lesions included."""
    return [str(name) for name in records.table if str(name).startswith("mask_")]


def masks(
    source: PhotographSet, records: Records, seen: Sequence[Seen], absent: set[str]
) -> tuple[list[Finding], list[str]]:
    """Look at every mask file; one finding per file at most.

    Args:
        source: the data set.
        records: of it.
        seen: one per record: the size and field of view of the photograph, where it could be read.
        absent: mask files that are known to be missing.

    Returns:
        Findings, and a line on what could not be checked.
    """
    jobs = [
        _Job(row, column.removeprefix("mask_"), path, seen[row])
        for column in mask_columns(records)
        for row, path in enumerate(records.table[column].fillna("").astype(str))
        if path and path not in absent
    ]
    found = threaded(lambda job: _looked_at(source, records, job), jobs, "masks")
    unjudged = sum(job.seen.field is None or not has_outline(job.seen.field) for job in jobs)
    skipped = [f"{unjudged} of {len(jobs)} masks against the field of view: it has no visible outline"]
    return [finding for finding in found if finding is not None], skipped if unjudged else []


def has_outline(field: Fov) -> bool:
    """Whether the outline is that of a camera's field: not the edge of a shadow, which is part of a larger circle."""
    ellipse = field.ellipse
    return ellipse is not None and max(ellipse.rx, ellipse.ry) <= _LARGEST * field.side


def _looked_at(source: PhotographSet, records: Records, job: _Job) -> Finding | None:
    image = str(records.table.at[job.row, "image"])
    file = records.roots[str(records.table.at[job.row, "set"])] / job.path
    try:
        height, width = source.mask_size(file)
    except RetinalabError as error:
        return Finding("unreadable", (image,), f"mask {job.path}: {_reason(file, error)}")
    whole = (job.seen.height, job.seen.width)
    if job.seen.height and (height, width) != whole:
        message = f"{job.path} is {width}x{height}, the photograph {whole[1]}x{whole[0]}"
        return Finding("mask-size", (image,), message)
    try:
        mask = source.mask(records, job.row, job.path, (height, width))
    except RetinalabError as error:
        return Finding("unreadable", (image,), f"mask {job.path}: {_reason(file, error)}")
    if not mask.any():
        return None if _may_be_empty(source, records, job) else Finding("mask-empty", (image,), job.path)
    outside = share_outside(mask, job.seen.field) if job.seen.field else None
    if outside is not None and outside > OUTSIDE:
        message = f"{outside:.0%} of the pixels of {job.path} lie outside the field of view"
        return Finding("mask-outside", (image,), message)
    return None


def share_outside(mask: np.ndarray, field: Fov) -> float | None:
    """Share of a mask's pixels that lie outside the outline of the field; None where it has none.

    Shape:
        - ``mask``: ``(H, W)``, bool, some pixel True.
    """
    height, width = mask.shape
    ellipse = field.rescale(height, width).ellipse
    if ellipse is None or not has_outline(field):
        return None
    return float((mask & (ellipse.draw(height, width, _MARGIN) == 0)).sum() / mask.sum())


def _may_be_empty(source: PhotographSet, records: Records, job: _Job) -> bool:
    """An empty file is as it should be where the layout has one for every lesion, where the labels call the lesion
    absent, or where what it marks is only unsure."""
    if job.lesion not in LESIONS:
        return source.writes_empty_masks
    stated = records.table.at[job.row, f"present_{job.lesion}"] == 0
    return bool(stated or source.writes_empty_masks or job.lesion in _unsure(source, records, job))


def _unsure(source: PhotographSet, records: Records, job: _Job) -> list[str]:
    whole = (job.seen.height, job.seen.width)
    if not job.seen.height:
        return []
    return [lesion for lesion, mask in source.ignored(records, job.row, whole).items() if mask.any()]


def _reason(file: Path, error: RetinalabError) -> str:
    return str(error).removeprefix(f"{file} ").split(". ")[0]
