"""Photographs that a run made: how many, with what labels, what a review of them says, and how some were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from retinalab.counted import counted
from retinalab.documents import read_json
from retinalab.errors import RetinalabError
from retinalab.protocol import Scale
from retinalab.report.folder import RunFolder
from retinalab.report.gallery import data_uri, small
from retinalab.report.numbers import interval, known

__all__ = ["LabelTable", "MadeFigure", "MadeSection", "MadeStrip", "made_sections"]

_STRIPS = 16
_NEAR = "within 40 bits, as copies are"
_UNKNOWN = "the run left no review of them"
_MATCHED = {
    "whole": "originals of the same grades by sharpness and colours of the whole",
    "tiles": "originals of the same grades by detail in tiles and its steps, as seams and blending leave",
    "both": "originals of the same grades by both",
}
_ORIGINS = {"sources": "made from: different sources", "targets": "made from: different targets"}
_TOLD = _MATCHED | {
    "originals": "training photographs of whatever grade by sharpness and colours",
    "targets": "those they were made from by sharpness and colours",
}
_MEANING = (
    "a linear model of these features: what it tells, a network may learn in the place of lesions; what it does not, "
    "a network may see yet"
)


@dataclass(frozen=True)
class LabelTable:
    """Training photographs of each grade before and after, and of how many different ones those made were made.

    ``grades`` may end with unknown.
    """

    disease: str
    grades: list[str]
    rows: list[tuple[str, list[int]]]


@dataclass(frozen=True)
class MadeFigure:
    """One figure of the review, as printed, and what it is to be compared with."""

    name: str
    text: str
    beside: str
    counted: str
    note: str


@dataclass(frozen=True)
class MadeStrip:
    """How one photograph was made: ``pictures`` are captions and data URIs."""

    name: str
    said: list[str]
    pictures: list[tuple[str, str]]


@dataclass(frozen=True)
class MadeSection:
    """What one stage made.

    Attributes:
        child: the fold or seed that is shown (``seed-0``), the first; "" where the run has neither.
        children: how many there are.
        used: photographs that are trained on; ``left_out``: that are not, since they show nothing that was made.
        missing: why there are no figures; "" where there are.
    """

    stage: str
    child: str
    children: int
    used: int
    left_out: int
    notes: list[str]
    labels: list[LabelTable]
    figures: list[MadeFigure]
    missing: str
    strips: list[MadeStrip]


def made_sections(run: RunFolder) -> list[MadeSection]:
    """A section for every stage that made photographs, in the experiment's order; empty where none did.

    Raises:
        RetinalabError: a file of the photographs cannot be read.
    """
    places: dict[str, list[Path]] = {}
    for table in [*run.path.glob("made/*/made.parquet"), *run.path.glob("*/made/*/made.parquet")]:
        places.setdefault(table.parent.name, []).append(table.parent)
    stages = run.experiment.get("stages")
    order = list(stages) if isinstance(stages, Mapping) else []
    names = sorted(places, key=lambda name: (order.index(name) if name in order else len(order), name))
    return [_section(run, name, sorted(places[name], key=_number)) for name in names]


def _section(run: RunFolder, stage: str, places: list[Path]) -> MadeSection:
    place = places[0]
    child = place.parent.parent.relative_to(run.path).as_posix()
    table = pd.read_parquet(place / "made.parquet")
    left_out = int(table["left_out"].sum()) if len(table) else 0
    found = _json(place / "review.json") if (place / "review.json").is_file() else None
    notes = place / "notes.txt"
    return MadeSection(
        stage=stage,
        child="" if child == "." else child,
        children=len(places),
        used=len(table) - left_out,
        left_out=left_out,
        notes=notes.read_text(encoding="utf-8").splitlines() if notes.is_file() else [],
        labels=[] if found is None else [_labels(*one) for one in found["labels"].items()],
        figures=[] if found is None or len(table) == left_out else _figures(found),
        missing=_UNKNOWN if found is None else "",
        strips=_strips(place, table, run.scales),
    )


def _labels(disease: str, counted: Mapping[str, Any]) -> LabelTable:
    """What was there, what was made, and both; no column of unknown grades where there are none."""
    before, after = list(counted["before"]), list(counted["after"])
    width = len(before) if after[-1] else len(before) - 1
    grades = [f"{k} {level}" if k < len(before) - 1 else level for k, level in enumerate(counted["grades"])]
    made = [new - old for old, new in zip(before, after, strict=True)]
    rows = {"before": before, "made": made, "after": after}
    rows |= {words: list(counted[name]) for name, words in _ORIGINS.items() if name in counted}
    return LabelTable(disease, grades[:width], [(name, counts[:width]) for name, counts in rows.items()])


def _figures(found: Mapping[str, Any]) -> list[MadeFigure]:
    changed, likeness, told = found["changed"], found["likeness"], found["told_apart"]
    square = changed["of_the_square"]
    share = f"{_bracketed(*_quantiles(square, 100, '{:.1f}'))} % of the square"
    figures = [MadeFigure("Changed pixels, median [least, most]", share, "", _of(square), square["note"])]
    for place, name in (("disc", "the optic disc"), ("vessels", "vessels")):
        on, cover = changed[f"on_{place}"], changed[f"cover_{place}"]
        beside = f"covers {_percent(cover)} of the field" if known(cover["value"]) else ""
        figures.append(
            MadeFigure(f"Changed pixels on {name}", _percent(on), beside, _of(on), str(on.get("note", "")))
        )
    made, original = likeness["made"], likeness["original"]
    (bits, ends), (others, other_ends) = _quantiles(made), _quantiles(original)
    figures.append(
        MadeFigure(
            f"Nearest test photograph{_sets(likeness)}, of 256 bits, median [least, most]",
            _bracketed(bits, ends),
            f"training photographs: {_bracketed(others, other_ends)}",
            _of(made, original),
            made["note"],
        )
    )
    figures.append(
        MadeFigure(
            f"Photographs near one of the test ({_NEAR})",
            f"{made['near']} of {made['n']}",
            f"training photographs: {original['near']} of {original['n']}",
            _of(made, original),
            "",
        )
    )
    return figures + [_told(told, name, words) for name, words in _TOLD.items() if name in told]


def _told(told: Mapping[str, Any], name: str, words: str) -> MadeFigure:
    """Whether made photographs are told from originals, among how many of each grade, and what that is a sign of."""
    one, pairs = told[name], told.get("matched")
    found = "0.5 where they cannot be told apart"
    if pairs is not None and any(pairs["counts"]):
        counts = ", ".join(
            f"{count} of grade {grade}" for grade, count in enumerate(pairs["counts"]) if count
        )
        found += f"; on either side {counts} ({pairs['disease'].upper()})"
    notes = [str(one.get("note", ""))] + [_MEANING] * (name in _MATCHED and known(one["value"]))
    return MadeFigure(
        f"Told from {words}, AUC", interval(one), found, _of(one), "; ".join(filter(None, notes))
    )


def _sets(likeness: Mapping[str, Any]) -> str:
    return f" of {', '.join(likeness['tests'])}" if "tests" in likeness else ""


def _quantiles(one: Mapping[str, Any], factor: float = 1, form: str = "{:.0f}") -> tuple[str, str]:
    """The median, and the least and most in words."""
    found = one["quantiles"]
    if found is None:
        return "undefined", ""
    middle, least, most = (form.format(factor * found[key]) for key in ("0.5", "0", "1"))
    return middle, f"{least} to {most}"


def _bracketed(middle: str, ends: str) -> str:
    return f"{middle} [{ends.replace(' to ', ', ')}]" if ends else middle


def _percent(one: Mapping[str, Any]) -> str:
    if not known(one["value"]):
        return "undefined"
    text = f"{100 * one['value']:.1f} %"
    bounds = [one["low"], one["high"]]
    return f"{text} [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]" if all(map(known, bounds)) else text


def _of(one: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> str:
    """What a figure was counted on."""
    if other is not None:
        return f"{one['n']} made, {other['n']} training"
    patients = f" of {counted(one['n_groups'], 'patient')}" if "n_groups" in one else ""
    return f"{counted(one['n'], 'photograph')}{patients}"


def _strips(place: Path, table: pd.DataFrame, scales: Mapping[str, Scale]) -> list[MadeStrip]:
    found = sorted(place.glob("pictures/*/captions.json"))
    places = np.unique(np.linspace(0, len(found) - 1, min(len(found), _STRIPS)).round().astype(int))
    return [_strip(found[k].parent, table, scales) for k in places]


def _strip(folder: Path, table: pd.DataFrame, scales: Mapping[str, Scale]) -> MadeStrip:
    row = table.iloc[int(folder.name)]
    said = [
        f"{disease.upper()}: {int(row[disease])} {scale.levels[int(row[disease])]}"
        for disease, scale in scales.items()
        if disease in row and row[disease] >= 0
    ]
    said += [
        f"{word} {row[key]}{_repeated(row, table, scales, key)}"
        for word, key in (("from", "source_image"), ("into", "target_image"))
        if key in row
    ]
    said += ["not trained on"] * bool(row["left_out"])
    pictures = [
        (str(caption), _picture(folder / f"{k}.jpg"))
        for k, caption in enumerate(_json(folder / "captions.json"))
    ]
    return MadeStrip(folder.name, said, pictures)


def _repeated(row: pd.Series, table: pd.DataFrame, scales: Mapping[str, Scale], origin: str) -> str:
    """How many of its grade that are trained on come from the same photograph, where it is not the only one."""
    disease = next((one for one in scales if one in row and row[one] >= 0), None)
    if disease is None or row["left_out"]:
        return ""
    alike = table[~table["left_out"] & (table[disease] == row[disease])]
    same = int((alike[origin] == row[origin]).sum())
    return f", as {same} of the {len(alike)} of this grade" if same > 1 else ""


def _picture(path: Path) -> str:
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            return data_uri(small(np.asarray(picture.convert("RGB"))), sharp_colours=True)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RetinalabError(
            f"'{path}' cannot be read ({error}). Repeat the run, or remove its folder."
        ) from error


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise RetinalabError(
            f"'{path}' cannot be read ({error}). Repeat the run, or remove the file."
        ) from error


def _number(place: Path) -> tuple[int, int, str]:
    """Key that puts the run's own folder first, then seed-2 before seed-10."""
    child = place.parent.parent.name
    return len(place.parts), int("".join(filter(str.isdigit, child)) or 0), child
