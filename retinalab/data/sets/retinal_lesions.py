"""Retinal-Lesions: EyePACS photographs, graded again and with masks of all eight lesions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from PIL import Image
from pydantic import Field

from retinalab.data.decode import decode, read_mask
from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.data.sets.files import IMAGE_SUFFIXES, list_files, need_folder
from retinalab.data.sets.label_files import integers, read_csv
from retinalab.data.sets.presence import look_into_masks, name_unknown
from retinalab.errors import RetinalabError, unknown
from retinalab.records import LESIONS, Records, SetInfo

__all__ = ["IGNORED", "MASK_NAMES", "RetinalLesions", "RetinalLesionsOptions"]

MASK_NAMES: Mapping[str, str] = {
    "MA": "microaneurysm",
    "HE": "retinal_hemorrhage",
    "EX": "hard_exudate",
    "SE": "cotton_wool_spots",
    "VH": "vitreous_hemorrhage",
    "PH": "preretinal_hemorrhage",
    "NV": "neovascularization",
    "FP": "fibrous_proliferation",
}
"""Lesion -> name of its mask without the suffix."""

IGNORED = 127
"""Grey value of what was drawn against the guideline: not to be judged."""

_PRESENT = 255
_IMAGES, _MASKS, _GRADES = "images_896x896", "lesion_segs_896x896", "dr_grades.csv"
_NAME, _KAGGLE, _OWN = "image id", "kaggle label", "our label"
_PATIENT_EYE = re.compile(r"(\d+)_(left|right)")


class RetinalLesionsOptions(SetOptions):
    """Which grades are read, and whether masks are looked into."""

    grades: Literal["own", "kaggle"] = Field(
        default="own", description="own: the authors' grades; kaggle: those of the EyePACS competition"
    )
    presence: bool = Field(
        default=True,
        description="read every mask once to tell a lesion from what is not to be judged; false: a lesion with "
        "a mask is unknown in tables by photograph (the masks themselves are read either way)",
    )


class RetinalLesions(PhotographSet):
    """Retinal-Lesions v20191227 in its official layout.

    ``images_896x896/<id>.jpg``, ``lesion_segs_896x896/<id>/<lesion>.png`` and ``dr_grades.csv``.

    Source: Wei et al., "Learn to Segment Retinal Lesions and Beyond", ICPR 2020;
    https://github.com/WeiQijie/retinal-lesions. Licence: none stated, given on request; the photographs are
    those of the EyePACS competition. Scale: ICDR 0-4, graded again by the authors' panel; the competition's
    grade is kept as ``kaggle_dr``, the authors' as ``own_dr``. Published: 1,593 photographs, DR
    166/337/929/99/62. Patient and eye follow from the EyePACS identifier; that there are 1,505 patients and
    17 photographs without any mask was counted by readers of the set, not by its authors.

    Annotated: all eight lesions on every photograph; a missing file means absent. Grey value 255 is the
    lesion, 127 a mark that does not follow the guideline and was left out of the authors' experiments: it is
    neither present nor absent, in a photograph with such marks alone too. The photographs were cropped to the
    field of view and resized by the authors.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="retinal_lesions",
        title="Retinal-Lesions (v20191227)",
        source="https://github.com/WeiQijie/retinal-lesions (Wei et al., ICPR 2020)",
        licence="none stated; on request to the owners",
        scales={"dr": "icdr5"},
        lesions=LESIONS,
        counts={
            "photographs": 1593, "patients": 1505, "lesions_marked=0": 17,
            **{f"dr={grade}": n for grade, n in enumerate((166, 337, 929, 99, 62))},
        },
        shares=("eyepacs", "liq_eyepacs"),
    )  # fmt: skip
    Options = RetinalLesionsOptions
    options: RetinalLesionsOptions

    def _labels(self) -> Labels:
        for folder in (_IMAGES, _MASKS):
            need_folder(self.root, folder, "Retinal-Lesions")
        path = self.root / _GRADES
        table = read_csv(path, (_NAME, _KAGGLE, _OWN))
        own, kaggle = integers(table, _OWN, path), integers(table, _KAGGLE, path)
        chosen = own if self.options.grades == "own" else kaggle
        names = table[_NAME].str.replace(r"\.jpe?g$", "", regex=True)
        persons = [_patient(name, path) for name in names]
        masks = self._masks(set(names))
        rows: list[dict[str, Any]] = [
            {
                "image": f"{_IMAGES}/{name}.jpg",
                **person,
                "dr": grade,
                "masks": masks.get(name, {}),
                "own_dr": ours,
                "kaggle_dr": theirs,
                "lesions_marked": len(masks.get(name, {})),
            }
            for name, person, grade, ours, theirs in zip(names, persons, chosen, own, kaggle, strict=True)
        ]
        notes = []
        if self.options.presence:
            notes = look_into_masks(rows, self.root, IGNORED, doubtful=True)
        else:
            name_unknown(rows)
        return Labels(rows, str(path), tuple(notes), info=self._described())

    def _described(self) -> SetInfo:
        if self.options.grades == "own":
            return self.info
        counts = {what: n for what, n in self.info.counts.items() if not what.startswith("dr=")}
        return replace(self.info, counts=counts)

    def _masks(self, names: set[str]) -> dict[str, dict[str, str]]:
        lesions = {name: lesion for lesion, name in MASK_NAMES.items()}
        found: dict[str, dict[str, str]] = {}
        folders = sorted(entry.name for entry in (self.root / _MASKS).iterdir() if entry.is_dir())
        strange = [folder for folder in folders if folder not in names]
        if strange:
            raise RetinalabError(
                f"{self.root / _MASKS / strange[0]} belongs to no photograph of {_GRADES} ({len(strange)} such "
                "folders). Take the label file and the masks of one version."
            )
        for folder in folders:
            for file in list_files(self.root / _MASKS / folder):
                stem, _, suffix = file.rpartition(".")
                if f".{suffix.lower()}" not in IMAGE_SUFFIXES:
                    continue
                if stem not in lesions:
                    raise unknown(
                        "lesion mask", stem, lesions, f"{self.root / _MASKS / folder} must hold no other."
                    )
                found.setdefault(folder, {})[lesions[stem]] = f"{_MASKS}/{folder}/{file}"
        return found

    def ignored(
        self, records: Records, row: int, shape: tuple[int, ...] | None = None
    ) -> dict[str, np.ndarray]:
        """Where a mask holds the grey value that is neither present nor absent."""
        entry = records.table.iloc[row]
        paths = {lesion: entry[f"mask_{lesion}"] for lesion in LESIONS if entry[f"mask_{lesion}"]}
        if not paths:
            return {}
        size = (shape[0], shape[1]) if shape else self.size(records, row)
        root = records.roots[entry["set"]]
        unsure = {lesion: _levels(root / path, size) == IGNORED for lesion, path in paths.items()}
        return {lesion: where for lesion, where in unsure.items() if where.any()}

    def _mask(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        return np.asarray(_levels(path, size) == _PRESENT)

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 12, seed: int = 0) -> Path:
        rows = []
        for index in range(photographs):
            name, grade = f"{10003 + index // 2}_{'right' if index % 2 else 'left'}", index % 5
            fake_photograph(folder / _IMAGES / f"{name}.jpg", seed + index, grade, (80, 80))
            for number, lesion in enumerate(LESIONS):
                if grade > number // 2:
                    values = ((_PRESENT,), (_PRESENT, IGNORED), (IGNORED,))[(index + number) % 3]
                    _draw(folder / _MASKS / name / f"{MASK_NAMES[lesion]}.png", 16 + 6 * number, values)
            rows.append({_NAME: name, _KAGGLE: (grade + index // 5) % 5, _OWN: grade})
        (folder / _MASKS).mkdir(parents=True, exist_ok=True)
        write_csv(folder / _GRADES, rows)
        return folder


def _patient(name: str, path: Path) -> dict[str, str]:
    found = _PATIENT_EYE.fullmatch(name)
    if found is None:
        raise RetinalabError(
            f"{path}: {_NAME} {name!r} is no EyePACS identifier such as '10003_left'. Correct the row."
        )
    return {"patient": found[1], "eye": found[2]}


def _levels(path: Path, size: tuple[int, int]) -> np.ndarray:
    read_mask(path, size)  # refuses a mask of another size
    levels: np.ndarray = decode(path).max(axis=2)
    strange = (levels != 0) & (levels != IGNORED) & (levels != _PRESENT)
    if strange.any():
        raise RetinalabError(
            f"{path} has the value {levels[strange][0]} in {strange.sum()} pixels where the official masks have "
            f"0, {IGNORED} and {_PRESENT} only. Take the official files, not resized ones."
        )
    return levels


def _draw(path: Path, x: int, values: tuple[int, ...], shape: tuple[int, int] = (80, 80)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(shape, np.uint8)
    for number, value in enumerate(values):
        cv2.circle(mask, (x, 34 + 12 * number), 3, value, cv2.FILLED)
    Image.fromarray(mask).save(path)
