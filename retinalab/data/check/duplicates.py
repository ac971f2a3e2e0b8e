"""Copies of one picture under several names, exact or saved again, and one eye under several names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from retinalab.data.check.findings import Finding
from retinalab.data.check.photographs import Seen, threaded, working_image
from retinalab.data.check.same_eye import same_eye
from retinalab.data.likeness import near_pairs, same_picture
from retinalab.records import Records

__all__ = ["Pair", "confirmed_pairs", "duplicates", "exact_pairs"]

_KEPT = 256
_DISEASES = ("dr", "dme")


@dataclass(frozen=True)
class Pair:
    """Two photographs, by position: one picture, or two of one eye."""

    row: int
    twin: int
    picture: bool


def duplicates(records: Records, seen: Sequence[Seen]) -> list[Finding]:
    """Groups of photographs that are one picture, by equal bytes or by a likeness that a second look confirmed.

    A group whose copies carry different labels is reported as a conflict, one that lies in several official
    parts as a leak; only the others as plain copies. Two pictures of one eye are reported where the labels give
    them to two patients or two sides, or to nobody; views that are named as such are as they should be.

    Args:
        records: of the data set.
        seen: one per record.
    """
    exact = exact_pairs(seen, seen)
    near = confirmed_pairs(records, seen)
    copies = _groups([*exact, *((pair.row, pair.twin) for pair in near if pair.picture)], len(seen))
    found: list[Finding] = []
    for group in copies:
        found += _copies(records, group, same_bytes=len({seen[row].sha256 for row in group}) == 1)
    one_picture = {row: number for number, group in enumerate(copies) for row in group}
    for pair in near:
        same = one_picture.get(pair.row, -1) == one_picture.get(pair.twin, -2)
        if not pair.picture and not same:
            found.append(_one_eye(records, pair))
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
) -> list[Pair]:
    """Pairs of other bytes that show one picture or one eye: candidates by hash, each looked at again in the files.

    Args:
        records: of the first set. seen: one per record.
        other_records: of a second set, whose photographs are then compared with the first's; None compares
            the first with itself.
        other: one per record of the second.
    """
    mine = _with_likeness(seen)
    theirs = mine if other is None else _with_likeness(other)
    second, twins = (records, seen) if other_records is None or other is None else (other_records, other)
    candidates = near_pairs(_hashes(seen, mine), None if other is None else _hashes(twins, theirs))
    pairs = sorted((mine[a], theirs[b]) for a, b, _ in candidates)
    pairs = [(row, twin) for row, twin in pairs if seen[row].sha256 != twins[twin].sha256]
    look = lru_cache(_KEPT)(_working_or_none)

    def looked_at(pair: tuple[int, int]) -> Pair | None:
        row, twin = pair
        one, two = look(records.path(row)), look(second.path(twin))
        if one is None or two is None:
            return None
        if same_picture(one, two):
            return Pair(row, twin, picture=True)
        named = second is records and _views(records, row, twin)
        return Pair(row, twin, picture=False) if not named and same_eye(one, two) else None

    return [pair for pair in threaded(looked_at, pairs, "likely copies") if pair is not None]


def _views(records: Records, row: int, twin: int) -> bool:
    """Whether the labels name two photographs as views of one patient's eye."""
    one, two = records.table.iloc[row], records.table.iloc[twin]
    return bool(one["patient"] and one["patient"] == two["patient"] and one["eye"] == two["eye"])


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


def _copies(records: Records, group: Sequence[int], same_bytes: bool) -> list[Finding]:
    table = records.table.iloc[list(group)]
    images = tuple(table["image"].astype(str))
    how = "the same bytes" if same_bytes else "the same picture"
    patients = sorted(set(table["patient"]) - {""})
    whose = f"; patients {' and '.join(patients)}" if len(patients) > 1 else ""
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


def _one_eye(records: Records, pair: Pair) -> Finding:
    table = records.table.iloc[[pair.row, pair.twin]]
    told = []
    if not (table["patient"] != "").all():
        told.append("of unnamed patients")
    elif table["patient"].nunique() > 1:
        told.append("under patients " + " and ".join(table["patient"]))
    if table["eye"].nunique() > 1 and (table["eye"] != "").all():
        told.append("called " + " and ".join(table["eye"]))
    if table["part"].nunique() > 1:
        told.append("in " + " and ".join(part or "no part" for part in table["part"]))
    for disease in _DISEASES:
        grades = table.loc[table[disease] >= 0, disease].tolist()
        if len(set(grades)) > 1:
            told.append(f"{disease} {' and '.join(map(str, grades))}")
    return Finding(
        "same-eye", tuple(table["image"].astype(str)), f"two photographs of one eye, {', '.join(told)}"
    )
