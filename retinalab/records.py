"""The record table: one row per photograph, the same columns whatever data set it came from."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as default
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retinalab.errors import RetinalabError
from retinalab.protocol import SCALES

__all__ = ["LESIONS", "LESION_NAMES", "PARTS", "Records", "SetInfo", "make_records", "photograph_name"]

LESION_NAMES: Mapping[str, str] = {
    "MA": "microaneurysm",
    "HE": "haemorrhage",
    "EX": "hard exudate",
    "SE": "soft exudate (cotton wool spot)",
    "VH": "vitreous haemorrhage",
    "PH": "preretinal haemorrhage",
    "NV": "neovascularisation",
    "FP": "fibrous proliferation",
}
LESIONS: tuple[str, ...] = tuple(LESION_NAMES)
"""The eight lesion classes, in the order of every mask's planes."""

PARTS = ("train", "val", "test")

_TEXT = ("image", "set", "patient", "eye", "view", "part", "quality")
_NUMBERS = ("width", "height", "fovea_x", "fovea_y", "disc_x", "disc_y")
_GRADES = ("dr", "dme")
_LESION_COLUMNS = tuple(f"{kind}_{lesion}" for lesion in LESIONS for kind in ("mask", "annotated", "present"))


@dataclass(frozen=True)
class SetInfo:
    """What a data set is and what it annotates, as its owners state it.

    Attributes:
        name: the name used in experiments and on the command line.
        title: its published name.
        source: where it can be had and which publication describes it.
        licence: as the owner states it.
        scales: disease -> the grade scale of its labels (a key of ``retinalab.protocol.SCALES``).
        lesions: the lesions that its masks annotate; any other is unknown, not absent.
        counts: published counts, checked when the set is read: "photographs", "train", "dr=0", "train dr=0" ...
        synthetic: whether its photographs are drawn, which every result then says.
        shares: names of sets that hold some of the same photographs under the same file names.
        field: width of the camera's field of view in degrees, where the owners state one.
    """

    name: str
    title: str
    source: str
    licence: str
    scales: Mapping[str, str] = default(default_factory=dict)
    lesions: tuple[str, ...] = ()
    counts: Mapping[str, int] = default(default_factory=dict)
    synthetic: bool = False
    shares: tuple[str, ...] = ()
    field: float | None = None


@dataclass(frozen=True)
class Records:
    """The photographs of one or several sets.

    Columns of ``table`` (one row per photograph, index 0 ... n-1):
        - ``image``: path relative to ``roots[set]``, with ``/``. ``set``, ``patient``, ``eye`` (left, right,
          ""), ``view``,
          ``part`` (official: train, val, test, "" where none), ``quality``: text. An unknown patient is "".
        - ``dr``, ``dme``: int64 grade on the scale of ``info[set].scales``; -1 unknown. ``gradable``: bool.
        - ``width``, ``height``, ``fovea_x``, ``fovea_y``, ``disc_x``, ``disc_y``: float64, pixels of the file;
          nan unknown.
        - per lesion ``mask_<X>`` (path relative to the root; "" none), ``annotated_<X>`` (bool), ``present_<X>``
          (int8: 1 present, 0 absent, -1 unknown). Annotated without a mask file means absent.
        - any further column is kept for tables by subgroup.
    """

    table: pd.DataFrame
    info: Mapping[str, SetInfo]
    roots: Mapping[str, Path]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    @property
    def groups(self) -> np.ndarray:
        """(n,) text: the unit of independence, ``set/patient``, or ``set/image`` where the patient is unknown."""
        table = self.table
        unit = table["patient"].where(table["patient"] != "", table["image"])
        return (table["set"] + "/" + unit).to_numpy(dtype=str)

    @property
    def further(self) -> list[str]:
        """Names of the columns beyond the standard ones, as the data set gave them; paths of masks are none."""
        standard = {*_TEXT, *_GRADES, "gradable", *_NUMBERS, *_LESION_COLUMNS}
        names = [str(name) for name in self.table]
        return [name for name in names if name not in standard and not name.startswith("mask_")]

    def take(self, rows: Sequence[int] | np.ndarray) -> Records:
        """The records at the given positions, renumbered from 0."""
        return replace(self, table=self.table.iloc[np.asarray(rows)].reset_index(drop=True))

    def named(self, name: str) -> Records:
        """The records of one set under another name, such as one world seen by another camera."""
        (info,) = self.info.values()
        (root,) = self.roots.values()
        return replace(
            self,
            table=self.table.assign(set=name),
            info={name: replace(info, name=name)},
            roots={name: root},
        )

    def path(self, row: int) -> Path:
        """Path of the photograph's file."""
        return self.roots[str(self.table.at[row, "set"])] / str(self.table.at[row, "image"])


