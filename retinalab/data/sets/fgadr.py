"""FGADR: graded photographs with masks of six lesions, one of them none of the eight."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field

from retinalab.data.decode import read_mask
from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.fake import fake_photograph
from retinalab.data.sets.files import IMAGE_SUFFIXES, list_files, need_folder
from retinalab.data.sets.label_files import read_csv
from retinalab.data.sets.presence import look_into_masks, name_unknown
from retinalab.errors import RetinalabError
from retinalab.records import SetInfo

__all__ = ["Fgadr", "FgadrOptions"]

_SET, _IMAGES, _GRADES = "Seg-set", "Original_Images", "DR_Seg_Grading_Label.csv"
_FOLDERS: Mapping[str, str] = {
    "MA": "Microaneurysms_Masks",
    "HE": "Hemohedge_Masks",
    "EX": "HardExudate_Masks",
    "SE": "SoftExudate_Masks",
    "NV": "Neovascularization_Masks",
    "other": "IRMA_Masks",
}
_EVERYWHERE = ("MA", "HE", "EX", "SE")
_EMPTY_UP_TO = 127


class FgadrOptions(SetOptions):
    """Whether masks are looked into."""

    presence: bool = Field(
        default=True,
        description="read every mask once to tell which lesions a photograph shows, since an absent lesion has "
        "an empty mask; false: unknown in tables by photograph (the masks themselves are read either way)",
    )


class Fgadr(PhotographSet):
    """FGADR's Seg-set in its official layout.

    ``Seg-set/Original_Images/<id>.png``, a folder of masks per lesion (one is spelt ``Hemohedge_Masks``) and
    ``DR_Seg_Grading_Label.csv``, which has no header.

    Source: Zhou et al., "A Benchmark for Studying Diabetic Retinopathy: Segmentation, Grading, and
    Transferability", IEEE Transactions on Medical Imaging 40(3), 2021; https://csyizhou.github.io/FGADR/.
    Licence: non-commercial research, by agreement with the owners, no passing on. Scale: ICDR 0-4. Published:
    1,842 photographs with masks; DR 101/212/595/647/287. The patients are not named, so that each photograph
    is its own unit. The number behind the underscore of a file name is kept as ``batch``; readers of the set
    found grades 3 and 4 only behind 3, so what the batches differ in may tell the grade without a lesion.

    Annotated: MA, HE, EX and SE, each with a mask for every photograph, empty where the lesion is absent; NV
    and intraretinal microvascular abnormalities (IRMA), where a missing file means absent. IRMA is none of
    the eight lesions: its mask is kept as ``mask_other`` and ``irma`` says whether there is one. Vitreous and
    preretinal haemorrhage and fibrous proliferation are unknown, not absent. The masks' edges are
    anti-aliased: a pixel belongs to the lesion from 128 upwards.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="fgadr",
        title="FGADR (Seg-set)",
        source="https://csyizhou.github.io/FGADR/ (Zhou et al., IEEE TMI 40(3), 2021)",
        licence="non-commercial research, by agreement with the owners",
        scales={"dr": "icdr5"},
        lesions=(*_EVERYWHERE, "NV"),
        counts={
            "photographs": 1842,
            **{f"dr={grade}": n for grade, n in enumerate((101, 212, 595, 647, 287))},
        },
    )
    Options = FgadrOptions
    writes_empty_masks: ClassVar[bool] = True
    options: FgadrOptions

    def _labels(self) -> Labels:
        base = need_folder(self.root, _SET, "FGADR")
        for folder in (_IMAGES, *_FOLDERS.values()):
            need_folder(base, folder, "FGADR")
        path = base / _GRADES
        table = _read_grades(path)
        masks = {lesion: self._masks(lesion, list(table["name"])) for lesion in _FOLDERS}
        rows: list[dict[str, Any]] = []
        for name, grade in zip(table["name"], table["grade"], strict=True):
            found = {lesion: of[name] for lesion, of in masks.items() if name in of}
            other = found.pop("other", "")
            rows.append(
                {
                    "image": f"{_SET}/{_IMAGES}/{name}",
                    "dr": grade,
                    "masks": found,
                    "mask_other": other,
                    "irma": int(bool(other)),
                    "batch": name.rsplit(".", 1)[0].rpartition("_")[2],
                }
            )
        notes = []
        if self.options.presence:
            notes = look_into_masks(rows, self.root, _EMPTY_UP_TO)
        else:
            name_unknown(rows)
        return Labels(rows, str(path), tuple(notes))

    def _masks(self, lesion: str, names: list[str]) -> dict[str, str]:
        folder = Path(_SET) / _FOLDERS[lesion]
        files = {
            file: (folder / file).as_posix()
            for file in list_files(self.root / folder)
            if file.lower().endswith(IMAGE_SUFFIXES)
        }
        strange = sorted(set(files) - set(names))
        if strange:
            raise RetinalabError(
                f"{self.root / folder / strange[0]} belongs to no photograph of {_GRADES} ({len(strange)} such "
                "masks). Take the label file and the masks of one version."
            )
        if lesion in _EVERYWHERE:
            return {name: (folder / name).as_posix() for name in names}
        return files

    def _mask(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        return read_mask(path, size, above=_EMPTY_UP_TO)

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 10, seed: int = 0) -> Path:
        lines = []
        for index in range(photographs):
            name, grade = f"{index:04d}_{index % 3 + 1}.png", index % 5
            fake_photograph(folder / _SET / _IMAGES / name, seed + index, grade)
            for number, (lesion, place) in enumerate(_FOLDERS.items()):
                shown = grade > number // 2
                if shown or lesion in _EVERYWHERE:
                    _draw(folder / _SET / place / name, 24 + 8 * number if shown else None)
            lines.append(f"{name},{grade}\n")
        for place in _FOLDERS.values():
            (folder / _SET / place).mkdir(parents=True, exist_ok=True)
        (folder / _SET / _GRADES).write_text("".join(lines), encoding="utf-8")
        return folder


def _read_grades(path: Path) -> pd.DataFrame:
    """Columns ``name`` and ``grade`` of the label file, whose first row is data."""
    table = read_csv(path)
    if table.shape[1] != 2:
        raise RetinalabError(
            f"{path} has {table.shape[1]} columns ({', '.join(map(str, table.columns[:5]))}); the official file "
            "has two and no header: file name and grade. Fetch it again from its source."
        )
    cells = [tuple(map(str, table.columns)), *table.itertuples(index=False, name=None)]
    headed = not any(character.isdigit() for character in cells[0][1])
    cells = cells[headed:]
    for line, (name, grade) in enumerate(cells, start=1 + headed):
        if not re.fullmatch("[0-9]{1,9}", grade):
            raise RetinalabError(
                f"{path}, row {line}: the grade of {name!r} is {grade[:40]!r}, not a whole number. Correct the cell."
            )
    names = [name.replace("\\", "/").rsplit("/", 1)[-1] for name, _ in cells]
    names = [name if "." in name else f"{name}.png" for name in names]
    return pd.DataFrame({"name": names, "grade": [int(grade) for _, grade in cells]})


def _draw(path: Path, x: int | None, shape: tuple[int, int] = (72, 96)) -> None:
    """A mask as the owners export them: grey, with a soft edge; empty where ``x`` is None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(shape, np.uint8)
    if x is not None:
        cv2.circle(mask, (x, 36), 4, 60, cv2.FILLED)
        cv2.circle(mask, (x, 36), 3, 255, cv2.FILLED)
    Image.fromarray(mask).save(path)
