"""Photographs that are in another set too: by name where the owners share them, and by picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retinalab.data.check.findings import Finding
from retinalab.data.check.pairs import Side, confirmed_pairs, exact_pairs
from retinalab.data.check.photographs import Seen
from retinalab.records import Records, SetInfo, photograph_name

__all__ = ["Other", "overlaps", "share_names"]


@dataclass(frozen=True)
class Other:
    """A set that is compared with the one that is checked.

    Attributes:
        name: its name. records: of it. seen: one per record; empty where no file was opened.
    """

    name: str
    records: Records
    seen: Sequence[Seen] = ()

    @property
    def info(self) -> SetInfo:
        """The set's description."""
        return next(iter(self.records.info.values()))


def share_names(first: SetInfo, second: SetInfo) -> bool:
    """Whether two sets hold some of the same photographs under the same names, as either declares."""
    return second.name in first.shares or first.name in second.shares


def overlaps(records: Records, seen: Sequence[Seen], other: Other) -> list[Finding]:
    """One finding per pair: which photograph of the other set it is, and how that was found.

    Args:
        records: of the set that is checked. seen: one per record; empty where no file was opened.
        other: the set compared with it.
    """
    how: dict[tuple[int, int], list[str]] = {}
    info = next(iter(records.info.values()))
    if share_names(info, other.info):
        for pair in _same_names(records, other.records):
            how.setdefault(pair, []).append("the same name")
    by_picture = bool(seen) and bool(other.seen)
    if by_picture:
        for pair in exact_pairs(other.seen, seen):
            how.setdefault((pair[1], pair[0]), []).append("the same bytes")
        for found in confirmed_pairs(Side(records, seen), Side(other.records, other.seen)):
            what = "the same picture" if found.picture else "the same eye"
            how.setdefault((found.row, found.twin), []).append(what)
    mine, theirs = records.table["image"].tolist(), other.records.table["image"].tolist()
    return [
        Finding("overlap", (mine[row], f"{other.name}:{theirs[twin]}"), _message(reasons, by_picture))
        for (row, twin), reasons in sorted(how.items())
    ]


def _same_names(records: Records, other: Records) -> list[tuple[int, int]]:
    names: dict[str, int] = {}
    for row, image in enumerate(other.table["image"]):
        names.setdefault(photograph_name(str(image)), row)
    mine = ((row, photograph_name(str(image))) for row, image in enumerate(records.table["image"]))
    return [(row, names[name]) for row, name in mine if name in names]


def _message(found: Sequence[str], by_picture: bool) -> str:
    if by_picture and list(found) == ["the same name"]:
        return "the same name; the pictures were not found to be the same"
    return " and ".join(found)
