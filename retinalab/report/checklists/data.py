"""What a run's folder shows of its data; "" where it shows nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from retinalab.counted import counted
from retinalab.report.checklists.settings import by_stage, described_sets, learned, option, short, stages_of
from retinalab.report.folder import RunFolder
from retinalab.report.numbers import plain
from retinalab.report.results import tested_unit
from retinalab.report.summary import leaks, notes

__all__ = [
    "disjoint",
    "drawn",
    "exclusions",
    "flow",
    "licences",
    "missing",
    "partitions",
    "preprocessing",
    "severity",
    "shift",
    "sizes",
    "sources",
    "subsets",
    "ungradable",
]


def sources(run: RunFolder) -> str:
    """Title and origin of each data set."""
    texts = []
    for name, uses in described_sets(run).items():
        entry = uses[0][1]
        kind = "drawn" if entry.get("synthetic") else "photographs"
        origin = f", {plain(entry['source'])}" if entry.get("source") else ""
        texts.append(f"{name}: {plain(entry.get('title')) or name} ({kind}){origin}.")
    return " ".join(texts)


def licences(run: RunFolder) -> str:
    """Licence of each data set, as its owners state it."""
    stated = {name: plain(uses[0][1].get("licence")) for name, uses in described_sets(run).items()}
    return " ".join(f"{name}: {licence}." for name, licence in stated.items() if licence)


def drawn(run: RunFolder) -> str:
    """That no person's data are used; said only where every photograph is drawn."""
    entries = [entry for uses in described_sets(run).values() for _, entry in uses]
    if not entries or not all(entry.get("synthetic") for entry in entries):
        return ""
    return "Every photograph is drawn by a program; there are no data of persons."


def sizes(run: RunFolder) -> str:
    """Photographs per part, and the independent units of the tested ones."""
    texts: dict[str, list[str]] = {}
    for name, uses in described_sets(run).items():
        for stage, entry in uses:
            parts = plain(entry.get("photographs"))
            if parts:
                texts.setdefault(f"{name}: photographs {parts}", []).append(stage)
    many = len({text.partition(":")[0] for text in texts}) < len(texts)
    lines = [f"{text} ({', '.join(stages)})." if many else f"{text}." for text, stages in texts.items()]
    for prefix in run.tested:
        units = {
            str(one["n_groups"]) for key, one in run.metrics.items() if _of(key, prefix) and "n_groups" in one
        }
        if len(units) == 1 and tested_unit(run, prefix) == "patients":
            lines.append(
                f"{run.set_of(prefix)}, {prefix.partition('@')[0]}: {counted(int(units.pop()), 'patient')}."
            )
    return " ".join(lines)


def flow(run: RunFolder) -> str:
    """Photographs per part and what the run left out."""
    return " ".join(filter(None, [sizes(run), _left_out(run)]))


def exclusions(run: RunFolder) -> str:
    """The rule for ungradable photographs, and what was left out."""
    return " ".join(filter(None, [ungradable(run), _left_out(run)]))


def ungradable(run: RunFolder) -> str:
    """The protocol's rule for photographs that cannot be graded."""
    rule = _mapping(run.experiment.get("protocol")).get("ungradable")
    words = {"exclude": "left out", "include": "kept"}
    return f"Photographs marked as ungradable are {words.get(rule, plain(rule))} (protocol)." if rule else ""


def missing(run: RunFolder) -> str:
    """Photographs without a reference among the tested ones, and what was left out."""
    texts = []
    for prefix in run.tested:
        rows = run.rows(prefix)
        if not len(rows):
            continue
        one = rows[rows["seed"] == rows["seed"].min()]
        for disease in run.diseases:
            without = int((one[disease] < 0).sum())
            texts.append(
                f"{run.set_of(prefix)}, {disease.upper()}: {without} of {len(one)} tested have no reference."
            )
    return " ".join(filter(None, [*texts, ungradable(run), _left_out(run)])) if texts else ""


def preprocessing(run: RunFolder) -> str:
    """Size, crop, background and normalisation of each stage."""

    def describe(stage: Mapping[str, Any]) -> str:
        size = option(stage, "data", "size")
        if size is None:
            return ""
        parts = [f"resized to {plain(size)} pixels"]
        crop, view = option(stage, "data", "crop"), option(stage, "data", "view")
        parts += [f"view {plain(view)}"] if view else []
        parts += [f"crop {short(crop)}"] if crop else []
        background = option(stage, "data", "background")
        parts += [f"local average colour subtracted ({short(background)})"] if background else []
        normalise = option(stage, "data", "normalise")
        parts += [f"normalised: {plain(normalise)}"] if normalise else []
        return ", ".join(parts)

    return by_stage(run, describe)


