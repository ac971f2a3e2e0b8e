"""LIQ-EyePACS: photographs of EyePACS chosen for their low quality and graded again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd
from pydantic import Field

from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.eyepacs import FOLDERS, EyePacs, patients_and_eyes
from retinalab.data.sets.fake import write_csv
from retinalab.data.sets.files import list_files
from retinalab.data.sets.kaggle import bare_names, locate
from retinalab.data.sets.label_files import as_rows, integers, read_csv
from retinalab.errors import RetinalabError, unknown
from retinalab.records import SetInfo

__all__ = ["LiqEyePacs", "LiqEyePacsOptions"]

_HEADERS: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "image_name", "image_id", "name", "file", "file_name", "filename", "id", "id_code"),
    "dr": ("dr", "dr_grade", "dr_level", "grade", "level", "label", "diagnosis", "retinopathy_grade"),
    "quality": ("quality", "image_quality", "quality_label"),
}
_WITHOUT_HEADER = r"^\d+_(?:left|right)(?:\.\w+)?$"


class LiqEyePacsOptions(SetOptions):
    """Where the owners' list lies and what its columns are called."""

    list: str = Field(
        default="liq_eyepacs.csv",
        description="the owners' list of photographs and grades; absolute, or relative to the folder of EyePACS",
    )
    columns: dict[str, str] = Field(
        default={}, description="image, dr or quality -> column of the list, where its name is not recognised"
    )
    labels_only: bool = Field(default=False, description="read the list where the photographs are absent")


class LiqEyePacs(PhotographSet):
    """LIQ-EyePACS: a list of names and grades, and a copy of EyePACS that holds the photographs.

    Source: Yang et al., "Robust collaborative learning of patch-level and image-level annotations for diabetic
    retinopathy grading from fundus image", IEEE Transactions on Cybernetics, 2021, section IV-A; its authors give
    the list on request. Licence: of the list, the owners' to state; of the photographs, EyePACS's. Scale: ICDR
    0-4, graded again by the authors' ophthalmologists because EyePACS has doubtful labels; the photographs are
    over- or underexposed, out of focus or otherwise of low quality. Published: DR 7286/675/1507/247/285, 10,000
    photographs. Patient and eye are in the names. Macular edema and lesions are not annotated. The photographs
    come from both parts of EyePACS, so training on EyePACS or Retinal-Lesions and testing here tests on training
    photographs.

    The list is a CSV file. Headers are compared in lower case, blanks as ``_``: the photograph is ``image``,
    ``image_name``, ``image_id``, ``name``, ``file``, ``file_name``, ``filename``, ``id`` or ``id_code`` (with or
    without folder and suffix), the grade ``dr``, ``dr_grade``, ``dr_level``, ``grade``, ``level``, ``label``,
    ``diagnosis`` or ``retinopathy_grade``, and the quality, if any, ``quality``, ``image_quality`` or
    ``quality_label``. A list of two columns may lack a header.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="liq_eyepacs",
        title="LIQ-EyePACS",
        source="the authors of Yang et al., IEEE Transactions on Cybernetics, 2021, doi 10.1109/TCYB.2021.3062638 "
        "(the list, on request) and https://www.kaggle.com/c/diabetic-retinopathy-detection (the photographs)",
        licence="the list as its owners state on request; the photographs under the competition's rules",
        scales={"dr": "icdr5"},
        counts={
            "photographs": 10000,
            **{f"dr={grade}": n for grade, n in enumerate((7286, 675, 1507, 247, 285))},
        },
        shares=("eyepacs", "retinal_lesions"),
    )
    Options = LiqEyePacsOptions
    options: LiqEyePacsOptions

    def _labels(self) -> Labels:
        path = self.root / Path(self.options.list).expanduser()
        if not path.is_file():
            raise self._without_list(path)
        table = _with_header(read_csv(path), path)
        columns = self._columns(table, path)
        names = bare_names(table[columns["image"]])
        frame = patients_and_eyes(names, path)
        frame["dr"] = integers(table, columns["dr"], path)
        if "quality" in columns:
            frame["quality"] = table[columns["quality"]]
        folders = (*FOLDERS["train"][:-1], *FOLDERS["test"])
        if self.options.labels_only:
            frame["image"] = "train/" + names + ".jpeg"
        else:
            frame["image"] = locate(self.root, names, folders, ".jpeg", path)
        unread = [str(column) for column in table if column not in columns.values()]
        notes = (f"columns of {path.name} that were not read: {', '.join(unread)}",) if unread else ()
        return Labels(as_rows(frame), str(path), notes, files=not self.options.labels_only)

    def _columns(self, table: pd.DataFrame, path: Path) -> dict[str, str]:
        for ours, theirs in self.options.columns.items():
            if ours not in _HEADERS:
                raise unknown("column", ours, _HEADERS, "Correct the option 'columns'.")
            if theirs not in table:
                raise unknown(
                    "column", theirs, table.columns, f"Correct columns.{ours}.", f"Columns of {path.name}"
                )
        found = {ours: self._column(table, ours, path) for ours in _HEADERS}
        return {ours: theirs for ours, theirs in found.items() if theirs is not None}

    def _column(self, table: pd.DataFrame, ours: str, path: Path) -> str | None:
        if ours in self.options.columns:
            return self.options.columns[ours]
        matching = [str(column) for column in table if _plain(column) in _HEADERS[ours]]
        if len(matching) > 1:
            raise RetinalabError(
                f"{path} has several columns that may be {ours}: {', '.join(matching)}. Say which it is: "
                f"columns.{ours}=NAME."
            )
        if not matching and ours != "quality":
            raise unknown(
                "column",
                ours,
                table.columns,
                f"Say which it is: columns.{ours}=NAME.",
                f"Columns of {path.name}",
            )
        return matching[0] if matching else None

    def _without_list(self, path: Path) -> RetinalabError:
        lists = [name for name in list_files(path.parent) if name.lower().endswith((".csv", ".txt"))]
        there = f" (there: {', '.join(repr(name) for name in lists[:5])})" if lists else ""
        return RetinalabError(
            f"No list of LIQ-EyePACS at {path}{there}. Its owners give it on request "
            f"({self.info.source}); say where it lies with list=PATH."
        )

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 24, seed: int = 0) -> Path:
        EyePacs.write_fake(folder, photographs, seed)
        names = [file.rsplit(".", 1)[0] for part in ("train", "test") for file in list_files(folder / part)]
        chosen = [name for index, name in enumerate(names) if index % 4 != 3]
        rows = [
            {"image": name, "grade": index % 5, "quality": "low" if index % 3 else "usable"}
            for index, name in enumerate(chosen)
        ]
        write_csv(folder / "liq_eyepacs.csv", rows)
        return folder


def _plain(header: object) -> str:
    return str(header).strip().lower().replace(" ", "_").replace("-", "_")


def _with_header(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table, its first row taken back out of the header where the list has none."""
    first = table.columns[:1].to_series()
    if not first.str.contains(_WITHOUT_HEADER).any():
        return table
    if table.shape[1] != 2:
        raise RetinalabError(
            f"{path} has no header and {table.shape[1]} columns. Put a line such as 'image,grade' above it."
        )
    top = pd.DataFrame([list(table.columns)])
    rows = pd.concat([top, table.set_axis([0, 1], axis=1)], ignore_index=True)
    return rows.set_axis(["image", "grade"], axis=1)
