"""Photographs that stand on two sides: what a network learned from, or was chosen on, must not be what it is tested on.

They are found by file (one file reached through two sets), by name (where one set's description says that it
shares the other's photographs) and by picture (:mod:`retinalab.data.likeness`), whatever the sets are called.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from retinalab.data.part import OVERLAP_COLUMNS, Part, Parts
from retinalab.data.pictures import same_pictures
from retinalab.data.sets.files import plain_path
from retinalab.errors import RetinalabError
from retinalab.records import photograph_name

__all__ = ["Overlap", "find_overlap", "settle"]

_LISTED = 10
_WAYS = ("file", "name", "picture", "patient")


@dataclass(frozen=True)
class Overlap:
    """Photographs of one part that stand in another as well.

    Attributes:
        first, second: the parts.
        pairs: columns ``row`` (of first), ``other`` (row of second), ``by`` (file, name, picture or patient), ``bits``.
    """

    first: Part
    second: Part
    pairs: pd.DataFrame

    def __len__(self) -> int:
        return int(self.pairs["row"].nunique())

    def line(self) -> str:
        """What was found, in a line."""
        surest = self.pairs.sort_values("by", key=lambda by: by.map(_WAYS.index), kind="stable")
        each = surest.drop_duplicates("row")
        row, other, by = each[["row", "other", "by"]].iloc[0]
        one, two = (f"{_name(part, at)!r}" for part, at in ((self.first, row), (self.second, other)))
        sets = [part.records.table["set"].iloc[at] for part, at in ((self.first, row), (self.second, other))]
        counted = f"{len(self)} photograph{'s' * (len(self) != 1)}"
        ways = ", ".join(f"{n} by {way}" for way, n in each["by"].value_counts(sort=False).items())
        return (
            f"{counted} of {self.first.name} ({self.first.sets}) {'are' if len(self) != 1 else 'is'} in "
            f"{self.second.name} ({self.second.sets}) too, {ways}; the first: {sets[0]}:{one} is {sets[1]}:{two} "
            f"(by {by})"
        )

    def left_out(self) -> np.ndarray:
        """``(n,)`` bool: rows of the first part that go: the photographs, and all others of their patients."""
        gone = np.zeros(len(self.first), bool)
        gone[self.pairs["row"].to_numpy(int)] = True
        groups = self.first.records.groups
        return np.asarray(gone | np.isin(groups, groups[gone]))

    def table(self, excluded: bool) -> pd.DataFrame:
        """Rows of :data:`~retinalab.data.part.OVERLAP_COLUMNS`, those of patients left out for one photograph last."""
        rows = [
            {**_side(self.first, row, ""), **_side(self.second, other, "other_"), "by": by, "bits": bits}
            for row, other, by, bits in self.pairs[["row", "other", "by", "bits"]].itertuples(index=False)
        ]
        if excluded:
            others = np.setdiff1d(np.flatnonzero(self.left_out()), self.pairs["row"])
            rows += [{**_side(self.first, row, ""), "by": "patient", "bits": -1} for row in others]
        table = pd.DataFrame(rows, columns=list(OVERLAP_COLUMNS)).assign(left_out=excluded)
        return table.fillna({"other_part": "", "other_set": "", "other_image": ""})


def find_overlap(first: Part, second: Part, one_split: bool = True) -> Overlap:
    """Look for the photographs of one part in another.

    Args:
        first: the side that learns.
        second: the side that judges.
        one_split: both come from one split, which answers for photographs and patients of one set itself.
    """
    found: dict[tuple[int, int], tuple[str, int]] = {}
    own = _same(_keys(first), _keys(second))
    if not one_split:
        found |= dict.fromkeys(_same(_patients(first), _patients(second)), ("patient", -1))
        found |= dict.fromkeys(own, ("file", -1))
    skipped = {*found, *own}
    for by, same in (("file", _same(_files(first), _files(second))), ("name", _named(first, second))):
        found |= {pair: (by, -1) for pair in same if pair not in skipped}
        skipped.update(same)
    for row, other, bits in same_pictures(first, second, skipped):
        found[row, other] = ("picture", bits)
    pairs = [(row, other, by, bits) for (row, other), (by, bits) in sorted(found.items())]
    return Overlap(first, second, pd.DataFrame(pairs, columns=["row", "other", "by", "bits"]))


def settle(
    parts: Parts,
    policy: Literal["refuse", "exclude"],
    published: bool,
    tested: Sequence[Part] | None = None,
) -> Parts:
    """Look for overlaps, and refuse them, leave them out of the side that learns, or label them as leaks.

    A test part never changes. Excluded are all photographs of the patients concerned.

    Args:
        parts: of a stage.
        policy: ``data.overlap``.
        published: whether the protocol is as-published, where an overlap is a leak that labels the result.
        tested: test parts of a later stage that starts from this one; None: its own, and its validation part.

    Raises:
        RetinalabError: one line for each pair of parts that overlap, where they are refused, or nothing is left.
    """
    sides = {"val": parts.val, "train": parts.train}
    leaks: list[str] = []
    notes: list[str] = []
    faults: list[str] = []
    tables = [parts.overlaps] if len(parts.overlaps) else []
    for name, second in _comparisons(parts, tested):
        overlap = find_overlap(sides[name], second or sides["val"], one_split=tested is None)
        if not len(overlap):
            continue
        if policy == "exclude":
            gone = overlap.left_out()
            tables.append(overlap.table(excluded=True))
            notes.append(_exclusion(overlap, int(gone.sum())))
            sides[name] = sides[name].keep(~gone)
            if gone.all():
                faults.append(f"{overlap.line()}; without them {name} is empty. {_OTHER_SETS}")
        elif published:
            tables.append(overlap.table(excluded=False))
            leaks.append(overlap.line())
        else:
            faults.append(f"{overlap.line()}. {_REMEDY}")
    if faults:
        raise RetinalabError(*faults)
    split = replace(
        parts.split,
        train=_remaining(parts, "train", sides["train"]),
        val=_remaining(parts, "val", sides["val"]),
        leaks=(*parts.split.leaks, *leaks),
    )
    return replace(
        parts,
        train=sides["train"],
        val=sides["val"],
        split=split,
        notes=(*parts.notes, *leaks, *notes),
        overlaps=pd.concat(tables, ignore_index=True) if tables else parts.overlaps,
    )


_OTHER_SETS = "Choose other sets, or another protocol.split."
_REMEDY = (
    "Leave the side that learns out, with its patients, by data.overlap=exclude; choose other sets; or use "
    "protocol.split=as-published, where the result is labelled as leaky."
)


def _comparisons(parts: Parts, tested: Sequence[Part] | None) -> Iterator[tuple[str, Part | None]]:
    """(side that learns, side that judges); None: the validation part as it then is."""
    optimistic = parts.split.optimistic and tested is None
    for test in tested or parts.tests.values():
        if not optimistic:
            yield "val", test
        yield "train", test
    if tested is None and not optimistic:
        yield "train", None


def _remaining(parts: Parts, name: str, now: Part) -> np.ndarray:
    """The split's positions without those that were left out; what was prepared is a subset of them."""
    before: Part = getattr(parts, name)
    rows: np.ndarray = getattr(parts.split, name)
    gone = set(_keys(before)) - set(_keys(now))
    if not gone:
        return rows
    table = parts.split.records.table.iloc[rows]
    keys = zip(table["set"], table["image"], strict=True)
    return rows[[key not in gone for key in keys]]


