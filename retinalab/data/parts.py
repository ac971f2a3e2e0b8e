"""From a data section to the photographs of each part: records on the protocol's scale, split, prepared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from retinalab.config import DataConfig, TestConfig
from retinalab.data.cache import Cache, prepare
from retinalab.data.scales import apply_scales
from retinalab.data.sets import PhotographSet, open_set
from retinalab.data.splits import Split, split
from retinalab.errors import RetinalabError, unknown
from retinalab.protocol import Protocol
from retinalab.records import Records
from retinalab.transforms.draw import generator

__all__ = ["Part", "Parts", "identity", "load_parts", "read_records"]

_LIMIT = 0x11D1
_TAKEN = re.compile(r"(dr|dme|lesion)(_|$)|(part|fold|seed|group|reason|label|p\d+)$")


@dataclass(frozen=True)
class Part:
    """The photographs of one part of one data set.

    Attributes:
        name: train, val or test.
        records: its rows, on the protocol's scale.
        cache: where they lie prepared; rows: the cache's row of each record.
    """

    name: str
    records: Records
    cache: Cache
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Parts:
    """Everything that a stage trains on and is evaluated on.

    Attributes:
        train, val: parts of the primary set.
        tests: data set -> its test part; the primary set first.
        split: how the primary set was split.
        notes: what was left out, repaired or leaks, for the report.
        fingerprints: data set -> digest of names, sizes and labels.
    """

    train: Part
    val: Part
    tests: Mapping[str, Part]
    split: Split
    notes: tuple[str, ...]
    fingerprints: Mapping[str, str] = field(default_factory=dict)


def load_parts(
    data: DataConfig,
    protocol: Protocol,
    roots: Mapping[str, Path],
    test: TestConfig | None = None,
    fold: int | None = None,
    folds: int = 1,
) -> Parts:
    """Read, split and prepare; nothing is left out without a note.

    Raises:
        RetinalabError: anything wrong with a data set, the labels, a part without photographs, or an unreadable
            photograph where ``data.unreadable`` is ``error``.
    """
    source, records, notes = read_records(data, protocol, roots)
    for disease in protocol.diseases:
        if disease not in records.table:
            raise unknown(
                "disease", disease, ["dr", "dme"], f"Data set {data.set!r} has no column of that name."
            )
    assignment = split(records, protocol, fold=fold, folds=folds)
    notes.extend(assignment.leaks)
    chosen = {"train": assignment.train, "val": assignment.val, "test": assignment.test}
    for name, rows in chosen.items():
        if len(rows) == 0:
            raise RetinalabError(
                f"Data set {data.set!r} has no photograph in part {name} ({assignment.origin}). "
                "Give more photographs, or another protocol.split."
            )
    primary = _prepared(source, records, chosen, data, notes)
    tests = {data.set: primary["test"]}
    fingerprints = {data.set: source.digest(records)}
    extra = test or TestConfig()
    names = dict.fromkeys(records.info, data.set)
    for name in extra.sets:
        if name == data.set:
            raise RetinalabError(
                f"test.sets names {name!r}, which is trained on: its own test part is tested anyway, and all of it "
                "would hold training photographs. Remove it from test.sets."
            )
        own = {"set": name, "root": roots.get(name), "options": extra.options.get(name, {})}
        other = data.model_copy(update=own)
        other_source, other_records, other_notes = read_records(other, protocol, roots)
        for called in other_records.info:
            if called in names:
                raise RetinalabError(
                    f"Data sets {names[called]!r} and {name!r} are both called {called!r} in results. Name one "
                    f"otherwise (test.options.{name}.name=NAME), or remove it from test.sets if it is the same."
                )
            names[called] = name
        official = np.flatnonzero((other_records.table["part"] == "test").to_numpy())
        rows = official if len(official) else np.arange(len(other_records))
        tests[name] = _prepared(other_source, other_records, {"test": rows}, other, other_notes)["test"]
        fingerprints[name] = other_source.digest(other_records)
        notes.extend(f"{name}: {note}" for note in other_notes)
    return Parts(
        primary["train"], primary["val"], tests, assignment, tuple(dict.fromkeys(notes)), fingerprints
    )


def read_records(
    data: DataConfig, protocol: Protocol, roots: Mapping[str, Path]
) -> tuple[PhotographSet, Records, list[str]]:
    """The data set's records on the protocol's scale, without those that the protocol excludes as ungradable."""
    source = open_set(data.set, data.root or roots.get(data.set), data.options, strict=data.strict)
    records = source.records()
    notes = list(records.notes)
    records = apply_scales(records, protocol.diseases)
    if protocol.ungradable == "exclude":
        keep = records.table["gradable"].to_numpy(dtype=bool)
        if not keep.all():
            notes.append(f"{(~keep).sum()} ungradable photographs of {data.set} left out")
            records = records.take(np.flatnonzero(keep))
    return source, records, notes


def _prepared(
    source: PhotographSet,
    records: Records,
    chosen: Mapping[str, np.ndarray],
    data: DataConfig,
    notes: list[str],
) -> dict[str, Part]:
    wanted = {name: _limited(rows, data.limit) for name, rows in chosen.items()}
    everything = np.unique(np.concatenate(list(wanted.values())))
    subset = records.take(everything)
    masks = data.masks or (data.windows is not None and data.windows.kind == "lesions")
    cache = prepare(source, subset, data.size, masks, data.mask_coverage, data.cache)
    if not cache.usable.all():
        _refuse_or_note(cache, subset, data, notes)
    parts = {}
    for name, rows in wanted.items():
        places = np.searchsorted(everything, rows)
        places = places[cache.usable[places]]
        if not len(places):
            raise RetinalabError(
                f"No photograph of part {name} of {data.set!r} can be used: "
                f"{next(iter(cache.reasons.values()))} Replace them."
            )
        parts[name] = Part(name, subset.take(places), cache, places)
    return parts


def _limited(rows: np.ndarray, limit: int | None) -> np.ndarray:
    if limit is None or len(rows) <= limit:
        return rows
    return np.sort(generator(_LIMIT).permutation(rows)[:limit])


def _refuse_or_note(cache: Cache, records: Records, data: DataConfig, notes: list[str]) -> None:
    reason = next(iter(cache.reasons.values()))
    if data.unreadable == "error":
        raise RetinalabError(
            f"{reason} ({len(cache.reasons)} of {len(records)} photographs of {data.set!r} cannot be used.) "
            "Replace them, or leave them out, counted and listed, with data.unreadable=exclude."
        )
    listed = ", ".join(records.table["image"].iloc[row] for row in list(cache.reasons)[:20])
    notes.append(
        f"{len(cache.reasons)} unusable photographs of {data.set} left out: {listed}; the first because: {reason}"
    )


def identity(part: Part) -> pd.DataFrame:
    """The columns of the predictions table that say which photograph a row is."""
    table = part.records.table
    frame = table[["image", "set", "patient", "eye", "view", "quality", *_further(part.records)]].copy()
    frame["part"] = part.name
    frame["group"] = part.records.groups
    return frame


def _further(records: Records) -> list[str]:
    """Columns beyond the standard ones, kept for tables by subgroup; never one that a prediction could be taken for."""
    return [name for name in records.further if not _TAKEN.match(name)]
