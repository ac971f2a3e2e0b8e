"""The photographs of each part of a split, prepared: what a stage trains on and is evaluated on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from retinalab.data.cache import Prepared
from retinalab.data.splits import Split
from retinalab.records import Records

__all__ = ["OVERLAP_COLUMNS", "Part", "Parts", "described", "identity"]

_TAKEN = re.compile(r"(dr|dme|lesion)(_|$)|(part|fold|seed|group|reason|label|p\d+)$")

OVERLAP_COLUMNS = (
    "part", "set", "image", "other_part", "other_set", "other_image", "by", "bits", "left_out",
)  # fmt: skip
"""``by``: file, name, picture or patient; ``bits``: of 256 in which two pictures' hashes differ, -1 not compared."""


@dataclass(frozen=True)
class Part:
    """The photographs of one part, of one data set or of several.

    Attributes:
        name: train, val or test.
        records: its rows, on the protocol's scale.
        cache: where they lie prepared; rows: the cache's row of each record.
    """

    name: str
    records: Records
    cache: Prepared
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sets(self) -> str:
        """Names of its data sets, as results call them."""
        return ", ".join(dict.fromkeys(self.records.table["set"]))

    def keep(self, chosen: np.ndarray) -> Part:
        """The part without the photographs where ``chosen``, ``(n,)`` bool, is False."""
        return replace(self, records=self.records.take(np.flatnonzero(chosen)), rows=self.rows[chosen])


@dataclass(frozen=True)
class Parts:
    """Everything that a stage trains on and is evaluated on.

    Attributes:
        train, val: parts of the primary set, or of the mixture.
        tests: data set -> its test part; the primary set first.
        split: how the photographs that train were split.
        notes: what was left out, repaired or leaks, for the report.
        fingerprints: data set -> digest of names, sizes and labels.
        overlaps: photographs that stand in two parts; columns ``OVERLAP_COLUMNS``.
        ungradable: tested photographs that the protocol leaves out as ungradable, with their references.
    """

    train: Part
    val: Part
    tests: Mapping[str, Part]
    split: Split
    notes: tuple[str, ...]
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    overlaps: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(OVERLAP_COLUMNS)))
    ungradable: pd.DataFrame = field(default_factory=pd.DataFrame)


def identity(part: Part) -> pd.DataFrame:
    """The columns of the predictions table that say which photograph a row is."""
    return described(part.records, part.name)


def described(records: Records, part: str) -> pd.DataFrame:
    """As :func:`identity`, of records; ``gradable`` only where some of them are not."""
    table = records.table
    marked = [] if table["gradable"].all() else ["gradable"]
    frame = table[["image", "set", "patient", "eye", "view", "quality", *marked, *_further(records)]].copy()
    frame["part"] = part
    frame["group"] = records.groups
    return frame


def _further(records: Records) -> list[str]:
    """Columns beyond the standard ones, kept for tables by subgroup; never one that a prediction could be taken for."""
    return [name for name in records.further if not _TAKEN.match(name)]
