"""Where a result comes from: labels that qualify it, its protocol, data and circumstances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retinalab.report.folder import RunFolder
from retinalab.report.numbers import duration, plain

__all__ = ["banners", "data_sets", "further", "leaks", "notes", "protocol", "summary"]

_SHOWN = frozenset(
    {"citation", "command", "commit", "data", "device", "finished", "label", "labels", "notes"}
    | {"seconds", "seed", "seeds", "split", "started", "started_from", "versions"}
)
_WORDS = {"val": "validation", "test": "the test part", "exclude": "left out", "include": "included"}
_LABELS = {
    "leaky": "the same patient or photograph stands on both sides of the split, so the figures are too good.",
    "optimistic": "the checkpoint was chosen on the photographs that test it, so the figures are too good.",
}


def banners(run: RunFolder) -> list[tuple[str, str]]:
    """Labels of the result with their meaning, the ones that apply.

    A label is written ``word: meaning`` in the provenance; leaks of the split and selection on the test part
    are labelled even where it is not.
    """
    out = [("Research use only", "not a medical device; no figure here supports the care of a patient.")]
    given = _labels(run)
    drawn = dict.fromkeys(name for _, name, entry in _data(run) if entry.get("synthetic"))
    if drawn or "synthetic" in given:
        named = f" ({', '.join(drawn)})" if drawn else ""
        out.append(("Drawn (synthetic) photographs", f"not a result on patients{named}."))
    if leaks(run):
        given.setdefault("leaky", "")
    if _protocol(run).get("select_on") == "test":
        given.setdefault("optimistic", "")
    for word in sorted(given, key=lambda word: (word not in _LABELS, word)):
        if word != "synthetic":
            out.append((word.capitalize(), given[word] or _LABELS.get(word, "")))
    return out


def leaks(run: RunFolder) -> list[str]:
    """What stands on both sides of a split, one line each."""
    found = [_lines(split.get("leaks")) for _, split in _splits(run)]
    return list(dict.fromkeys(line for lines in found for line in lines))


def notes(run: RunFolder) -> list[str]:
    """What was left out or repaired, and what leaks."""
    return _lines(run.provenance.get("notes")) + leaks(run)


def protocol(run: RunFolder) -> list[tuple[str, str]]:
    """The protocol in words: scales, split, selection, ungradable photographs, folds and seeds."""
    settings = _protocol(run)
    out = []
    for disease, scale in run.scales.items():
        levels = ", ".join(f"{grade} {level}" for grade, level in enumerate(scale.levels))
        out.append((disease.upper(), f"{scale.name}: {levels}; referable from {scale.referable}"))
    origins: dict[str, list[str]] = {}
    for stage, split in _splits(run):
        origins.setdefault(plain(split.get("origin")), []).append(stage)
    each = [
        f"{', '.join(filter(None, stages))}: {origin}" if len(origins) > 1 else origin
        for origin, stages in origins.items()
    ]
    out.append(("Split", "; ".join(filter(None, [plain(settings.get("split")), *each]))))
    for field, term in (("select_on", "Checkpoint chosen on"), ("ungradable", "Ungradable photographs")):
        value = plain(settings.get(field))
        out.append((term, _WORDS.get(value, value)))
    for name in ("folds", "seeds"):
        out.append((name.capitalize(), plain(run.experiment.get(name))))
    return [(term, text) for term, text in out if text]


def summary(run: RunFolder) -> list[tuple[str, str]]:
    """When, where and from which code the run was made."""
    provenance = run.provenance
    when = " to ".join(filter(None, (plain(provenance.get("started")), plain(provenance.get("finished")))))
    seeds = plain(provenance.get("seeds", provenance.get("seed")))
    stages = run.experiment.get("stages")
    entries = [
        ("Stages", " → ".join(stages) if isinstance(stages, Mapping) else ""),
        ("Code", plain(provenance.get("commit"))),
        ("Device", plain(provenance.get("device"))),
        ("Seed", seeds),
        ("Time", when),
        ("Took", duration(provenance.get("seconds"))),
    ]
    return [(term, text) for term, text in entries if text]


def data_sets(run: RunFolder) -> list[dict[str, str]]:
    """One row per data set (and stage, where stages differ): photographs per part, kind, licence, fingerprint."""
    shown: list[tuple[list[str], str, Mapping[str, Any]]] = []
    for stage, name, entry in _data(run):
        same = [stages for stages, other, found in shown if other == name and found == entry]
        if same:
            same[0].append(stage)
        else:
            shown.append(([stage], name, entry))
    names = [name for _, name, _ in shown]
    known = ("photographs", "synthetic", "licence", "fingerprint")
    return [
        {
            "set": name,
            "stages": ", ".join(filter(None, stages)) if names.count(name) > 1 else "",
            "kind": "drawn" if entry.get("synthetic") else "photographs",
            "photographs": plain(entry.get("photographs")),
            "licence": plain(entry.get("licence")),
            "fingerprint": plain(entry.get("fingerprint")),
            "further": plain({key: value for key, value in entry.items() if key not in known}),
        }
        for stages, name, entry in shown
    ]


def further(run: RunFolder) -> list[tuple[str, str]]:
    """Entries of the provenance that no other section shows."""
    return [(key, plain(value)) for key, value in run.provenance.items() if key not in _SHOWN]


def _protocol(run: RunFolder) -> Mapping[str, Any]:
    settings = run.experiment.get("protocol")
    return settings if isinstance(settings, Mapping) else {}


def _data(run: RunFolder) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Stage ("" where the provenance names none), data set and its description."""
    return [
        (stage, name, entry)
        for stage, sets in _by_stage(run.provenance.get("data"))
        for name, entry in sets.items()
        if isinstance(entry, Mapping)
    ]


def _splits(run: RunFolder) -> list[tuple[str, Mapping[str, Any]]]:
    split = run.provenance.get("split")
    if not isinstance(split, Mapping):
        return [("", {"origin": split})] if split else []
    if "origin" in split or "leaks" in split:
        return [("", split)]
    return [(str(stage), one) for stage, one in split.items() if isinstance(one, Mapping)]


def _by_stage(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """The descriptions of data sets by stage; without stages, entries hold texts and numbers themselves."""
    entries = {str(key): one for key, one in value.items()} if isinstance(value, Mapping) else {}
    entries = {key: one for key, one in entries.items() if isinstance(one, Mapping)}
    nested = all(isinstance(inner, Mapping) for one in entries.values() for inner in one.values())
    return list(entries.items()) if nested else [("", entries)]


def _labels(run: RunFolder) -> dict[str, str]:
    """Word -> meaning of every label, also of notes that begin with a known one."""
    provenance = run.provenance
    lines = _lines(provenance.get("label")) + _lines(provenance.get("labels"))
    lines += [note for note in _lines(provenance.get("notes")) if note.lower().startswith(tuple(_LABELS))]
    out: dict[str, str] = {}
    for line in lines:
        word, _, meaning = line.partition(":")
        out.setdefault(word.strip().lower(), meaning.strip())
    return out


def _lines(value: Any) -> list[str]:
    """A list of lines from a line, a list or nothing."""
    if not value:
        return []
    return [plain(item) for item in value] if isinstance(value, list) else [plain(value)]
