"""Any CSV with one row per photograph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from retinalab.data.decode import image_size
from retinalab.data.sets.base import OWN, Labels, PhotographSet, SetOptions
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.data.sets.files import check_paths, need
from retinalab.data.sets.label_files import as_rows, integers, read_csv
from retinalab.errors import RetinalabError, unknown
from retinalab.protocol import SCALES
from retinalab.records import LESIONS, PARTS, SetInfo

__all__ = ["Table", "TableOptions"]

_FAMILIAR: Mapping[str, str] = {
    "split": "part",
    "maculopathy": "dme",
    "exudates": "mask_EX",
    "other_bright": "mask_other",
}
_DISC = ("disc_row", "disc_col", "full_width", "full_height")
_YES_NO = {"true": 1, "yes": 1, "True": 1, "Yes": 1, "false": 0, "no": 0, "False": 0, "No": 0}
_NUMBERS = ("width", "height", "fovea_x", "fovea_y", "disc_x", "disc_y")


class TableOptions(SetOptions):
    """How the columns of the file become the columns of the records."""

    file: str = Field(
        default="records.csv", description="the label file: a whole path, or one from the folder"
    )
    name: str | None = Field(
        default=None, description="name of the set in results; the folder's name where empty"
    )
    columns: dict[str, str] = Field(default={}, description="record column -> column of the file")
    scales: dict[str, str] = Field(
        default={}, description="disease -> grade scale (icdr5, messidor4, risk3, binary …)"
    )
    masks: dict[str, str] = Field(default={}, description="lesion -> column that holds the mask's path")
    folder: str = Field(default="", description="put before every image path")
    suffix: str = Field(
        default="", description="put behind every image path, as where a file lists names only"
    )
    patient: str | None = Field(
        default=None, description="regular expression whose first group, in the image path, is the patient"
    )
    parts: dict[str, str] = Field(default={}, description="word of the file -> train, val or test")
    lesions: list[str] | None = Field(
        default=None,
        description="lesions annotated on every photograph; those with a mask column where empty",
    )


class Table(PhotographSet):
    """Photographs listed in a CSV file.

    Columns named like those of :class:`retinalab.records.Records` need no mapping, nor do ``split`` (the
    official part), ``maculopathy`` (``dme`` on the scale ``binary``), ``exudates`` (masks of EX),
    ``other_bright`` (masks kept as ``mask_other``, none of the eight lesions) and ``disc_row, disc_col`` in
    pixels of ``full_width`` x ``full_height``, which are rescaled to the file's size. Every other column is
    kept under its name. Source, licence and published counts are the user's to know.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="table",
        title="A table of photographs",
        source=OWN,
        licence="not stated",
        scales={"dr": "icdr5", "dme": "risk3"},
    )
    binary_masks: ClassVar[bool] = True
    Options = TableOptions
    options: TableOptions

    def _labels(self) -> Labels:
        path = self.root / self.options.file
        need(
            path,
            f"complete the copy, or set options.file, a whole path or one from the folder {str(self.root)!r}",
        )
        original = read_csv(path)
        table = self._renamed(original, path)
        info = self._described(original, table)
        for disease in ("dr", "dme"):
            if disease in table:
                table[disease] = integers(table, disease, path, named=self.options.columns.get(disease))
        self._complete(table, path, info)
        return Labels(as_rows(table), str(path), info=info)

    def _renamed(self, original: pd.DataFrame, path: Path) -> pd.DataFrame:
        wanted = dict(self.options.columns)
        wanted.update({f"mask_{lesion}": column for lesion, column in self.options.masks.items()})
        for ours, theirs in _familiar(original, wanted).items():
            wanted.setdefault(ours, theirs)
        for column in wanted.values():
            if column not in original.columns:
                raise unknown(
                    "column",
                    column,
                    original.columns,
                    f"{path} must have it.",
                    label=f"Columns of {path.name}",
                )
        if "image" not in wanted and "image" not in original.columns:
            raise unknown(
                "column", "image", original.columns,
                f"Name the column of {path} that holds the file names: columns.image=NAME.", label=f"Columns "
                f"of {path.name}",
            )  # fmt: skip
        _check_lesion_columns(original, set(wanted.values()), path)
        kept = original.drop(columns=[c for c in original.columns if c in wanted.values() or c in wanted])
        return pd.concat([kept, original[list(wanted.values())].set_axis(list(wanted), axis=1)], axis=1)

    def _described(self, original: pd.DataFrame, table: pd.DataFrame) -> SetInfo:
        scales = {"dr": "icdr5", "dme": "risk3"}
        if "maculopathy" in original and self.options.columns.get("dme", "maculopathy") == "maculopathy":
            scales["dme"] = "binary"
        scales.update(self.options.scales)
        for disease, scale in scales.items():
            if scale not in SCALES:
                raise unknown("grade scale", scale, SCALES, f"Correct scales.{disease}.")
        for lesion in [*self.options.masks, *(self.options.lesions or [])]:
            if lesion not in (*LESIONS, "other"):
                raise unknown("lesion", lesion, [*LESIONS, "other"])
        lesions = self.options.lesions
        if lesions is None:
            lesions = [lesion for lesion in LESIONS if f"mask_{lesion}" in table]
        name = self.options.name or re.sub(r"\W+", "_", self.root.resolve().name).lower()
        return self._info(name, {k: v for k, v in scales.items() if k in table}, tuple(lesions))

    def _info(self, name: str, scales: Mapping[str, str], lesions: tuple[str, ...]) -> SetInfo:
        return SetInfo(
            name,
            f"{self.info.title} ({self.options.file})",
            self.info.source,
            self.info.licence,
            scales,
            lesions,
        )

    def _complete(self, table: pd.DataFrame, path: Path, info: SetInfo) -> None:
        options = self.options
        prefix = f"{options.folder.rstrip('/')}/" if options.folder else ""
        table["image"] = prefix + table["image"].str.replace("\\", "/") + options.suffix
        check_paths(table["image"], self.root, str(path))
        for column in [name for name in map(str, table.columns) if name.startswith("mask_")]:
            table[column] = table[column].str.replace("\\", "/")
        if options.patient is not None:
            table["patient"] = _patients(table["image"], options.patient)
        if "part" in table:
            table["part"] = table["part"].replace(dict(options.parts))
            strange = table.loc[~table["part"].isin([*PARTS, ""]), "part"]
            if len(strange):
                raise unknown(
                    "part", strange.iloc[0], PARTS, f"{path}: map it with parts.{strange.iloc[0]}=train."
                )
        if "gradable" in table:
            table["gradable"] = integers(table, "gradable", path, {**_YES_NO, "": 1}).astype(bool)
        for lesion in LESIONS:
            if (known := f"annotated_{lesion}") in table:
                default = int(lesion in info.lesions)
                table[known] = integers(table, known, path, {**_YES_NO, "": default}).astype(bool)
            if (seen := f"present_{lesion}") in table:
                table[seen] = integers(table, seen, path, _YES_NO).clip(-1, 1)
        for column in _NUMBERS:
            if column in table:
                table[column] = _numbers(table[column], path)
        if set(_DISC) <= set(table.columns):
            _rescale_disc(table, self.root)

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 12, seed: int = 0) -> Path:
        rows: list[dict[str, Any]] = []
        for index in range(photographs):
            image = f"images/{index:03d}.jpg"
            grade = index % 5
            fake_photograph(folder / image, seed + index, grade)
            eye = "left" if index % 2 else "right"
            part = "test" if index % 5 == 4 else "train"
            rows.append(
                {
                    "image": image,
                    "patient": index // 2,
                    "eye": eye,
                    "dr": index // 2 % 5,
                    "dme": index % 3,
                    "split": part,
                }
            )
        for row in rows:
            row["split"] = "test" if row["patient"] % 4 == 3 else "train"
        write_csv(folder / "records.csv", rows)
        return folder


