"""Made photographs and originals of the same grades, with patients kept apart who share a made photograph."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Matched", "matched"]

Whole = npt.NDArray[np.int64]

_PARTS = 10
"""No unit may grow beyond this part of all patients, so that folds can be made of them."""


class Matched(NamedTuple):
    """Equally many made photographs and originals of each grade.

    Shape:
        - ``made``, ``originals``: ``(n,)`` positions, int64. ``counts``: ``(G,)`` pairs of each grade.
        - ``units``: ``(2n,)`` str, those of the made ones first: patients whom made photographs link are one.
    """

    made: Whole
    originals: Whole
    counts: Whole
    units: npt.NDArray[np.str_]


def matched(
    made: npt.ArrayLike,
    linked: Whole,
    grades: npt.ArrayLike,
    patients: npt.NDArray[np.str_],
    size: int,
    most: int = 500,
    seed: int = 0,
) -> Matched:
    """Draw photographs to compare that differ neither in grade nor, between folds, in patient.

    A made photograph holds pixels of the photographs that it was made from: it links their patients into one unit. Were
    all compared, nearly all patients would hang together; a made photograph that would let a unit grow beyond a tenth
    of the patients is passed over.

    Args:
        made: ``(M,)`` grade of each made photograph, -1 unknown.
        linked: ``(M, k)`` originals that it was made from, by position; -1 none.
        grades: ``(N,)`` grade of each original, -1 unknown.
        patients: ``(N,)`` unit of independence of each original.
        size: number of grades.
        most: photographs of a side.
        seed: of the draw.

    Shape:
        - Photographs of unknown grade are never drawn.
    """
    mine, others = np.asarray(made, dtype=np.int64), np.asarray(grades, dtype=np.int64)
    names, index = np.unique(patients, return_inverse=True)
    units = _Units(len(names), max(2, len(names) // _PARTS))
    wanted = _wanted(mine, others, size, most)
    rng = np.random.default_rng(seed)
    chosen, counts = [], np.zeros(size, np.int64)
    for row in rng.permutation(len(mine)):
        grade = mine[row]
        if grade < 0 or counts[grade] == wanted[grade]:
            continue
        if units.join([int(index[one]) for one in linked[row] if one >= 0]):
            chosen.append(row)
            counts[grade] += 1
    pool = rng.permutation(len(others))
    drawn = [pool[others[pool] == grade][:count] for grade, count in enumerate(counts)]
    found, beside = np.sort(np.array(chosen, np.int64)), np.sort(np.concatenate(drawn))
    firsts = [next(int(one) for one in linked[row] if one >= 0) for row in found]
    rows = np.concatenate([np.array(firsts, np.int64), beside])
    roots = np.array([units.root(int(one)) for one in index[rows]], np.int64)
    return Matched(found, beside, counts, np.asarray(names[roots], dtype=str))


def _wanted(made: Whole, grades: Whole, size: int, most: int) -> Whole:
    """Pairs of each grade that there could be, reduced alike where they are more than are compared."""
    both = [np.bincount(one[one >= 0], minlength=size) for one in (made, grades)]
    possible = np.minimum(*both).astype(np.int64)
    total = int(possible.sum())
    return possible if total <= most else possible * most // total


class _Units:
    """Patients joined into units of a greatest size."""

    def __init__(self, count: int, most: int) -> None:
        self._parent = list(range(count))
        self._size = [1] * count
        self._most = most

    def root(self, one: int) -> int:
        """The patient by whom a unit is known."""
        while self._parent[one] != one:
            one = self._parent[one]
        return one

    def join(self, members: list[int]) -> bool:
        """Make one unit of those of some patients, unless it would be too large or there are none."""
        roots = {self.root(one) for one in members}
        size = sum(self._size[root] for root in roots)
        if not roots or (len(roots) > 1 and size > self._most):
            return False
        first = min(roots)
        for root in roots:
            self._parent[root] = first
        self._size[first] = size
        return True
