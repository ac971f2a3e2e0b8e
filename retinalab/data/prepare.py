"""Prepared photographs: decoded once, cropped to the field of view, resized, kept as uint8 in shards.

A cache folder is named by a key over its content and settings, so that it never goes stale, and by its codec. A shard
is written under a temporary name and renamed, its description last: whatever was interrupted is made again and
nothing half-written is read.

Several processes and machines may build one folder at once: each shard is made by whoever holds its lock, and the
others go on to the next. On a network file system that needs locks that hold between machines (NFS 4, or NFS 3 with its
lock daemon); without them shards are made twice, to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from retinalab.data import boxed, decode, fov, jpeg, likeness, outline, pam, wholeness
from retinalab.data.cache import SHARD, Cache
from retinalab.data.codec import LOSSLESS, Codec, folder_ending
from retinalab.data.description import read_description
from retinalab.data.files import leftovers
from retinalab.data.preparation import Preparation
from retinalab.data.processes import worker_processes
from retinalab.data.sets import PhotographSet
from retinalab.data.shard_writer import ShardJob, write_shard
from retinalab.data.shards import Index
from retinalab.data.space import Needed, reserve
from retinalab.errors import RetinalabError
from retinalab.records import Records

__all__ = ["prepare", "prepared_before"]

FORMAT = 3
_FORMER = 2
"""Read where it is whole: raw, without an index."""

_log = logging.getLogger(__name__)


def prepare(
    source: PhotographSet, records: Records, preparation: Preparation, processes: int | None = None
) -> Cache:
    """Prepare the photographs of one data set, or find them prepared.

    Args:
        source: the opened data set.
        records: its records; row i of the cache is row i of their table.
        preparation: how.
        processes: how many photographs are prepared at once; default: the processors this process may use.

    Raises:
        RetinalabError: no space, or a folder that cannot be written.
    """
    found = prepared_before(source, records, preparation)
    if found is not None:
        return found
    label, size = _label(records), preparation.size
    count = -(-len(records) // SHARD)
    place, chosen = _place(_names(source, records, preparation)[0], preparation, len(records))
    if missing := _missing(place, count, preparation.masks):
        shards = {s: records.take(np.arange(s * SHARD, min((s + 1) * SHARD, len(records)))) for s in missing}
        rest = preparation.needed(sum(len(own) for own in shards.values()))
        reserve(rest, chosen, place)
        _log.info(
            "preparing %s photographs of %s at %d px: %s",
            f"{rest.photographs:,}",
            label,
            size,
            rest.told(chosen),
        )
        there = os.listdir(place)
        processors = processes or len(os.sched_getaffinity(0))
        at_once = min(processors, len(shards))
        threads = 1 if source.drawn else -(-processors // at_once)
        jobs = [
            ShardJob(
                source,
                own,
                place,
                s,
                preparation,
                chosen,
                leftovers(there, f"{s:05d}."),
                FORMAT,
                threads,
            )
            for s, own in shards.items()
        ]
        with _pool(source, at_once) as pool:
            _run(pool, jobs, f"preparing {label} at {size} px")
    return _opened(place, len(records), preparation, chosen)


def prepared_before(source: PhotographSet, records: Records, preparation: Preparation) -> Cache | None:
    """What :func:`prepare` would find whole; None where it would have to prepare something.

    Photographs that were prepared with their masks serve where no masks are wanted too, unless one was left out, as for
    a mask that cannot be read.
    """
    count = -(-len(records) // SHARD)
    for beside in (True,) if preparation.masks else (False, True):
        names = _names(source, records, replace(preparation, masks=beside))
        for place, chosen in _places(names, preparation):
            if place.is_dir() and not _missing(place, count, preparation.masks):
                cache = _opened(place, len(records), preparation, chosen)
                if beside == preparation.masks or cache.usable.all():
                    return cache
    return None


def _label(records: Records) -> str:
    return f"{records.table['set'].iloc[0]}"


def _names(source: PhotographSet, records: Records, preparation: Preparation) -> list[str]:
    """Of folders without what the codec adds: in the present format, and in the former, which is raw."""
    size, masks = preparation.size, preparation.masks
    coverage = preparation.coverage if masks else 0
    settings = [_code(), size, masks, coverage, source.fingerprint(records, masks)]
    return [f"{_label(records)}-{size}-{_key([version, *settings])}" for version in (FORMAT, _FORMER)]


def _places(names: Sequence[str], preparation: Preparation) -> list[tuple[Path, Codec]]:
    """Where prepared photographs may lie, with their codec; the present format first."""
    parent = preparation.parent
    wanted = LOSSLESS if preparation.codec == "auto" else (preparation.codec,)
    places: list[tuple[Path, Codec]] = [(parent / f"{names[0]}{folder_ending(one)}", one) for one in wanted]
    return [*places, *((parent / name, "raw") for name in names[1:] if "raw" in wanted)]


def _place(name: str, preparation: Preparation, photographs: int) -> tuple[Path, Codec]:
    """The folder, which is made if need be, and its codec; what was begun without loss is gone on with.

    Args:
        name: of the folder without what the codec adds.
        preparation: as asked for.
        photographs: how many there are in all.
    """
    places = _places([name], preparation)
    parent, needed = preparation.parent, preparation.needed(photographs)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if len(places) > 1:
            with FileLock(parent / f"{name}.lock"):  # two processes must not choose differently
                begun = [found for found in places if found[0].is_dir()]
                chosen = preparation.written(photographs)
                places = begun or [found for found in places if found[1] == chosen]
                _begin(*places[0], needed)
        _begin(*places[0], needed)
    except OSError as error:
        raise RetinalabError(
            f"Cannot make the cache folder {places[0][0]}: {error.strerror}. Name another with data.cache=PATH."
        ) from error
    return places[0]


def _begin(place: Path, codec: Codec, needed: Needed) -> None:
    if not place.is_dir():
        reserve(needed, codec, place)
        place.mkdir(exist_ok=True)


def _missing(place: Path, count: int, masks: bool) -> list[int]:
    """Shards of which a file is not there."""
    there = set(os.listdir(place))
    suffixes = ("json", "images", "planes")[: 2 + masks]
    return [s for s in range(count) if any(f"{s:05d}.{suffix}" not in there for suffix in suffixes)]


def _run(pool: Executor, jobs: Sequence[ShardJob], label: str) -> None:
    """Write what nobody else is writing, then wait for the rest: it is written here if the other one dies."""
    total = sum(len(job.records) for job in jobs)
    with tqdm(total=total, desc=label, unit="photo", ncols=80, mininterval=1.0) as bar:
        for wait in (False, True):
            left = []
            for job, done in zip(jobs, pool.map(partial(write_shard, wait=wait), jobs), strict=True):
                if done:
                    bar.update(len(job.records))
                else:
                    left.append(job)
            jobs = left


@contextmanager
def _pool(source: PhotographSet, workers: int) -> Iterator[Executor]:
    """Threads where photographs are decoded outside the interpreter; processes where Python draws them."""
    if workers > 1 and source.drawn:
        with worker_processes(workers) as pool:
            yield pool
    else:
        with ThreadPoolExecutor(workers) as threads:
            yield threads


def _key(settings: list[object]) -> str:
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _code() -> str:
    """Digest of the modules that decide what a prepared photograph looks like: another decoder, another cache."""
    deciding = (boxed, decode, fov, jpeg, likeness, outline, pam, wholeness)
    files = (Path(str(module.__file__)) for module in deciding)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _opened(place: Path, rows: int, preparation: Preparation, codec: Codec) -> Cache:
    shards = [read_description(place / f"{shard:05d}.json") for shard in range(-(-rows // SHARD))]
    entries: list[dict[str, Any]] = [entry for shard in shards for entry in shard["photographs"]]
    if len(entries) != rows:
        raise RetinalabError(
            f"{place} holds {len(entries)} photographs, {rows} were asked for. Remove that folder and try again."
        )
    usable = np.array([not entry["reason"] for entry in entries])
    boxes = np.array([entry["box"] or (np.nan,) * 3 for entry in entries], float)
    reasons = {row: entry["reason"] for row, entry in enumerate(entries) if entry["reason"]}
    hashes = np.array([entry["likeness"] for entry in entries], np.uint64).reshape(-1, 4)
    indices = [_index(shards, name) for name in ("images", "planes")]
    size, masks = preparation.size, preparation.masks
    return Cache(place, size, masks, rows, usable, boxes, reasons, hashes, codec, *indices)


def _index(shards: Sequence[dict[str, Any]], name: str) -> Index | None:
    """The index of one kind of files; none where they have none."""
    if not all(name in shard.get("files", {}) for shard in shards):
        return None
    ends = np.array([end for shard in shards for end in shard["files"][name]["ends"]], np.int64)
    sums = np.array([one for shard in shards for one in shard["files"][name]["sums"]], np.uint32)
    return Index(ends, sums, np.zeros(len(ends), bool))
