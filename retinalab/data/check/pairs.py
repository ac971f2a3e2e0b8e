"""Pairs of photographs that are one picture or show one eye: candidates by hash, each looked at again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from retinalab.data.check.photographs import Seen, threaded, working_image
from retinalab.data.check.same_eye import Marks, marks_of, same_eye
from retinalab.data.likeness import NEAR, near_pairs, same_picture
from retinalab.errors import RetinalabError
from retinalab.records import Records

__all__ = ["Pair", "Side", "confirmed_pairs", "exact_pairs"]

_KEPT = 256
_FAR, _MANY = 84, 40_000_000
"""Bits in which the hashes of one eye at two visits still differ less than most; among more pairs than ``_MANY``
the narrower bound of copies holds, since what resembles by chance grows with their number."""
_MOST = 1000
"""Candidates that are looked at beyond those of copies, the nearest ones."""


@dataclass(frozen=True)
class Pair:
    """Two photographs, by position: one picture, or two of one eye."""

    row: int
    twin: int
    picture: bool


@dataclass(frozen=True)
class Side:
    """The records of one set and what was seen of each."""

    records: Records
    seen: Sequence[Seen]

    def with_likeness(self) -> list[int]:
        """The first photograph of every kind of bytes that a field was found in."""
        first = {
            one.sha256: row for row, one in reversed(list(enumerate(self.seen))) if one.likeness is not None
        }
        return sorted(first.values())

    def hashes(self, rows: Iterable[int]) -> np.ndarray:
        """``(n, 4)`` uint64."""
        return np.array([self.seen[row].likeness for row in rows], dtype=np.uint64).reshape(-1, 4)

    def patient(self, row: int) -> tuple[str, str]:
        """Patient and eye as the labels name them."""
        table = self.records.table
        return str(table.at[row, "patient"]), str(table.at[row, "eye"])


def exact_pairs(first: Sequence[Seen], second: Sequence[Seen]) -> list[tuple[int, int]]:
    """Positions of equal bytes; of one sequence with itself, each copy with the first of its kind."""
    place: dict[str, int] = {}
    for row, one in enumerate(first):
        if one.size:
            place.setdefault(one.sha256, row)
    pairs = ((place[other.sha256], row) for row, other in enumerate(second) if other.sha256 in place)
    return [(row, other) for row, other in pairs if first is not second or row != other]


def confirmed_pairs(first: Side, second: Side | None = None) -> list[Pair]:
    """Pairs of other bytes that show one picture or one eye; none for views that the labels name as such.

    Candidates resemble each other by hash. Where two named patients turn out to share an eye, their other
    photographs are compared too.

    Args:
        first: a set.
        second: another, whose photographs are compared with the first's; None compares the first with itself.
    """
    other = second or first
    look = _Looks(first, other)
    found = look.at(_candidates(first, second), "likely copies")
    if second is None:
        found += look.at(_fellows(first, found), "fellow eyes")
    return sorted(found, key=lambda pair: (pair.row, pair.twin))


def _candidates(first: Side, second: Side | None) -> list[tuple[int, int, int]]:
    mine = first.with_likeness()
    theirs = mine if second is None else second.with_likeness()
    far = _FAR if len(mine) * len(theirs) <= _MANY else NEAR
    near = near_pairs(first.hashes(mine), None if second is None else second.hashes(theirs), within=far)
    copies = sum(distance <= NEAR for *_, distance in near)
    return [(mine[a], theirs[b], distance) for a, b, distance in near[: copies + _MOST]]


def _fellows(side: Side, found: Sequence[Pair]) -> list[tuple[int, int, int]]:
    """All further pairs of photographs of two named patients who share an eye."""
    rows: dict[str, list[int]] = {}
    for row in side.with_likeness():
        rows.setdefault(side.patient(row)[0], []).append(row)
    known = {(pair.row, pair.twin) for pair in found}
    persons = {(side.patient(row)[0], side.patient(twin)[0]) for row, twin in known}
    pairs = {
        (min(a, b), max(a, b))
        for one, two in persons
        if one and two and one != two
        for a in rows[one]
        for b in rows[two]
    }
    return [(a, b, NEAR) for a, b in sorted(pairs - known)]


class _Looks:
    """Looks at pairs in their files; a few photographs are kept at hand, whatever the number of pairs."""

    def __init__(self, first: Side, second: Side) -> None:
        self.first, self.second = first, second
        self.picture = lru_cache(_KEPT)(_working_or_none)
        self.marks = lru_cache(_KEPT)(self._marks)

    def at(self, pairs: Sequence[tuple[int, int, int]], label: str) -> list[Pair]:
        """The confirmed ones among (row of the first, row of the second, differing bits)."""
        first, second = self.first, self.second
        unlike = [pair for pair in pairs if first.seen[pair[0]].sha256 != second.seen[pair[1]].sha256]
        return [pair for pair in threaded(self._one, unlike, label) if pair is not None]

    def _one(self, candidate: tuple[int, int, int]) -> Pair | None:
        row, twin, distance = candidate
        paths = self.first.records.path(row), self.second.records.path(twin)
        if distance <= NEAR:
            one, two = (self.picture(path) for path in paths)
            if one is not None and two is not None and same_picture(one, two):
                return Pair(row, twin, picture=True)
        if self._named_as_views(row, twin):
            return None
        marks, others = (self.marks(path) for path in paths)
        if marks is None or others is None or not same_eye(marks, others):
            return None
        return Pair(row, twin, picture=False)

    def _named_as_views(self, row: int, twin: int) -> bool:
        """Whether the labels give both to one patient, and not to two eyes."""
        (patient, eye), (other, other_eye) = self.first.patient(row), self.second.patient(twin)
        return (
            self.first is self.second
            and bool(patient)
            and patient == other
            and (eye == other_eye or not eye or not other_eye)
        )

    def _marks(self, path: Path) -> Marks | None:
        image = self.picture(path)
        return None if image is None else marks_of(image)


def _working_or_none(path: Path) -> np.ndarray | None:
    try:
        return working_image(path)
    except (OSError, RetinalabError):  # gone or overwritten since it was seen
        return None
