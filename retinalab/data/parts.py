"""From a data section to the photographs of each part: records on the protocol's scale, split, prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from retinalab.config import DataConfig, TestConfig
from retinalab.data.cache import Cache
from retinalab.data.codec import LOSSLESS, LOSSY_NOTE
from retinalab.data.enlarged import enlarged
from retinalab.data.overlap import settle
from retinalab.data.part import Part, Parts, identity
from retinalab.data.pool import pooled_part, pooled_split
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.scales import apply_scales
from retinalab.data.sets import PhotographSet, open_set
from retinalab.data.splits import Split, split
from retinalab.data.stand_in import StandIn
from retinalab.data.ungradable import tested_ungradable
from retinalab.errors import RetinalabError, unknown
from retinalab.protocol import Protocol
from retinalab.records import Records
from retinalab.transforms.draw import generator

__all__ = ["Part", "Parts", "Prepare", "identity", "load_parts", "read_records"]

Prepare = Callable[[PhotographSet, Records, Preparation], Cache | StandIn]
"""Gives prepared photographs, as :func:`~retinalab.data.prepare.prepare` does."""

_LIMIT = 0x11D1


@dataclass(frozen=True)
class _Trained:
    """One data set that trains: how it was split, its prepared parts, and what its results are called."""

    name: str
    split: Split
    parts: Mapping[str, Part]
    notes: Sequence[str]
    fingerprint: str
    ungradable: pd.DataFrame


def load_parts(
    data: DataConfig,
    protocol: Protocol,
    roots: Mapping[str, Path],
    test: TestConfig | None = None,
    fold: int | None = None,
    folds: int = 1,
    preparing: Prepare = prepare,
) -> Parts:
    """Read, split and prepare; nothing is left out without a note.

    Every set of a mixture is split on its own; training and validation parts are pooled, test parts kept apart.
    ``preparing`` may give what stands in for photographs that are not to be prepared yet.

    Raises:
        RetinalabError: anything wrong with a data set, the labels, a part without photographs, an unreadable
            photograph where ``data.unreadable`` is ``error``, or photographs on two sides where ``data.overlap``
            is ``refuse``.
    """
    extra = test or TestConfig()
    sections = _sections(data, protocol, extra)
    called: dict[str, str] = {}
    trained = [
        _trained(name, section, protocol, roots, fold, folds, called, preparing)
        for name, section in sections.items()
    ]
    mixed = len(trained) > 1
    notes = [_composition(trained)] if mixed else []
    notes += [f"{one.name}: {note}" if mixed else note for one in trained for note in one.notes]
    tests = {one.name: one.parts["test"] for one in trained}
    fingerprints = {one.name: one.fingerprint for one in trained}
    ungradable = [one.ungradable for one in trained]
    for name in extra.sets:
        options = extra.options.get(name, {})
        tests[name], fingerprints[name], found, out = _tested(
            name, options, data, protocol, roots, called, preparing
        )
        ungradable.append(out)
        notes += [f"{name}: {note}" for note in found]
    parts = Parts(
        pooled_part([one.parts["train"] for one in trained]),
        pooled_part([one.parts["val"] for one in trained]),
        tests,
        pooled_split([(one.name, one.split) for one in trained]),
        tuple(dict.fromkeys(notes)),
        fingerprints,
        ungradable=pd.concat([out for out in ungradable if len(out)] or [pd.DataFrame()], ignore_index=True),
    )
    return settle(parts, data.overlap, protocol.split == "as-published")


def read_records(
    data: DataConfig, protocol: Protocol, roots: Mapping[str, Path]
) -> tuple[PhotographSet, Records, list[str]]:
    """The data set's records on the protocol's scale, without those that the protocol excludes as ungradable."""
    source, records, notes, _ = _divided(data, protocol, roots)
    return source, records, notes


def _divided(
    data: DataConfig, protocol: Protocol, roots: Mapping[str, Path]
) -> tuple[PhotographSet, Records, list[str], Records]:
    """As :func:`read_records`, and the excluded ones; none of them where the photographs are limited in number."""
    source = open_set(data.set, data.root or roots.get(data.set), data.options, strict=data.strict)
    records = source.records()
    notes = list(records.notes)
    records = apply_scales(records, protocol.diseases)
    keep = records.table["gradable"].to_numpy(dtype=bool) | (protocol.ungradable != "exclude")
    left_out = records.take(np.flatnonzero(~keep & (data.limit is None)))
    if not keep.all():
        notes.append(f"{(~keep).sum()} ungradable photographs of {data.set} left out")
        records = records.take(np.flatnonzero(keep))
    return source, records, notes, left_out


def _sections(data: DataConfig, protocol: Protocol, test: TestConfig) -> dict[str, DataConfig]:
    """Data set -> the data section that reads it alone; the primary one first."""
    if data.mix.sets and protocol.lists is not None:
        raise RetinalabError(
            f"protocol.lists are the lists of one data set, and data.mix trains on {', '.join(data.mix.sets)} beside "
            f"{data.set}. Use one of the two."
        )
    sections = {data.set: data}
    for name in data.mix.sets:
        own = {"set": name, "root": None, "options": data.mix.options.get(name, {})}
        sections[name] = data.model_copy(update=own)
    for name in test.sets:
        if name in sections:
            raise RetinalabError(
                f"test.sets names {name!r}, which is trained on: its own test part is tested anyway, and all of it "
                "would hold training photographs. Remove it from test.sets."
            )
    return sections


def _trained(
    name: str,
    data: DataConfig,
    protocol: Protocol,
    roots: Mapping[str, Path],
    fold: int | None,
    folds: int,
    called: dict[str, str],
    preparing: Prepare,
) -> _Trained:
    source, records, notes, left_out = _divided(data, protocol, roots)
    for disease in protocol.diseases:
        if disease not in records.table:
            raise unknown("disease", disease, ["dr", "dme"], f"Data set {name!r} has no column of that name.")
    _call(name, records, called, "data.mix")
    assignment = split(records, protocol, fold=fold, folds=folds)
    notes.extend(assignment.leaks)
    chosen = {"train": assignment.train, "val": assignment.val, "test": assignment.test}
    for part, rows in chosen.items():
        if len(rows) == 0:
            raise RetinalabError(
                f"Data set {name!r} has no photograph in part {part} ({assignment.origin}). "
                "Give more photographs, or another protocol.split."
            )
    official = (
        protocol.split != "folds" and protocol.lists is None and bool((records.table["part"] != "").any())
    )
    ungradable, lost = tested_ungradable(left_out, records, assignment.test, official)
    notes.extend(filter(None, [lost]))
    parts = _prepared(source, records, chosen, data, notes, preparing)
    return _Trained(name, assignment, parts, notes, source.digest(records), ungradable)


def _tested(
    name: str,
    options: Mapping[str, object],
    data: DataConfig,
    protocol: Protocol,
    roots: Mapping[str, Path],
    called: dict[str, str],
    preparing: Prepare,
) -> tuple[Part, str, list[str], pd.DataFrame]:
    """A further set's official test part, else all of it; its fingerprint; its notes; its ungradable photographs."""
    own = {key: value for key, value in options.items() if key != "set"}
    adapter = str(options.get("set", name))
    root = roots.get(name, roots.get(adapter))
    section = data.model_copy(update={"set": adapter, "root": root, "options": own})
    source, records, notes, left_out = _divided(section, protocol, roots)
    if "set" in options:
        records, left_out = records.named(name), left_out.named(name)
    _call(name, records, called, "test.sets")
    official = np.flatnonzero((records.table["part"] == "test").to_numpy())
    rows = official if len(official) else np.arange(len(records))
    part = _prepared(source, records, {"test": rows}, section, notes, preparing)["test"]
    if not len(official):
        left_out = replace(left_out, table=left_out.table.assign(part="test"))
    ungradable, _ = tested_ungradable(left_out, records, rows, official=True)
    return part, source.digest(records), notes, ungradable


