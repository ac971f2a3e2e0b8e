"""IDRiD: the Indian Diabetic Retinopathy Image Dataset, its grading and its segmentation part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from retinalab.data.decode import read_mask
from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.fake import fake_mask, fake_photograph, write_csv
from retinalab.data.sets.files import IMAGE_SUFFIXES, list_files, need_folder
from retinalab.data.sets.label_files import integers, read_csv
from retinalab.errors import RetinalabError
from retinalab.records import SetInfo

__all__ = ["Idrid", "IdridOptions"]

_PARTS = {"train": "a. Training Set", "test": "b. Testing Set"}
_LABEL_FILES = {
    "train": "a. IDRiD_Disease Grading_Training Labels.csv",
    "test": "b. IDRiD_Disease Grading_Testing Labels.csv",
}
_LESION_FOLDERS = {
    "MA": "1. Microaneurysms",
    "HE": "2. Haemorrhages",
    "EX": "3. Hard Exudates",
    "SE": "4. Soft Exudates",
}
_GRADING, _SEGMENTATION = "B. Disease Grading", "A. Segmentation"
_IMAGES, _LABELS, _MASKS = "1. Original Images", "2. Groundtruths", "2. All Segmentation Groundtruths"
_NAME, _DR, _DME = "Image name", "Retinopathy grade", "Risk of macular edema"
_FAKE_SHAPE = (108, 144)
"""Of drawn photographs: their field of view holds a window of 68 pixels with room to spare."""


class IdridOptions(SetOptions):
    """Which of the two parts is read."""

    task: Literal["grading", "segmentation"] = Field(default="grading", description="which part of the set")
    labels_only: bool = Field(
        default=False, description="read the grading labels where the photographs are absent"
    )
    disc: bool = Field(
        default=True, description="take the disc's centre from its mask (reads every disc mask once)"
    )


class Idrid(PhotographSet):
    """IDRiD in its official layout.

    Source: Porwal et al., "Indian Diabetic Retinopathy Image Dataset (IDRiD)", Data 3(3):25, 2018, IEEE
    DataPort. Licence: CC BY 4.0. Scales: DR on ICDR 0-4, risk of macular edema 0-2. Published: grading 413 +
    103 photographs, segmentation 54 + 27 with MA, HE, EX, SE and the optic disc; a lesion without a mask file
    is absent. The patients are not named. Identifiers start again in each part and mean other photographs in
    the segmentation part, so ``identifier`` carries its part in front.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="idrid",
        title="Indian Diabetic Retinopathy Image Dataset",
        source="https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid "
        "(Porwal et al., Data 3(3):25, 2018)",
        licence="CC BY 4.0",
        scales={"dr": "icdr5", "dme": "risk3"},
        counts={
            "photographs": 516, "train": 413, "test": 103,
            **{f"train dr={grade}": n for grade, n in enumerate((134, 20, 136, 74, 49))},
            **{f"test dr={grade}": n for grade, n in enumerate((34, 5, 32, 19, 13))},
            **{f"train dme={grade}": n for grade, n in enumerate((177, 41, 195))},
            **{f"test dme={grade}": n for grade, n in enumerate((45, 10, 48))},
        },
    )  # fmt: skip
    segmentation_info: ClassVar[SetInfo] = replace(
        info,
        scales={},
        lesions=tuple(_LESION_FOLDERS),
        counts={
            "photographs": 81, "train": 54, "test": 27,
            **{f"present_{lesion}=1": n for lesion, n in zip(_LESION_FOLDERS, (81, 80, 81, 40), strict=True)},
        },
    )  # fmt: skip
    binary_masks: ClassVar[bool] = True
    Options = IdridOptions
    options: IdridOptions

    def _labels(self) -> Labels:
        if self.options.task == "segmentation":
            return self._segmentation(self._within(_SEGMENTATION, _MASKS))
        return self._grading(self._within(_GRADING, _LABELS))

    def _within(self, folder: str, marker: str) -> Path:
        if (self.root / marker).is_dir():
            return Path()
        need_folder(self.root, f"{folder}/{marker}", "IDRiD")
        return Path(folder)

    def _grading(self, base: Path) -> Labels:
        rows = []
        for part, file in _LABEL_FILES.items():
            path = self.root / base / _LABELS / file
            table = read_csv(path, (_NAME, _DR, _DME))
            grades = (integers(table, _DR, path), integers(table, _DME, path))
            for name, dr, dme in zip(table[_NAME], *grades, strict=True):
                image = (base / _IMAGES / _PARTS[part] / f"{name}.jpg").as_posix()
                rows.append(
                    {"image": image, "identifier": f"{part}/{name}", "part": part, "dr": dr, "dme": dme}
                )
        return Labels(rows, str(self.root / base / _LABELS), files=not self.options.labels_only)

    def _segmentation(self, base: Path) -> Labels:
        rows = [row for part in _PARTS for row in self._photographs(base, part)]
        if not rows:
            raise RetinalabError(f"No photograph in {self.root / base / _IMAGES}. Complete the copy.")
        return Labels(rows, str(self.root / base / _MASKS), info=self.segmentation_info)

    def _photographs(self, base: Path, part: str) -> Iterator[dict[str, Any]]:
        images = _images(self.root / base / _IMAGES / _PARTS[part])
        if (
            images
        ):  # a lesion without a mask file is absent, so a folder that is missing must not pass for that
            within = need_folder(self.root / base / _MASKS, _PARTS[part], "IDRiD")
            for folder in _LESION_FOLDERS.values():
                need_folder(within, folder, "IDRiD")
        folders = {**_LESION_FOLDERS, "OD": "5. Optic Disc"}
        masks = {}
        for lesion, folder in folders.items():
            place = base / _MASKS / _PARTS[part] / folder
            for name in _images(self.root / place):
                masks[name.rsplit(".", 1)[0]] = (lesion, (place / name).as_posix())
        for name in images:
            stem = name.rsplit(".", 1)[0]
            found = dict(masks.pop(f"{stem}_{lesion}", ("", "")) for lesion in folders)
            found.pop("", None)
            disc = found.pop("OD", None)
            row = {"image": (base / _IMAGES / _PARTS[part] / name).as_posix(), "identifier": f"{part}/{stem}"}
            yield {
                **row,
                "part": part,
                "masks": found,
                **(self._disc(disc) if disc and self.options.disc else {}),
            }
        for _, path in masks.values():
            raise RetinalabError(
                f"{self.root / path} belongs to no photograph ({len(masks)} such masks). Complete the copy."
            )

    def _disc(self, path: str) -> dict[str, float]:
        moments = cv2.moments(read_mask(self.root / path).view(np.uint8), binaryImage=True)
        area = moments["m00"]
        return {"disc_x": moments["m10"] / area, "disc_y": moments["m01"] / area} if area else {}

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 12, seed: int = 0) -> Path:
        trained = photographs * 3 // 4
        grading = {"train": range(1, trained + 1), "test": range(1, photographs - trained + 1)}
        for part, numbers in grading.items():
            rows = []
            for number in numbers:
                name, grade = f"IDRiD_{number:03d}", number % 5
                drawn = seed + number + (len(grading["train"]) if part == "test" else 0)
                path = folder / _GRADING / _IMAGES / _PARTS[part] / f"{name}.jpg"
                fake_photograph(path, drawn, grade, _FAKE_SHAPE)
                rows.append({_NAME: name, _DR: grade, f"{_DME} ": number % 3, "": ""})
            write_csv(folder / _GRADING / _LABELS / _LABEL_FILES[part], rows)
        for part, numbers in {"train": range(1, 5), "test": range(5, 7)}.items():
            for number in numbers:
                name = f"IDRiD_{number:02d}"
                path = folder / _SEGMENTATION / _IMAGES / _PARTS[part] / f"{name}.jpg"
                fake_photograph(path, seed + 1000 + number, 2, _FAKE_SHAPE)
                place = folder / _SEGMENTATION / _MASKS / _PARTS[part]
                for row, (lesion, subfolder) in enumerate(_LESION_FOLDERS.items()):
                    if lesion != "SE" or number % 2:
                        path = place / subfolder / f"{name}_{lesion}.tif"
                        fake_mask(path, (60 + number, 45 + 13 * row), 4, _FAKE_SHAPE)
                fake_mask(place / "5. Optic Disc" / f"{name}_OD.tif", (90, 54), 6, _FAKE_SHAPE)
        return folder


def _images(folder: Path) -> list[str]:
    names = list_files(folder)
    return [name for name in names if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")]
