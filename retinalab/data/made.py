"""Photographs that a stage made: written in shards as prepared ones are, read as a training part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from retinalab.data.cache import SHARD, Cache
from retinalab.data.files import write_file
from retinalab.data.likeness import likeness_hash
from retinalab.data.part import Part
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS, SetInfo, make_records

__all__ = ["SHARD", "is_written", "open_made", "read_made", "write_made", "write_strips"]

_EVERY_LESION = (1 << len(LESIONS)) - 1


def write_made(folder: Path, shard: int, images: np.ndarray, rows: pd.DataFrame) -> None:
    """Write one shard; its description comes last, so that what was interrupted is made again.

    Args:
        folder: of the stage's photographs.
        shard: which; it holds the photographs from ``shard * SHARD`` on.
        images: made at the working size.
        rows: what is known of each: its grades, and how it was made.

    Shape:
        - ``images``: ``(n, S, S, 3)`` uint8 RGB.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{shard:05d}"
    planes = np.zeros((len(images), 2, *images.shape[1:3]), np.uint8)
    planes[:, 1] = _EVERY_LESION  # none of its lesions is to be judged
    hashes = [likeness_hash(image).tolist() for image in images]
    write_file(place.with_suffix(".images"), np.ascontiguousarray(images).tobytes())
    write_file(place.with_suffix(".planes"), planes.tobytes())
    described = {
        "size": int(images.shape[1]),
        "likeness": hashes,
        "rows": rows.to_dict(orient="records"),
    }
    write_file(place.with_suffix(".json"), json.dumps(described).encode())


def is_written(folder: Path, shard: int) -> bool:
    """Whether a shard is there, whole."""
    return (folder / f"{shard:05d}.json").is_file()


def read_made(folder: Path, count: int) -> pd.DataFrame:
    """What is known of each photograph, in order.

    Raises:
        RetinalabError: a shard is missing.
    """
    return pd.DataFrame([row for shard in _shards(folder, count) for row in shard["rows"]])


def open_made(folder: Path, count: int, name: str, scales: Mapping[str, str]) -> Part:
    """A training part of photographs that were made.

    Args:
        folder: as :func:`write_made` wrote it.
        count: how many were made.
        name: that their records call the set.
        scales: disease -> grade scale of their labels.

    Raises:
        RetinalabError: a shard is missing.
    """
    shards = _shards(folder, count)
    rows = [row for shard in shards for row in shard["rows"]]
    hashes = np.array([one for shard in shards for one in shard["likeness"]], np.uint64).reshape(-1, 4)
    info = SetInfo(name, f"Photographs made by stage {name}", "made from training photographs", "", scales)
    records = make_records(
        [{"image": f"{number:05d}", **row} for number, row in enumerate(rows)], info, folder, str(folder)
    )
    boxes = np.full((count, 3), np.nan)
    usable = np.ones(count, bool)
    cache = Cache(folder, int(shards[0]["size"]), True, count, usable, boxes, {}, hashes)
    return Part("train", records, cache, np.arange(count))


def write_strips(folder: Path, strips: Iterable[tuple[int, Sequence[tuple[str, np.ndarray]]]]) -> None:
    """Write how some photographs were made: ``pictures/<number>/``, a JPEG for each step and their captions.

    Args:
        folder: of the stage's photographs.
        strips: a photograph's number, and caption and ``(S, S, 3)`` uint8 RGB of each step.
    """
    for number, pictures in strips:
        place = folder / "pictures" / f"{number:05d}"
        place.mkdir(parents=True, exist_ok=True)
        for k, (_, picture) in enumerate(pictures):
            Image.fromarray(picture).save(place / f"{k}.jpg", quality=90)
        captions = [caption for caption, _ in pictures]
        write_file(place / "captions.json", json.dumps(captions).encode())


def _shards(folder: Path, count: int) -> list[dict[str, Any]]:
    found = []
    for shard in range(-(-count // SHARD)):
        try:
            found.append(json.loads((folder / f"{shard:05d}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RetinalabError(
                f"Photographs {shard * SHARD} to {min(count, (shard + 1) * SHARD) - 1} of {folder} are missing. Remove "
                "that run's folder and run the experiment again."
            ) from error
    return found