def _familiar(original: pd.DataFrame, wanted: Mapping[str, str]) -> dict[str, str]:
    used = set(wanted.values())
    found = {}
    for theirs, ours in _FAMILIAR.items():
        if theirs in original.columns and ours not in original.columns and theirs not in used:
            found[ours] = theirs
    return found


def _check_lesion_columns(original: pd.DataFrame, renamed: set[str], path: Path) -> None:
    """Refuse a misspelt lesion's column, which would be kept aside like any other and teach nothing."""
    known = (*LESIONS, "other")
    for column in map(str, original.columns):
        kind, _, lesion = column.partition("_")
        if (
            kind in ("mask", "annotated", "present")
            and lesion
            and lesion not in known
            and column not in renamed
        ):
            right = (
                f"Rename it {kind}_{lesion.upper()}"
                if lesion.upper() in known
                else "Rename it after one of them"
            )
            raise unknown(
                "lesion",
                lesion,
                known,
                f"{path} has it in column {column!r}. {right}, or otherwise if it is no lesion.",
            )


def _patients(images: pd.Series, pattern: str) -> pd.Series:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise RetinalabError(f"patient={pattern!r} is no regular expression ({error}).") from None
    if compiled.groups < 1:
        raise RetinalabError(
            f"patient={pattern!r} has no group. Put brackets round the part that names the patient."
        )
    found = images.str.extract(compiled.pattern, expand=True)[0]
    if found.isna().any():
        raise RetinalabError(
            f"patient={pattern!r} does not match {images[found.isna()].iloc[0]!r}. Correct the expression."
        )
    return found


def _numbers(cells: pd.Series, path: Path) -> pd.Series:
    numbers = pd.to_numeric(cells.mask(cells == ""), errors="coerce")
    wrong = numbers.isna() & ~cells.str.lower().isin(["", "na", "nan"])
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise RetinalabError(
            f"{path}, row {row + 2}: {cells.name} is {cells.iloc[row]!r}, not a number ({int(wrong.sum())} such rows). "
            "Correct the cell or leave it empty."
        )
    return numbers


def _rescale_disc(table: pd.DataFrame, root: Path) -> None:
    sizes = np.array([image_size(root / image) for image in table["image"]], dtype=np.float64)
    table["height"], table["width"] = sizes[:, 0], sizes[:, 1]
    numbers = {name: pd.to_numeric(table[name].mask(table[name] == "")) for name in _DISC}
    table["disc_x"] = (numbers["disc_col"] + 0.5) * sizes[:, 1] / numbers["full_width"] - 0.5
    table["disc_y"] = (numbers["disc_row"] + 0.5) * sizes[:, 0] / numbers["full_height"] - 0.5