def photograph_name(image: str) -> str:
    """File name without folder and suffix, in lower case: what one photograph is called in several sets.

    Example:
        >>> photograph_name("Base11/20051020_43808_0100_PP.tif")
        '20051020_43808_0100_pp'
    """
    return image.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0].lower()


def make_records(
    rows: Sequence[Mapping[str, Any]], info: SetInfo, root: Path, source: str, notes: Sequence[str] = ()
) -> Records:
    """Complete and check the rows that an adapter read.

    Args:
        rows: one mapping per photograph; ``image`` is required, any other column of :class:`Records` may be absent.
            ``masks`` may be given as a mapping lesion -> path. A lesion of ``info.lesions`` counts as annotated
            unless the row says otherwise.
        info: the set's description.
        root: the folder that paths are relative to.
        source: the file that the rows came from, named in errors.
        notes: what was left out or repaired while reading; carried into the report.

    Raises:
        RetinalabError: no rows, a photograph listed twice, a name that is no text, or a grade outside its scale.
    """
    if not rows:
        raise RetinalabError(
            f"{source} lists no photograph of set {info.name!r}. Give a file with at least one row."
        )
    flat = []
    for row in rows:
        entry = dict(row)
        masks = entry.pop("masks", {})
        for lesion in LESIONS:
            path = str(masks.get(lesion, entry.get(f"mask_{lesion}", "")))
            annotated = bool(entry.get(f"annotated_{lesion}", lesion in info.lesions))
            entry[f"mask_{lesion}"] = path
            entry[f"annotated_{lesion}"] = annotated
            entry.setdefault(f"present_{lesion}", (1 if path else 0) if annotated else -1)
        flat.append(entry)
    try:
        table = pd.DataFrame(flat)
    except UnicodeEncodeError as error:
        raise RetinalabError(
            f"{source} has a name that is no text in UTF-8 ({error.object[:80]!a}). Rename the file."
        ) from None
    table["set"] = info.name
    for column in _TEXT:
        table[column] = table[column].fillna("").astype(str) if column in table else ""
    for column in _NUMBERS:
        table[column] = table[column].astype("float64") if column in table else np.nan
    for column in _GRADES:
        table[column] = table[column].fillna(-1).astype("int64") if column in table else np.int64(-1)
    table["gradable"] = table["gradable"].astype(bool) if "gradable" in table else True
    for lesion in LESIONS:
        table[f"present_{lesion}"] = table[f"present_{lesion}"].astype("int8")
    twice = table["image"][table["image"].map(_plain).duplicated()]
    if len(twice):
        raise RetinalabError(
            f"{source} lists {twice.iloc[0]!r} twice ({len(twice)} such rows). Keep one row per photograph."
        )
    _check_grades(table, info, source)
    first = [*_TEXT, *_GRADES, "gradable", *_NUMBERS, *_LESION_COLUMNS]
    ordered = [*first, *(column for column in table.columns if column not in first)]
    return Records(table[ordered].reset_index(drop=True), {info.name: info}, {info.name: root}, tuple(notes))


def _plain(image: str) -> str:
    """A path in one spelling: several that lead to one file, here or on another system, are alike."""
    return unicodedata.normalize("NFC", posixpath.normpath(image))


def _check_grades(table: pd.DataFrame, info: SetInfo, source: str) -> None:
    for disease in _GRADES:
        grades = table[disease]
        size = SCALES[info.scales[disease]].size if disease in info.scales else 0
        wrong = table[(grades < -1) | (grades >= size)]
        if len(wrong):
            row = wrong.iloc[0]
            scale = (
                f"{info.scales[disease]} has 0-{size - 1}"
                if size
                else f"set {info.name!r} has no {disease} labels"
            )
            raise RetinalabError(
                f"{source}: {disease} grade {row[disease]} of {row['image']!r} is outside its scale ({scale}; "
                f"{len(wrong)} such rows). Correct the label or leave the cell empty."
            )
