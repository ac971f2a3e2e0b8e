"""Where a result comes from: labels that qualify it, its protocol, data and circumstances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retinalab.report.folder import RunFolder
from retinalab.report.numbers import duration, plain

__all__ = ["banners", "data_sets", "further", "protocol", "summary"]

_SHOWN = frozenset(
    {"citation", "command", "commit", "data", "device", "finished", "label", "labels", "notes"}
    | {"seconds", "seed", "seeds", "split", "started", "versions"}
)
_WORDS = {"val": "validation", "test": "the test part", "exclude": "left out", "include": "included"}
_LABELS = {
    "leaky": "the same patient or photograph stands on both sides of the split, so the figures are too good.",
    "optimistic": "the checkpoint was chosen on the photographs that test it, so the figures are too good.",
}


def banners(run: RunFolder) -> list[tuple[str, str]]:
    """Labels of the result with their meaning, the ones that apply."""
    provenance = run.provenance
    out = [("Research use only", "not a medical device; no figure here supports the care of a patient.")]
    drawn = [name for name, entry in _data(run).items() if entry.get("synthetic")]
    if drawn:
        out.append(("Drawn (synthetic) photographs", f"not a result on patients ({', '.join(drawn)})."))
    split = provenance.get("split")
    given = [provenance.get(key) for key in ("label", "labels", "notes")]
    lines = [str(line).lower() for one in given if one for line in (one if isinstance(one, list) else [one])]
    chosen_on_test = _protocol(run).get("select_on") == "test"
    applies = {
        "leaky": bool(isinstance(split, Mapping) and split.get("leaks")),
        "optimistic": chosen_on_test,
    }
    for label, meaning in _LABELS.items():
        if applies[label] or any(line.startswith(label) for line in lines):
            out.append((label.capitalize(), meaning))
    return out


def protocol(run: RunFolder) -> list[tuple[str, str]]:
    """The protocol in words: scales, split, selection, ungradable photographs, folds and seeds."""
    settings = _protocol(run)
    out = []
    for disease, scale in run.scales.items():
        levels = ", ".join(f"{grade} {level}" for grade, level in enumerate(scale.levels))
        out.append((disease.upper(), f"{scale.name}: {levels}; referable from {scale.referable}"))
    split = run.provenance.get("split")
    origin = plain(split.get("origin")) if isinstance(split, Mapping) else plain(split)
    out.append(("Split", "; ".join(filter(None, [plain(settings.get("split")), origin]))))
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
    """One row per data set: photographs per part, kind, licence, fingerprint."""
    out = []
    for name, entry in _data(run).items():
        photographs = entry.get("photographs", entry.get("parts"))
        known = ("photographs", "parts", "synthetic", "licence", "fingerprint")
        rest = {key: value for key, value in entry.items() if key not in known}
        out.append(
            {
                "set": name,
                "kind": "drawn" if entry.get("synthetic") else "photographs",
                "photographs": plain(photographs),
                "licence": plain(entry.get("licence")),
                "fingerprint": plain(entry.get("fingerprint")),
                "further": plain(rest),
            }
        )
    return out


def further(run: RunFolder) -> list[tuple[str, str]]:
    """Entries of the provenance that no other section shows."""
    return [(key, plain(value)) for key, value in run.provenance.items() if key not in _SHOWN]


def _protocol(run: RunFolder) -> Mapping[str, Any]:
    settings = run.experiment.get("protocol")
    return settings if isinstance(settings, Mapping) else {}


def _data(run: RunFolder) -> dict[str, Mapping[str, Any]]:
    data = run.provenance.get("data")
    if not isinstance(data, Mapping):
        return {}
    return {str(name): entry for name, entry in data.items() if isinstance(entry, Mapping)}
