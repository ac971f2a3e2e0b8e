"""One shard of prepared photographs: decoded, cropped, resized, written with its description last."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from retinalab.data.ahead import ahead
from retinalab.data.cache import PLANES
from retinalab.data.codec import Codec, encoded
from retinalab.data.description import closed
from retinalab.data.files import folder_there, growing_file, remove_leftovers, write_file
from retinalab.data.fov import Fov, crop_mask, crop_to_square, field_of_view
from retinalab.data.likeness import likeness_hash
from retinalab.data.preparation import Preparation
from retinalab.data.sets import PhotographSet
from retinalab.data.shards import checksum
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS, Records

__all__ = ["ShardJob", "write_shard"]


@dataclass(frozen=True)
class ShardJob:
    """What a shard is made of.

    Attributes:
        source: the opened data set.
        records: of the shard's photographs.
        place: folder of the shards.
        shard: its number.
        preparation: how photographs are prepared; lesion planes are written where it wants masks.
        codec: that photographs are written in; the preparation may leave it open.
        leftovers: files of this shard that a killed process left behind.
        version: of the files' format.
        threads: that work on its photographs.
    """

    source: PhotographSet
    records: Records
    place: Path
    shard: int
    preparation: Preparation
    codec: Codec
    leftovers: tuple[str, ...]
    version: int
    threads: int = 1


def write_shard(job: ShardJob, wait: bool) -> bool:
    """Write a shard unless it is there.

    Args:
        job: which.
        wait: for another process that is writing it.

    Returns:
        Whether it is there now; False where another process is writing it.

    Raises:
        RetinalabError: no space, a folder that cannot be written, or one in the place of a file.
    """
    description = job.place / f"{job.shard:05d}.json"
    try:
        with FileLock(f"{description}.lock", timeout=-1 if wait else 0):
            if not _is_there(job, description):
                remove_leftovers(job.place, job.leftovers)
                _fill(job, description)
    except Timeout:
        return False
    except IsADirectoryError as error:
        raise folder_there(Path(error.filename2 or error.filename or job.place)) from error
    except OSError as error:
        smaller = "use data.codec=delta, " if job.codec == "raw" else ""
        raise RetinalabError(
            f"Cannot write prepared photographs to {job.place}: {error.strerror or error}. What is finished stays. "
            f"Free space, {smaller}or name another folder with data.cache=PATH."
        ) from error
    return True


def _is_there(job: ShardJob, description: Path) -> bool:
    """Whether a shard's files are all there."""
    suffixes = [".json", ".images", *[".planes"] * job.preparation.masks]
    return all(description.with_suffix(suffix).is_file() for suffix in suffixes)


def _fill(job: ShardJob, description: Path) -> None:
    entries: list[dict[str, Any]] = []
    with ExitStack() as opened:
        masks = job.preparation.masks
        images = _Written(opened.enter_context(growing_file(description.with_suffix(".images"))), job.codec)
        files = {"images": images}
        if masks:
            planes = opened.enter_context(growing_file(description.with_suffix(".planes")))
            files["planes"] = _Written(planes, "zstd")
        threads = job.threads if job.threads > 1 else 0
        for entry, image, lesions in ahead(partial(_prepared, job), range(len(job.records)), threads):
            entries.append(entry)
            images.add(image)
            if masks:
                files["planes"].add(lesions)
    described = {name: {"ends": one.ends, "sums": one.sums} for name, one in files.items()}
    content = {"format": job.version, "codec": job.codec, "photographs": entries, "files": described}
    write_file(description, closed(content))


class _Written:
    """A file of photographs one after the other."""

    def __init__(self, file: BinaryIO, codec: Codec) -> None:
        self.ends: list[int] = []
        self.sums: list[int] = []
        self._file = file
        self._codec = codec

    def add(self, pixels: np.ndarray) -> None:
        """One more photograph, ``(planes, S, S, channels)`` uint8."""
        content = encoded(self._codec, pixels)
        self._file.write(content)
        self.ends.append((self.ends[-1] if self.ends else 0) + len(content))
        self.sums.append(checksum(content))


def _prepared(job: ShardJob, row: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """What is to be known of a photograph, its pixels, ``(1, S, S, 3)``, and its lesions, ``(2, S, S, 1)``."""
    size = job.preparation.size
    image = np.zeros((1, size, size, 3), np.uint8)
    lesions = np.zeros((PLANES, size, size, 1), np.uint8)
    return _prepare(job, row, image[0], lesions[..., 0]), image, lesions


def _prepare(job: ShardJob, row: int, image: np.ndarray, planes: np.ndarray) -> dict[str, Any]:
    """Fill in one photograph and its lesions; returns what is to be known of it."""
    name, size = str(job.records.table.at[row, "image"]), job.preparation.size
    entry: dict[str, Any] = {"image": name, "box": None, "reason": "", "likeness": [0] * 4}
    try:
        decoded = job.source.photograph(job.records, row, size)
        field = field_of_view(decoded, name if job.source.drawn else str(job.records.path(row)))
        image[...] = crop_to_square(decoded, field, size)
        whole = job.source.size(job.records, row)
        full = field.rescale(*whole)
        entry["box"] = [full.x0, full.y0, full.side]
        entry["likeness"] = likeness_hash(image, field).tolist()
        if job.preparation.masks:
            planes[...] = _planes(job, row, field, decoded.shape[:2] if job.source.drawn else whole)
    except RetinalabError as error:
        if not job.source.drawn and not os.access(job.records.path(row), os.R_OK):
            raise  # permissions may be mended without a trace in the key
        entry["reason"] = str(error)
    return entry


def _planes(job: ShardJob, row: int, field: Fov, shape: tuple[int, ...]) -> np.ndarray:
    size, coverage = job.preparation.size, job.preparation.coverage
    planes = np.zeros((PLANES, size, size), np.uint8)
    try:
        found = job.source.masks(job.records, row, shape)
        unsure = job.source.ignored(job.records, row, shape)
    except RetinalabError as error:
        raise RetinalabError(f"{job.records.table.at[row, 'image']!s}: {error}") from error
    for bit, lesion in enumerate(LESIONS):
        if lesion in unsure:
            left_out = crop_mask(unsure[lesion], field, size, coverage)
            planes[1] |= (left_out.astype(np.uint8) << bit).astype(np.uint8)
        if not job.records.table.at[row, f"annotated_{lesion}"]:
            planes[1] |= np.uint8(1 << bit)
        elif lesion in found:
            present = crop_mask(found[lesion], field, size, coverage)
            planes[0] |= (present.astype(np.uint8) << bit).astype(np.uint8)
    return planes
