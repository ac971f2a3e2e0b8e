"""Copies of one picture under several names, exact or saved again; those with two labels or two parts first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from retinalab.data.check.findings import Finding
from retinalab.data.check.photographs import Seen, working_image
from retinalab.data.likeness import near_pairs, same_picture
from retinalab.records import Records

__all__ = ["confirmed_pairs", "duplicates", "exact_pairs"]

_KEPT = 256
_DISEASES = ("dr", "dme")


def duplicates(records: Records, seen: Sequence[Seen]) -> list[Finding]:
    """Groups of photographs that are one picture: equal bytes, or a likeness that a second look confirmed.

    Two views of one eye are two pictures. A group whose copies carry different labels is reported as a
    conflict, one that lies in several official parts as a leak; only the others as plain copies.

    Args:
        records: of the data set.
        seen: one per record.
    """
    exact = exact_pairs(seen, seen)
    near = confirmed_pairs(records, seen)
    found: list[Finding] = []
    for group in _groups([*exact, *near], len(seen)):
        found += _about(records, group, same_bytes=len({seen[row].sha256 for row in group}) == 1)
    return found


def exact_pairs(first: Sequence[Seen], second: Sequence[Seen]) -> list[tuple[int, int]]:
    """Positions of equal bytes; of one sequence with itself, each copy with the first of its kind."""
    place: dict[str, int] = {}
    for row, one in enumerate(first):
        if one.sha256 and one.size:
            place.setdefault(one.sha256, row)
    pairs = ((place[other.sha256], row) for row, other in enumerate(second) if other.sha256 in place)
    return [(row, other) for row, other in pairs if first is not second or row != other]


def confirmed_pairs(
    records: Records,
    seen: Sequence[Seen],
    other_records: Records | None = None,
    other: Sequence[Seen] | None = None,
) -> list[tuple[int, int]]:
    """Positions of one picture with other bytes: candidates by hash, each looked at again in the files.

    Args:
        records: of the first set. seen: one per record.
        other_records: of a second set, whose photographs are then compared with the first's; None compares
            the first with itself.
        other: one per record of the second.
    """
    mine = _with_likeness(seen)
    theirs = mine if other is None else _with_likeness(other)
    candidates = near_pairs(_hashes(seen, mine), None if other is None else _hashes(other, theirs))
    pairs = [
        (distance, mine[a], theirs[b])
        for a, b, distance in candidates
        if seen[mine[a]].sha256 != (other or seen)[theirs[b]].sha256
    ]
    look = lru_cache(_KEPT)(_working_or_none)
    second = other_records or records
    confirmed: list[tuple[int, int]] = []
    bar = tqdm(sorted(pairs), "likely copies", unit="pair", ncols=80, leave=False, disable=not pairs)
    for _, row, twin in bar:
        one, two = look(records.path(row)), look(second.path(twin))
        if one is not None and two is not None and same_picture(one, two):
            confirmed.append((row, twin))
    return confirmed


def _with_likeness(seen: Sequence[Seen]) -> list[int]:
    """The first photograph of every kind of bytes that a field was found in."""
    first = {one.sha256: row for row, one in reversed(list(enumerate(seen))) if one.likeness is not None}
    return sorted(first.values())


def _hashes(seen: Sequence[Seen], rows: Iterable[int]) -> np.ndarray:
    return np.array([seen[row].likeness for row in rows], dtype=np.uint64).reshape(-1, 4)


def _working_or_none(path: Path) -> np.ndarray | None:
    try:
        return working_image(path)
    except OSError:  # gone since it was seen
        return None


def _groups(pairs: Sequence[tuple[int, int]], count: int) -> list[list[int]]:
    if not pairs:
        return []
    rows, columns = np.array(pairs).T
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    involved = np.unique(np.concatenate([rows, columns]))
    return [involved[label[involved] == group].tolist() for group in dict.fromkeys(label[involved].tolist())]


def _about(records: Records, group: Sequence[int], same_bytes: bool) -> list[Finding]:
    table = records.table.iloc[list(group)]
    images = tuple(table["image"].astype(str))
    how = "the same bytes" if same_bytes else "the same picture"
    patients = sorted(set(table["patient"]) - {""})
    whose = f"; patients {', '.join(patients)}" if len(patients) > 1 else ""
    found = []
    labels = {disease: sorted(set(table[disease]) - {-1}) for disease in _DISEASES}
    differing = [
        f"{disease} {' and '.join(map(str, grades))}" for disease, grades in labels.items() if len(grades) > 1
    ]
    if differing:
        found.append(Finding("label-conflict", images, f"{how}, {', '.join(differing)}{whose}"))
    parts = sorted(set(table["part"]) - {""})
    if len(parts) > 1:
        found.append(Finding("split-duplicate", images, f"{how} in {' and '.join(parts)}{whose}"))
    return found or [Finding("duplicate" if same_bytes else "near-duplicate", images, f"{how}{whose}")]