def _exclusion(overlap: Overlap, count: int) -> str:
    names = [_name(overlap.first, row) for row in overlap.pairs["row"].unique()[:_LISTED]]
    more = " …" * (len(overlap) > _LISTED)
    further = count - len(overlap)
    beside = f", with {further} more of the same patients" if further else ""
    return f"{overlap.line()}: left out of {overlap.first.name}{beside} ({', '.join(names)}{more})"


def _same(first: Sequence[object], second: Sequence[object]) -> list[tuple[int, int]]:
    """Pairs of positions whose keys are equal; None equals nothing."""
    places: dict[object, list[int]] = {}
    for place, key in enumerate(second):
        if key is not None:
            places.setdefault(key, []).append(place)
    return [(row, place) for row, key in enumerate(first) for place in places.get(key, ())]


def _keys(part: Part) -> list[tuple[str, str]]:
    table = part.records.table
    return list(zip(table["set"].tolist(), table["image"].tolist(), strict=True))


def _files(part: Part) -> list[str | None]:
    """Path of each file; None where the set draws its photographs."""
    roots = {name: str(root.resolve()) for name, root in part.records.roots.items()}
    drawn = {name for name, info in part.records.info.items() if info.synthetic}
    return [
        None if name in drawn else os.path.join(roots[name], plain_path(image)) for name, image in _keys(part)
    ]


def _patients(part: Part) -> list[str | None]:
    known = part.records.table["patient"] != ""
    return [group if is_known else None for group, is_known in zip(part.records.groups, known, strict=True)]


def _named(first: Part, second: Part) -> list[tuple[int, int]]:
    """Pairs of one name in sets of which one says that it shares the other's photographs."""
    pairs = []
    for one, info in first.records.info.items():
        for other, theirs in second.records.info.items():
            if one != other and (other in info.shares or one in theirs.shares):
                pairs += _same(_names(first, one), _names(second, other))
    return pairs


def _names(part: Part, name: str) -> list[str | None]:
    return [photograph_name(image) if own == name else None for own, image in _keys(part)]


def _name(part: Part, row: int) -> str:
    return str(part.records.table["image"].iloc[row])


def _side(part: Part, row: int, prefix: str) -> dict[str, str]:
    entry = part.records.table.iloc[row]
    return {f"{prefix}part": part.name, f"{prefix}set": entry["set"], f"{prefix}image": entry["image"]}
