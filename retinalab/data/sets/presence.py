"""Whether a lesion is present, where the existence of a mask file does not say so."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from retinalab.data.decode import read_mask
from retinalab.errors import RetinalabError

__all__ = ["look_into_masks", "name_unknown"]


def look_into_masks(
    rows: Sequence[MutableMapping[str, Any]], root: Path, above: int, doubtful: bool = False
) -> list[str]:
    """Set ``present_<X>`` of every row that names a mask of X by reading that mask once.

    A mask that is missing or cannot be read leaves the lesion unknown; that it is missing is for others to
    say, and whoever trains on a damaged mask meets the error then.

    Args:
        rows: as adapters give them, with ``masks``: lesion -> path.
        root: what the paths are relative to.
        above: the value that a pixel of a lesion exceeds.
        doubtful: whether smaller values than that are marks in doubt, which alone leave the lesion unknown.

    Returns:
        Notes that count the masks which cannot be read and name the first.
    """
    jobs = [(row, lesion, root / path) for row in rows for lesion, path in row["masks"].items()]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = list(pool.map(lambda job: _shows(job[2], above, doubtful), jobs))
    unread = []
    for (row, lesion, _), shown in zip(jobs, found, strict=True):
        row[f"present_{lesion}"] = int(shown) if isinstance(shown, bool) else -1
        if isinstance(shown, str):
            unread.append(shown)
    if not unread:
        return []
    return [f"{len(unread)} masks cannot be read, their lesions are unknown; the first: {unread[0]}"]


def name_unknown(rows: Sequence[MutableMapping[str, Any]]) -> None:
    """Set ``present_<X>`` of every row that names a mask of X to unknown."""
    for row in rows:
        masks: Mapping[str, str] = row["masks"]
        row.update({f"present_{lesion}": -1 for lesion in masks})


def _shows(path: Path, above: int, doubtful: bool) -> bool | str | None:
    if not path.is_file():
        return None
    try:
        if read_mask(path, above=above).any():
            return True
        return None if doubtful and read_mask(path).any() else False
    except RetinalabError as error:
        return str(error)
