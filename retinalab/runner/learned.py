"""What a run that weights come from has learned from, held against the photographs that test what goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from retinalab.config import Experiment, StartFrom
from retinalab.data.part import Part
from retinalab.errors import RetinalabError
from retinalab.runner.origin import Origin, digest_of, find_origin

__all__ = ["Met", "met", "with_origin"]

_COLUMNS = ["set", "image", "patient"]
_NOTE = "began with weights of another run: "


@dataclass(frozen=True)
class Met:
    """Which of the tested photographs and patients a network has learned from before, by their names in one data set.

    Attributes:
        patients: tested patients that it knows.
        photographs: tested photographs that it knows, or of whose patients it knows others.
        unclear: why more could not be told; empty: nothing was left open.
    """

    patients: int
    photographs: int
    unclear: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.photographs:
            patients = f"{self.patients} tested patients and " if self.patients else ""
            found = (
                f"{patients}{self.photographs} tested photographs are, by name, among what it learned from"
            )
        else:
            found = "no tested photograph or patient is, by name, among what it learned from"
        return "; ".join([found, *(f"names may not tell, since {one}" for one in self.unclear)])


def met(origin: Origin, tests: Mapping[str, Part]) -> Met:
    """Hold the training and validation photographs of a network, and of those it came from, against test parts.

    Args:
        origin: the network.
        tests: data set -> its test part.
    """
    learned, unclear = _learned(origin, frozenset())
    tested = pd.concat([part.records.table[_COLUMNS] for part in tests.values()], ignore_index=True)
    tested = tested.astype(str)
    other = sorted(set(tested["set"]) - set(learned["set"]))
    if other and len(learned):
        unclear.append(
            f"{', '.join(other)} is another data set than {', '.join(sorted(set(learned['set'])))}"
        )
    named = tested["patient"] != ""
    if not named.all() or not (learned["patient"] != "").all():
        unclear.append("some records name no patient")
    known = {(one, image) for one, image in zip(learned["set"], learned["image"], strict=True)}
    people = {(one, who) for one, who in zip(learned["set"], learned["patient"], strict=True) if who}
    pairs = [*zip(tested["set"], tested["patient"], strict=True)]
    seen = [pair in people for pair in pairs]
    images = zip(tested["set"], tested["image"], strict=True)
    either = [again or pair in known for again, pair in zip(seen, images, strict=True)]
    patients = len({pair for pair, again in zip(pairs, seen, strict=True) if again})
    return Met(patients, sum(either), tuple(dict.fromkeys(unclear)))


def with_origin(
    known: Mapping[str, Any], label: str, start: StartFrom, found: Met, origin: Origin
) -> dict[str, Any]:
    """The same provenance, which says whose weights a stage began with, and what that network had learned from.

    Args:
        known: as in ``provenance.json``.
        label: what the run's state calls the stage.
        start: as the experiment says it.
        found: from :func:`met`.
        origin: the network.
    """
    data = origin.provenance.get("data", {}).get(origin.stage, {})
    entry = {
        "run": str(origin.place),
        "stage": origin.stage,
        "checkpoint": start.which,
        "sha256": start.sha256 or digest_of(origin.checkpoint),
        "commit": origin.provenance.get("commit", "unknown"),
        "code": origin.provenance.get("code", {}),
        "data": {name: one.get("fingerprint", "") for name, one in data.items()},
        "patients": found.patients,
        "photographs": found.photographs,
        "unclear": list(found.unclear),
    }
    sets = ", ".join(f"{name} {digest}" for name, digest in entry["data"].items()) or "unknown data"
    note = (
        f"stage {label} {_NOTE}stage {origin.stage} of {origin.place} ({start.which} checkpoint, sha256 "
        f"{entry['sha256'][:12]}, code {str(entry['commit'])[:12]}, data {sets}); {found}"
        f"{'' if origin.finished else '; that run had not finished, and may come to another checkpoint'}"
    )
    mine = f"stage {label} {_NOTE}"
    notes = [one for one in known.get("notes", ()) if not one.startswith(mine)]
    leak = f"leaky: the run that stage {label} began with had learned from patients or photographs of the test part"
    labels = [one for one in known.get("labels", ()) if one != leak] + [leak] * bool(found.photographs)
    started = {**known.get("started_from", {}), label: entry}
    return {**known, "started_from": started, "notes": [*notes, note], "labels": labels}


def _learned(origin: Origin, visited: frozenset[Path]) -> tuple[pd.DataFrame, list[str]]:
    """Names of what the network, the stages behind it and the runs that they began with have learned from."""
    tables, unclear = [pd.DataFrame(columns=_COLUMNS, dtype=str)], []
    for stage in _behind(origin.experiment, origin.stage):
        file = origin.place / f"split-{stage}.csv"
        try:
            table = pd.read_csv(file, dtype=str, keep_default_na=False)
            tables.append(table.loc[table["part"] != "test", _COLUMNS])
        except (OSError, ValueError, KeyError):
            unclear.append(f"{origin.place} keeps no split of stage {stage}")
        start = origin.experiment.stages[stage].start_from
        if start is None or start.run is None or origin.place in visited:
            continue
        try:
            more, open_ = _learned(find_origin(start), visited | {origin.place})
        except RetinalabError:
            unclear.append(f"{start.run}, which {origin.place} began with, is gone")
        else:
            tables.append(more)
            unclear += open_
    return pd.concat(tables, ignore_index=True), unclear


def _behind(experiment: Experiment, name: str) -> list[str]:
    """The stage and all whose weights or photographs it descends from."""
    stage = experiment.stages[name]
    named = [*stage.adds, *([stage.before] if stage.before is not None else [])]
    return list(dict.fromkeys([name, *(one for before in named for one in _behind(experiment, before))]))
