"""Prepared photographs: decoded once, cropped to the field of view, resized, kept as uint8 in shards of fixed stride.

A cache folder is named by a key over its content and settings, so that it never goes stale. A shard is written under a
temporary name and renamed, its description last: whatever was interrupted is made again and nothing
half-written is read.
Several processes and machines may build one folder at once; each shard is made by whoever holds its lock.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from retinalab.data import decode, fov, jpeg, likeness, outline
from retinalab.data.cache import PLANES, SHARD, Cache
from retinalab.data.fov import Fov, crop_mask, crop_to_square, field_of_view
from retinalab.data.home import default_cache
from retinalab.data.likeness import likeness_hash
from retinalab.data.sets import PhotographSet
from retinalab.data.shards import write_file
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS, Records

__all__ = ["prepare"]

FORMAT = 2


def prepare(
    source: PhotographSet,
    records: Records,
    size: int,
    masks: bool = False,
    coverage: float = 0.25,
    folder: Path | None = None,
    processes: int | None = None,
) -> Cache:
    """Prepare the photographs of one data set, or find them prepared.

    Args:
        source: the opened data set.
        records: its records; row i of the cache is row i of their table.
        size: side of the working image, pixels.
        masks: whether lesion masks are wanted too.
        coverage: share of a working pixel that a mask must cover.
        folder: parent of all caches; default :func:`default_cache`.
        processes: how many photographs are prepared at once; default: the processors this process may use.

    Raises:
        RetinalabError: no space, or a folder that cannot be written.
    """
    parent = folder or default_cache()
    place = parent / f"{records.table['set'].iloc[0]}-{size}-{_key(source, records, size, masks, coverage)}"
    count = -(-len(records) // SHARD)
    missing = [shard for shard in range(count) if not (place / f"{shard:05d}.json").is_file()]
    if missing:
        _reserve(place, len(missing) * SHARD * size * size * (5 if masks else 3))
        jobs = [
            _Job(
                source,
                records.take(np.arange(s * SHARD, min((s + 1) * SHARD, len(records)))),
                place,
                s,
                size,
                masks,
                coverage,
            )
            for s in missing
        ]
        with _pool(source, min(processes or len(os.sched_getaffinity(0)), len(jobs))) as pool:
            _run(pool, jobs, f"preparing {records.table['set'].iloc[0]} at {size} px")
    return _opened(place, len(records), size, masks, count)


@dataclass(frozen=True)
class _Job:
    source: PhotographSet
    records: Records
    place: Path
    shard: int
    size: int
    masks: bool
    coverage: float


def _run(pool: Executor, jobs: Sequence[_Job], label: str) -> None:
    total = sum(len(job.records) for job in jobs)
    with tqdm(total=total, desc=label, unit="photo", ncols=80, mininterval=1.0) as bar:
        for done in pool.map(_write_shard, jobs):
            bar.update(done)


@contextmanager
def _pool(source: PhotographSet, workers: int) -> Iterator[Executor]:
    """Threads where photographs are decoded outside the interpreter; processes where Python draws them."""
    if workers > 1 and source.drawn:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as processes:
            yield processes
    else:
        with ThreadPoolExecutor(workers) as threads:
            yield threads


def _write_shard(job: _Job) -> int:
    description = job.place / f"{job.shard:05d}.json"
    try:
        with FileLock(f"{description}.lock"):
            if not description.is_file():
                _fill(job, description)
    except OSError as error:
        raise RetinalabError(
            f"Cannot write prepared photographs to {job.place}: {error.strerror or error}. Free space, or "
            f"name another folder "
            "with data.cache=PATH."
        ) from error
    return len(job.records)


def _fill(job: _Job, description: Path) -> None:
    entries: list[dict[str, Any]] = []
    images = np.zeros((len(job.records), job.size, job.size, 3), np.uint8)
    planes = np.zeros((len(job.records), PLANES, job.size, job.size), np.uint8) if job.masks else None
    for row in range(len(job.records)):
        name = str(job.records.table.at[row, "image"])
        entry: dict[str, Any] = {"image": name, "box": None, "reason": "", "likeness": [0] * 4}
        try:
            image = job.source.photograph(job.records, row, job.size)
            field = field_of_view(image, entry["image"] if job.source.drawn else str(job.records.path(row)))
            images[row] = crop_to_square(image, field, job.size)
            whole = job.source.size(job.records, row)
            full = field.rescale(*whole)
            entry["box"] = [full.x0, full.y0, full.side]
            entry["likeness"] = likeness_hash(images[row]).tolist()
            if planes is not None:
                planes[row] = _planes(job, row, field, image.shape[:2] if job.source.drawn else whole)
        except RetinalabError as error:
            if not job.source.drawn and not os.access(job.records.path(row), os.R_OK):
                raise  # permissions may be mended without a trace in the key
            entry["reason"] = str(error)
        entries.append(entry)
    write_file(description.with_suffix(".images"), images.tobytes())
    if planes is not None:
        write_file(description.with_suffix(".planes"), planes.tobytes())
    write_file(description, json.dumps({"format": FORMAT, "photographs": entries}).encode())


def _planes(job: _Job, row: int, field: Fov, shape: tuple[int, ...]) -> np.ndarray:
    planes = np.zeros((PLANES, job.size, job.size), np.uint8)
    try:
        found = job.source.masks(job.records, row, shape)
        unsure = job.source.ignored(job.records, row, shape)
    except RetinalabError as error:
        raise RetinalabError(f"{job.records.table.at[row, 'image']!s}: {error}") from error
    for bit, lesion in enumerate(LESIONS):
        if lesion in unsure:
            left_out = crop_mask(unsure[lesion], field, job.size, job.coverage)
            planes[1] |= (left_out.astype(np.uint8) << bit).astype(np.uint8)
        if not job.records.table.at[row, f"annotated_{lesion}"]:
            planes[1] |= np.uint8(1 << bit)
        elif lesion in found:
            planes[0] |= (
                crop_mask(found[lesion], field, job.size, job.coverage).astype(np.uint8) << bit
            ).astype(np.uint8)
    return planes


def _reserve(place: Path, needed: int) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RetinalabError(
            f"Cannot make the cache folder {place}: {error.strerror}. Name another with data.cache=PATH."
        ) from error
    free = shutil.disk_usage(place).free
    if free < needed:
        raise RetinalabError(
            f"Prepared photographs need {needed / 1e9:.1f} GB in {place}, {free / 1e9:.1f} GB are free. "
            f"Free space, or name "
            "another folder with data.cache=PATH."
        )


def _key(source: PhotographSet, records: Records, size: int, masks: bool, coverage: float) -> str:
    settings = [FORMAT, _code(), size, masks, coverage if masks else 0, source.fingerprint(records, masks)]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _code() -> str:
    """Digest of the modules that decide what a prepared photograph looks like: another decoder, another cache."""
    files = (Path(str(module.__file__)) for module in (decode, fov, jpeg, likeness, outline))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _opened(place: Path, rows: int, size: int, masks: bool, count: int) -> Cache:
    entries: list[dict[str, Any]] = []
    for shard in range(count):
        entries.extend(json.loads((place / f"{shard:05d}.json").read_text())["photographs"])
    if len(entries) != rows:
        raise RetinalabError(
            f"{place} holds {len(entries)} photographs, {rows} were asked for. Remove that folder and try again."
        )
    usable = np.array([not entry["reason"] for entry in entries])
    boxes = np.array([entry["box"] or (np.nan,) * 3 for entry in entries], float)
    reasons = {row: entry["reason"] for row, entry in enumerate(entries) if entry["reason"]}
    hashes = np.array([entry["likeness"] for entry in entries], np.uint64).reshape(-1, 4)
    return Cache(place, size, masks, rows, usable, boxes, reasons, hashes)
