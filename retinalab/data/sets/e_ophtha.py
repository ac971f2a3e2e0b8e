"""e-ophtha: photographs of a screening network with masks of exudates or of microaneurysms."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.fake import fake_mask, fake_photograph
from retinalab.data.sets.files import IMAGE_SUFFIXES, list_files, need_folder
from retinalab.errors import RetinalabError
from retinalab.records import SetInfo

__all__ = ["EOphtha", "EOphthaOptions"]

_TITLE = "e-ophtha"
_PARTS = ("EX", "MA")
_COUNTS = {"EX": (47, 35), "MA": (148, 233)}
_FOLDER = "e_optha_{}"
_EXAMINATION = re.compile(r"E\d+", re.IGNORECASE)


class EOphthaOptions(SetOptions):
    """Which of the two parts is read."""

    part: Literal["EX", "MA", "both"] = Field(
        default="both", description="EX: exudates, MA: microaneurysms, both: the two as one set"
    )


class EOphtha(PhotographSet):
    """e-ophtha in its official layout (whose folders are spelt ``e_optha``).

    ``e_optha_EX/EX/E…/<id>.jpg`` with masks ``e_optha_EX/Annotation_EX/E…/<id>_EX.png``,
    ``e_optha_MA/MA/E…/<id>.jpg`` with masks ``e_optha_MA/Annotation_MA/E…/<id>.png``, and
    ``healthy/E…/<id>.jpg`` in both; the suffixes vary in case and kind.

    Source: Decencière et al., "TeleOphta: Machine learning and image processing methods for teleophthalmology",
    IRBM 34(2), 2013; https://www.adcis.net/en/third-party/e-ophtha/. Licence: research and teaching, by request
    to the owners. No grades. Published: 47 photographs with exudates and 35 healthy, 148 with microaneurysms
    and 233 healthy.

    Annotated: EX on the photographs of the EX part, MA on those of the MA part, absent on the healthy ones of
    that part; every other lesion is unknown, not absent, also on a photograph called healthy. ``subset`` says
    which part a row is of. Some photographs lie in both parts, 21 of them among those with lesions by the
    count of a reader of the set: a file is a row, so that each row carries what was drawn on it, and how many
    share examination and name is noted. The folder ``E…`` is taken as the patient, as readers of the set
    do; the name stands for an examination, so that one person examined twice would count as two.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="e_ophtha",
        title="e-ophtha",
        source="https://www.adcis.net/en/third-party/e-ophtha/ (Decencière et al., IRBM 34(2), 2013)",
        licence="research and teaching, by request to the owners",
        lesions=("MA", "EX"),
        counts={
            "photographs": 463,
            **{f"subset={part} present_{part}=1": _COUNTS[part][0] for part in _PARTS},
            **{f"subset={part} present_{part}=0": _COUNTS[part][1] for part in _PARTS},
        },
    )
    Options = EOphthaOptions
    binary_masks: ClassVar[bool] = True
    options: EOphthaOptions

    def _labels(self) -> Labels:
        wanted = _PARTS if self.options.part == "both" else (self.options.part,)
        there = [part for part in _PARTS if (self.root / _FOLDER.format(part)).is_dir()]
        if len(wanted) == 2 and len(there) == 1:
            absent = next(part for part in _PARTS if part not in there)
            raise RetinalabError(
                f"{self.root} holds {_FOLDER.format(there[0])!r} of {_TITLE} but no {_FOLDER.format(absent)!r}. "
                f"Complete the copy, or read one part with data.options.part={there[0]}."
            )
        rows = [row for part in wanted for row in self._part(part)]
        return Labels(rows, str(self.root), _shared(rows), info=self._described(), files=False)

    def _described(self) -> SetInfo:
        part = self.options.part
        if part == "both":
            return self.info
        counts = {what: n for what, n in self.info.counts.items() if f"subset={part}" in what}
        return replace(self.info, lesions=(part,), counts={"photographs": sum(_COUNTS[part]), **counts})

    def _part(self, part: str) -> list[dict[str, Any]]:
        name = _FOLDER.format(part)
        base = need_folder(self.root, name, _TITLE)
        for folder in (part, f"Annotation_{part}", "healthy"):
            need_folder(base, folder, _TITLE)
        masks = {
            (examination, _own_name(stem, part)): path
            for examination, stem, path in self._files(f"{name}/Annotation_{part}")
        }
        rows = []
        unmarked = []
        for folder in (part, "healthy"):
            for examination, stem, path in self._files(f"{name}/{folder}"):
                mask = masks.pop((examination, stem), "") if folder == part else ""
                rows.append(_row(part, examination, path, mask))
                if folder == part and not mask:
                    unmarked.append(path)
        if unmarked:
            raise RetinalabError(
                f"{self.root / unmarked[0]} has no mask in {base / f'Annotation_{part}'} ({len(unmarked)} such "
                f"photographs; every one in {part!r} has one). Complete the copy."
            )
        for path in masks.values():
            raise RetinalabError(
                f"{self.root / path} belongs to no photograph in {base / part} ({len(masks)} such masks). "
                "Complete the copy."
            )
        return rows

    def _files(self, folder: str) -> list[tuple[str, str, str]]:
        """Examination, name without suffix and path of every image in a folder of examinations."""
        loose = [name for name in list_files(self.root / folder) if name.lower().endswith(IMAGE_SUFFIXES)]
        places = sorted(entry.name for entry in (self.root / folder).iterdir() if entry.is_dir())
        strange = [*loose, *(place for place in places if not _EXAMINATION.fullmatch(place))]
        if strange:
            raise RetinalabError(
                f"{self.root / folder} holds {strange[0]!r} where the official layout has a folder per "
                f"examination, such as 'E0000404' ({len(strange)} such entries). Unpack the official archive."
            )
        return [
            (place, name.rsplit(".", 1)[0], f"{folder}/{place}/{name}")
            for place in places
            for name in list_files(self.root / folder / place)
            if name.lower().endswith(IMAGE_SUFFIXES)
        ]

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 12, seed: int = 0) -> Path:
        suffixes = (".jpg", ".JPG", ".jpeg", ".png")
        for part in _PARTS:
            base = folder / _FOLDER.format(part)
            for index in range(photographs // 2):
                healthy = index % 3 == 2
                number = index if index < 2 else 2 * index + (part == "MA")  # the first two lie in both parts
                place, stem = f"E{number // 2:07d}", f"C{number:07d}"
                where = base / ("healthy" if healthy else part) / place
                fake_photograph(where / f"{stem}{suffixes[number % 4]}", seed + number, 1)
                (where / "Thumbs.db").write_bytes(b"stray")
                if not healthy:
                    name = f"{stem}_EX.png" if part == "EX" else f"{stem}.png"
                    centre = (36 + 6 * (part == "MA") + index, 30)
                    fake_mask(base / f"Annotation_{part}" / place / name, centre)
            for subfolder in (part, "healthy", f"Annotation_{part}"):
                (base / subfolder).mkdir(parents=True, exist_ok=True)
        return folder


def _row(part: str, examination: str, path: str, mask: str) -> dict[str, Any]:
    return {
        "image": path,
        "patient": examination,
        "subset": part,
        "masks": {part: mask} if mask else {},
        **{f"annotated_{lesion}": lesion == part for lesion in _PARTS},
    }


def _own_name(stem: str, part: str) -> str:
    return stem[: -len(part) - 1] if stem.upper().endswith(f"_{part}") else stem


def _shared(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """A note on the photographs that lie in both parts under one examination and name."""
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        name = str(row["image"]).rsplit("/", 1)[-1].rsplit(".", 1)[0]
        seen[row["patient"], name] = seen.get((row["patient"], name), 0) + 1
    twice = sum(count > 1 for count in seen.values())
    if not twice:
        return ()
    return (
        f"{twice} photographs lie in both parts under one examination and name; each is two rows, "
        "annotated for one lesion each",
    )