def subsets(run: RunFolder) -> str:
    """Which part of each photograph, or how many photographs, a stage takes."""

    def describe(stage: Mapping[str, Any]) -> str:
        windows, limit = option(stage, "data", "windows"), option(stage, "data", "limit")
        if option(stage, "data") is None:
            return ""
        parts = (
            [f"windows of {plain(option(windows, 'size'))} pixels, {plain(option(windows, 'kind'))}"]
            if windows
            else []
        )
        parts += [f"at most {plain(limit)} of the photographs"] if limit else []
        return "; ".join(parts) or "every photograph of the part"

    return by_stage(run, describe)


def partitions(run: RunFolder) -> str:
    """How photographs came into parts, how many, and what leaks."""
    split = _mapping(run.provenance.get("split"))
    origins = dict.fromkeys(plain(_mapping(one).get("origin")) for one in split.values())
    origin = "; ".join(filter(None, origins))
    if not origin:
        return ""
    texts = [f"{origin}.", sizes(run)]
    unknown = [
        name for name, uses in described_sets(run).items() if uses[0][1].get("patients_known") is False
    ]
    texts += (
        [f"Patients of {', '.join(unknown)} are not known: photographs are the units."] if unknown else []
    )
    texts += [f"Leaks: {'; '.join(found)}."] if (found := leaks(run)) else []
    return " ".join(filter(None, texts))


def disjoint(run: RunFolder) -> str:
    """Whether a patient stands in two parts, counted in the lists that the run left; leaks that it noted come first."""
    if found := leaks(run):
        return f"Not disjoint: {'; '.join(found)}."
    texts = []
    for stage, paths in _lists(run).items():
        shared = [_shared(pd.read_csv(path, dtype=str, keep_default_na=False)) for path in paths]
        known = [one for one in shared if one is not None]
        if len(known) < len(shared):
            texts.append(
                f"{stage}: photographs; patients are not known, so that they may stand in two parts."
            )
        elif any(known):
            texts.append(f"{stage}: not disjoint, in two parts: {counted(max(known), 'patient')}.")
        else:
            texts.append(f"{stage}: patients, none stands in two parts (counted in split-{stage}.csv).")
    return " ".join(texts)


def shift(run: RunFolder) -> str:
    """Which tested sets were not trained on."""
    texts = []
    for prefix in run.tested:
        name = run.set_of(prefix)
        trained = learned(run, name)
        if trained is None:
            continue
        texts.append(
            f"{name}: {'from the same set as training' if trained else 'another set than those of training'}."
        )
    return " ".join(texts)


def severity(run: RunFolder) -> str:
    """Reference grades of the tested photographs."""
    texts = []
    for prefix in run.tested:
        for disease in run.diseases:
            rows = run.rows(prefix, disease)
            one = rows[rows["seed"] == rows["seed"].min()] if len(rows) else rows
            levels = run.scales[disease].levels
            counts = [f"{levels[grade]} {int((one[disease] == grade).sum())}" for grade in range(len(levels))]
            if len(one):
                texts.append(f"{run.set_of(prefix)}, {disease.upper()}, tested: {', '.join(counts)}.")
    return " ".join(texts)


def _lists(run: RunFolder) -> dict[str, list[Any]]:
    """Lists of photographs and parts that the run left, by stage; those of folds and seeds with them."""
    found: dict[str, list[Any]] = {}
    for stage in stages_of(run):
        paths = sorted(run.path.glob(f"**/split-{stage}.csv"))
        if paths:
            found[stage] = paths
    return found


def _shared(table: pd.DataFrame) -> int | None:
    """Patients in more than one part; None where a patient is unknown."""
    if "patient" not in table or (table["patient"] == "").any():
        return None
    keys = [name for name in ("set", "patient") if name in table]
    return int((table.groupby(keys)["part"].nunique() > 1).sum())


_ABOUT_PHOTOGRAPHS = re.compile("left out|counts differ")


def _left_out(run: RunFolder) -> str:
    """Notes of photographs left out, and of copies that hold fewer than were published."""
    lines = [
        note for note in notes(run) if _ABOUT_PHOTOGRAPHS.search(note) and not note.startswith("windows ")
    ]
    return f"{'. '.join(line.rstrip('.') for line in lines)}." if lines else ""


def _of(key: str, prefix: str) -> bool:
    return key.partition("/")[0] == prefix


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
