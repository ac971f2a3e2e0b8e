"""One folder per grade."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from retinalab.data.sets.base import OWN, Labels, PhotographSet, SetOptions
from retinalab.data.sets.fake import fake_photograph
from retinalab.data.sets.files import IMAGE_SUFFIXES, list_files
from retinalab.errors import RetinalabError, unknown
from retinalab.protocol import SCALES
from retinalab.records import PARTS, SetInfo

__all__ = ["Folders", "FoldersOptions"]


class FoldersOptions(SetOptions):
    """What the folders mean."""

    disease: Literal["dr", "dme"] = Field(default="dr", description="the disease that the folders grade")
    scale: str = Field(default="icdr5", description="its grade scale")
    grades: dict[str, int] = Field(
        default={}, description="folder -> grade, where folders are not named 0, 1, …"
    )
    name: str | None = Field(
        default=None, description="name of the set in results; the folder's name where empty"
    )


class Folders(PhotographSet):
    """Photographs sorted into one folder per grade (``0``, ``1``, …), or into such folders within ``train``,
    ``val`` and ``test``. The patients are not named. Source, licence and published counts are the user's to
    know.
    """

    info: ClassVar[SetInfo] = SetInfo("folders", "One folder per grade", OWN, "not stated", {"dr": "icdr5"})
    Options = FoldersOptions
    options: FoldersOptions

    def _labels(self) -> Labels:
        options = self.options
        if options.scale not in SCALES:
            raise unknown("grade scale", options.scale, SCALES, "Correct the option 'scale'.")
        parts = [part for part in PARTS if (self.root / part).is_dir()]
        rows: list[dict[str, Any]] = []
        for part in parts or [""]:
            for name, grade in self._graded(self.root / part).items():
                place = f"{part}/{name}" if part else name
                images = [
                    file for file in list_files(self.root / place) if file.lower().endswith(IMAGE_SUFFIXES)
                ]
                rows += [
                    {"image": f"{place}/{file}", options.disease: grade, "part": part} for file in images
                ]
        name = options.name or re.sub(r"\W+", "_", self.root.resolve().name).lower()
        info = SetInfo(
            name, self.info.title, self.info.source, self.info.licence, {options.disease: options.scale}
        )
        return Labels(rows, str(self.root), info=info)

    def _graded(self, folder: Path) -> dict[str, int]:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        named = dict(self.options.grades) or {
            name: int(name) for name in names if re.fullmatch("[0-9]{1,9}", name)
        }
        strange = [name for name in names if name not in named and not name.startswith(".")]
        if strange:
            raise unknown(
                "grade folder", strange[0], named, f"Say what it means: grades={{{strange[0]}: 0, …}}."
            )
        if not named:
            raise RetinalabError(
                f"{folder} holds no folder per grade (0, 1, …). Name them with grades={{folder: grade}}."
            )
        return {name: grade for name, grade in named.items() if name in names}

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 12, seed: int = 0) -> Path:
        for index in range(photographs):
            fake_photograph(folder / str(index % 5) / f"{index:03d}.png", seed + index, index % 5)
        return folder