def _call(name: str, records: Records, called: dict[str, str], where: str) -> None:
    """Note what results call a set; two of one name could not be told apart."""
    for own in records.info:
        if own in called:
            options = f"{where.replace('.sets', '')}.options.{name}.name"
            raise RetinalabError(
                f"Data sets {called[own]!r} and {name!r} are both called {own!r} in results. Name one "
                f"otherwise ({options}=NAME), or remove it from {where} if it is the same."
            )
        called[own] = name


def _composition(trained: Sequence[_Trained]) -> str:
    counts = (
        f"{one.name} {len(one.parts['train'])} train, {len(one.parts['val'])} val, {len(one.parts['test'])} test"
        for one in trained
    )
    return f"mixture of {len(trained)} data sets (photographs): {'; '.join(counts)}"


def _prepared(
    source: PhotographSet,
    records: Records,
    chosen: Mapping[str, np.ndarray],
    data: DataConfig,
    notes: list[str],
    preparing: Prepare,
) -> dict[str, Part]:
    wanted = {name: _limited(rows, data.limit) for name, rows in chosen.items()}
    everything = np.unique(np.concatenate(list(wanted.values())))
    subset = records.take(everything)
    cache = preparing(source, subset, Preparation.of(data))
    if cache.codec not in LOSSLESS:
        notes.append(LOSSY_NOTE)
    if not cache.usable.all():
        _refuse_or_note(cache, subset, data, notes)
    if note := enlarged(cache.boxes[cache.usable, 2], data.size, data.set):
        notes.append(note)
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


def _refuse_or_note(cache: Cache | StandIn, records: Records, data: DataConfig, notes: list[str]) -> None:
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
