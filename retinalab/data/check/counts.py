"""Published counts beside those found, and how the grades of the two diseases go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from retinalab.data.check.findings import Finding
from retinalab.data.sets.base import count_found
from retinalab.records import Records, SetInfo

__all__ = ["PUBLISHED_CROSS", "count_findings", "count_rows", "cross_notes", "cross_rows"]

_TITLE = "Li et al., IEEE Transactions on Medical Imaging 39(5), 2020"

PUBLISHED_CROSS: Mapping[str, tuple[str, Sequence[Sequence[int]]]] = MappingProxyType(
    {
        "messidor": (f"{_TITLE}, Table II", ((546, 142, 182, 104), (0, 5, 28, 42), (0, 6, 37, 108))),
        "idrid": (f"{_TITLE}, Table III", ((134, 18, 36, 5, 4), (0, 0, 24, 4, 2), (0, 0, 140, 116, 33))),
    }
)
"""Set -> where its cross-table was published, and the table: rows DME 0, 1, 2, columns DR 0, 1, ... Table II was
counted before the owners' errata. Table III contradicts the owners' label files, whose grades add up to DR
168/25/168/93/62 and DME 222/51/243; the files win."""


def count_rows(records: Records, info: SetInfo) -> list[dict[str, Any]]:
    """Every published count beside the one found; where nothing was published, the photographs of each part."""
    table = records.table
    wanted: Mapping[str, int | None] = info.counts
    if not wanted:
        parts = [part for part in table["part"].unique().tolist() if part]
        wanted = dict.fromkeys(["photographs", *parts])
    return [
        {"what": what, "published": count, "found": count_found(table, what)}
        for what, count in wanted.items()
    ]


def count_findings(rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """One finding per count that differs from the published one."""
    return [
        Finding("count", (), f"{row['what']}: {row['found']} instead of {row['published']}")
        for row in rows
        if row["published"] not in (None, row["found"])
    ]


def cross_rows(records: Records, info: SetInfo) -> list[dict[str, Any]]:
    """Photographs of each DR and DME grade, beside the published table where there is one.

    Returns:
        Rows of ``{"dr", "dme", "photographs", "published"}``, "" for an unknown grade, None where nothing was
        published; empty unless the set grades both diseases.
    """
    if not {"dr", "dme"} <= set(info.scales):
        return []
    pairs = zip(records.table["dr"].tolist(), records.table["dme"].tolist(), strict=True)
    found: Counter[tuple[int, int]] = Counter(pairs)
    table = PUBLISHED_CROSS.get(info.name, ("", ()))[1]
    published = {(dr, dme): count for dme, row in enumerate(table) for dr, count in enumerate(row)}
    return [
        {
            "dr": "" if dr < 0 else dr,
            "dme": "" if dme < 0 else dme,
            "photographs": found[dr, dme],
            "published": published.get((dr, dme), 0) if published else None,
        }
        for dr, dme in sorted({*found, *published})
    ]


def cross_notes(rows: Sequence[Mapping[str, Any]], info: SetInfo) -> list[str]:
    """Says where the published cross-table comes from, and that the label files win where they differ."""
    if not rows or info.name not in PUBLISHED_CROSS:
        return []
    source = PUBLISHED_CROSS[info.name][0]
    differing = sum(row["photographs"] != row["published"] for row in rows)
    if not differing:
        return [f"the cross-table of DR and DME is that of {source}"]
    return [
        f"the cross-table of DR and DME differs in {differing} of {len(rows)} cells from that of {source}; the "
        "owners' label files are what counts"
    ]
