"""Whose colours a photograph is given: those of other patients' photographs, by lot."""

from __future__ import annotations

import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from retinalab.data.part import Part
from retinalab.errors import RetinalabError
from retinalab.robustness.conditions import COLOURS
from retinalab.robustness.field import Field
from retinalab.robustness.recording import Tones, tones_of
from retinalab.transforms.draw import generator

__all__ = ["donors_of", "photograph_key"]


def donors_of(part: Part, count: int, seed: int) -> tuple[tuple[Tones, ...], ...]:
    """For each photograph the colours of others, each of another patient.

    Args:
        part: the photographs.
        count: donors of each; one may serve twice where there are fewer.
        seed: with a photograph's key it decides who.

    Raises:
        RetinalabError: all photographs are of one patient.
    """
    groups = part.records.groups
    if len(np.unique(groups)) < 2:
        raise RetinalabError(
            f"All photographs ({len(part)}) are of one patient, so that none can lend another its colours. Give more "
            "photographs, or leave out colours with --only."
        )

    def tones(row: int) -> Tones:
        image = part.cache.images(part.rows[[row]])[0]
        return tones_of(image, Field.seen(image))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        known = list(pool.map(tones, range(len(part))))
    chosen = []
    for row, group in enumerate(groups):
        others = np.flatnonzero(groups != group)
        drawn = generator(seed, zlib.crc32(photograph_key(part, row).encode()), zlib.crc32(COLOURS.encode()))
        chosen.append(tuple(known[other] for other in drawn.choice(others, count, len(others) < count)))
    return tuple(chosen)


def photograph_key(part: Part, row: int) -> str:
    """Set and file of a photograph: what its draws follow from."""
    table = part.records.table
    return f"{table['set'].iloc[row]}/{table['image'].iloc[row]}"
