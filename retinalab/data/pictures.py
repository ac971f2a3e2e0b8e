"""Photographs of two parts that show one picture: looked for once, and remembered beside the prepared photographs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from tqdm import tqdm

from retinalab.data import fov, likeness, outline
from retinalab.data.cache import Cache, Prepared
from retinalab.data.files import write_file
from retinalab.data.likeness import near_pairs, same_picture
from retinalab.data.part import Part
from retinalab.data.pool import PooledCache

__all__ = ["same_pictures"]

REMEMBERED = 1_000_000
"""Pairs of photographs from which on the answer is kept: what grows with their product is not done at every start."""

_SHOWN = 1000
"""Candidates from which on a bar shows how far it is."""


def same_pictures(
    first: Part, second: Part, known: Collection[tuple[int, int]] = ()
) -> list[tuple[int, int, int]]:
    """Pairs that show one picture: row of the first part, row of the second, bits in which their hashes differ.

    Of large parts the answer is kept in a file beside the caches, under a digest of everything that it follows from;
    several processes that start at once look once.

    Args:
        first, second: the parts.
        known: pairs that are the same for another reason and need no look.
    """
    place = _beside(first.cache)
    if place is None or len(first) * len(second) < REMEMBERED:
        return _looked_for(first, second, known)
    file = place / f"pictures-{_key(first, second, known)}.json"
    try:
        with FileLock(f"{file}.lock"):
            if not file.is_file():
                write_file(file, json.dumps(_looked_for(first, second, known)).encode())
        return [(row, other, bits) for row, other, bits in json.loads(file.read_bytes())]
    except OSError:  # a cache that may only be read
        return _looked_for(first, second, known)


def _looked_for(first: Part, second: Part, known: Collection[tuple[int, int]]) -> list[tuple[int, int, int]]:
    near = near_pairs(first.cache.likeness[first.rows], second.cache.likeness[second.rows])
    wanted = [(row, other, bits) for row, other, bits in near if (row, other) not in known]

    def same(pair: tuple[int, int, int]) -> bool:
        return same_picture(_image(first, pair[0]), _image(second, pair[1]))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        answers = tqdm(
            threads.map(same, wanted),
            f"comparing {first.name} with {second.name}",
            len(wanted),
            unit="pair",
            ncols=80,
            mininterval=1.0,
            disable=len(wanted) < _SHOWN,
        )
        return [pair for pair, is_same in zip(wanted, answers, strict=True) if is_same]


def _image(part: Part, row: int) -> np.ndarray:
    image: np.ndarray = part.cache.images(part.rows[[row]])[0]
    return image


def _beside(cache: Prepared) -> Path | None:
    """The folder that holds the cache's own."""
    if isinstance(cache, PooledCache):
        return _beside(cache.caches[0])
    return cache.folder.parent if isinstance(cache, Cache) else None


def _key(first: Part, second: Part, known: Collection[tuple[int, int]]) -> str:
    digest = hashlib.sha256(_code().encode())
    for part in (first, second):
        names = pd.util.hash_pandas_object(part.records.table[["set", "image"]], index=False)
        digest.update(repr((part.cache.size, len(part))).encode())
        digest.update(names.to_numpy().tobytes())
        digest.update(np.ascontiguousarray(part.cache.likeness[part.rows]).tobytes())
    digest.update(np.array(sorted(known), np.int64).tobytes())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def _code() -> str:
    """Digest of the modules that decide what is called the same."""
    files = (Path(str(module.__file__)) for module in (likeness, fov, outline))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
