"""DDR: photographs of Chinese hospitals, its grading and its lesion segmentation part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import Field

from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.fake import fake_mask, fake_photograph
from retinalab.data.sets.files import IMAGE_SUFFIXES, list_files, need, need_folder
from retinalab.data.sets.label_files import as_rows
from retinalab.data.sets.presence import look_into_masks, name_unknown
from retinalab.errors import RetinalabError
from retinalab.records import SetInfo

__all__ = ["Ddr", "DdrOptions"]

_PARTS = {"train": "train", "val": "valid", "test": "test"}
_GRADING, _SEGMENTATION = "DR_grading", "lesion_segmentation"
_LESIONS = ("MA", "HE", "EX", "SE")
_MASKS = ("label", "segmentation label")
_UNGRADABLE = 5


class DdrOptions(SetOptions):
    """Which of the two parts is read."""

    task: Literal["grading", "segmentation"] = Field(default="grading", description="which part of the set")
    labels_only: bool = Field(
        default=False, description="read the grading labels where the photographs are absent"
    )
    presence: bool = Field(
        default=True,
        description="read every mask once, since an empty one says that the lesion is absent; unknown otherwise",
    )


class Ddr(PhotographSet):
    """DDR (also OIA-DDR) in its official layout, opened at ``DDR-dataset``.

    Source: Li et al., "Diagnostic assessment of deep learning algorithms for diabetic retinopathy screening",
    Information Sciences 501, 2019; https://github.com/nkicsl/DDR-dataset. Licence: MIT, as in that repository.
    Scale: ICDR 0-4; the sixth class, 5, is "ungradable": no grade, and ``gradable`` is false.

    Grading: ``DR_grading/{train,valid,test}.txt`` with a name and a label a line, and a folder of photographs for
    each. Published: 13,673 photographs (training 6,835, validation 2,733, test 4,105), DR
    6266/630/4477/236/913, ungradable 1,151. They come from 9,598 patients who are not named, so photographs of
    one patient may lie on two sides of any split.

    Segmentation: ``lesion_segmentation/{train,valid,test}/image`` with masks of MA, HE, EX and SE in ``label`` (in
    ``valid`` the folder is called ``segmentation label``). Published: 757 photographs (383, 149, 225), chosen
    among those of the grading part, whose parts they are not known to follow: do not train on one part and test on
    the other. The layout has a mask, then empty, for an absent lesion too; a lesion whose file is missing counts as
    not annotated on that photograph. Macular edema and other lesions are not annotated; the boxes of
    ``lesion_detection`` are not read.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="ddr",
        title="DDR",
        source="https://github.com/nkicsl/DDR-dataset (Li et al., Information Sciences 501, 2019)",
        licence="MIT",
        scales={"dr": "icdr5"},
        counts={
            "photographs": 13673, "train": 6835, "val": 2733, "test": 4105, "gradable=False": 1151,
            **{f"dr={grade}": n for grade, n in enumerate((6266, 630, 4477, 236, 913))},
        },
    )  # fmt: skip
    segmentation_info: ClassVar[SetInfo] = replace(
        info, scales={}, lesions=_LESIONS, counts={"photographs": 757, "train": 383, "val": 149, "test": 225}
    )
    Options = DdrOptions
    options: DdrOptions
    writes_empty_masks: ClassVar[bool] = True
    binary_masks: ClassVar[bool] = True

    def _labels(self) -> Labels:
        return self._segmentation() if self.options.task == "segmentation" else self._grading()

    def _grading(self) -> Labels:
        base = Path() if (self.root / "train.txt").is_file() else Path(_GRADING)
        if base != Path():
            need_folder(self.root, _GRADING, self.info.title)
        frames = []
        for part, name in _PARTS.items():
            table = _read_list(self.root / base / f"{name}.txt")
            label = table["label"]
            table["image"] = (base / name).as_posix() + "/" + table["image"]
            table["part"], table["gradable"] = part, label != _UNGRADABLE
            frames.append(table.assign(dr=label.where(table["gradable"], -1)).drop(columns="label"))
        rows = as_rows(pd.concat(frames, ignore_index=True))
        return Labels(rows, str(self.root / base), files=not self.options.labels_only)

    def _segmentation(self) -> Labels:
        base = Path() if (self.root / "train" / "image").is_dir() else Path(_SEGMENTATION)
        if base != Path() and not (self.root / base).is_dir() and (self.root / _GRADING).is_dir():
            raise RetinalabError(
                f"{self.root} holds {_GRADING!r} but no folder {_SEGMENTATION!r} of {self.info.title}: part of "
                "the archive was unpacked. Join all its pieces (DDR-dataset.zip.001 to .010) and unpack that."
            )
        if base != Path():
            need_folder(self.root, _SEGMENTATION, self.info.title)
        rows = [row for part in _PARTS for row in self._photographs(base, part)]
        missing = sum(not row[f"annotated_{lesion}"] for row in rows for lesion in _LESIONS)
        notes = [f"{missing} masks are missing: those lesions count as not annotated"] if missing else []
        if self.options.presence:
            notes += look_into_masks(rows, self.root, above=0)
        else:
            name_unknown(rows)
        return Labels(rows, str(self.root / base), tuple(notes), info=self.segmentation_info)

    def _photographs(self, base: Path, part: str) -> list[dict[str, Any]]:
        folder = base / _PARTS[part]
        need_folder(self.root, (folder / "image").as_posix(), self.info.title)
        place = next((name for name in _MASKS if (self.root / folder / name).is_dir()), _MASKS[0])
        need_folder(self.root, (folder / place).as_posix(), self.info.title)
        masks = self._mask_files(folder / place)
        rows = []
        for name in list_files(self.root / folder / "image"):
            if name.lower().endswith(IMAGE_SUFFIXES):
                found = masks.pop(Path(name).stem, {})
                known = {f"annotated_{lesion}": lesion in found for lesion in _LESIONS}
                rows.append(
                    {"image": (folder / "image" / name).as_posix(), "part": part, "masks": found, **known}
                )
        if masks:
            first = next(iter(next(iter(masks.values())).values()))
            raise RetinalabError(
                f"{self.root / first} belongs to no photograph ({len(masks)} such). Complete the copy."
            )
        return rows

    def _mask_files(self, place: Path) -> dict[str, dict[str, str]]:
        """Photograph's stem -> lesion -> path of its mask."""
        masks: dict[str, dict[str, str]] = {}
        for lesion in _LESIONS:
            for name in list_files(self.root / place / lesion):
                if name.lower().endswith(IMAGE_SUFFIXES):
                    path = place / lesion / name
                    masks.setdefault(path.stem, {})[lesion] = path.as_posix()
        return masks

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 24, seed: int = 0) -> Path:
        photographs = max(4, photographs)
        cuts = (0, photographs // 2, photographs * 3 // 4, photographs)
        for start, end, name in zip(cuts, cuts[1:], _PARTS.values(), strict=False):
            lines = []
            for number in range(start, end):
                image, label = f"007-{number:04d}-000.jpg", number % 6
                fake_photograph(folder / _GRADING / name / image, seed + number, label % _UNGRADABLE)
                lines.append(f"{image} {label}\n")
            (folder / _GRADING / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
        _write_fake_masks(folder / _SEGMENTATION, seed)
        return folder


def _write_fake_masks(folder: Path, seed: int) -> None:
    numbers = {"train": range(1000, 1004), "valid": range(1010, 1012), "test": range(1020, 1022)}
    for name in _PARTS.values():
        masks = folder / name / _MASKS[name == "valid"]
        for number in numbers[name]:
            stem = f"007-{number}-100"
            fake_photograph(folder / name / "image" / f"{stem}.jpg", seed + number, 2)
            for lesion in _LESIONS:
                absent = lesion == "SE" and number % 2
                outside, inside = (-9, -9), (number - 960, 30)
                fake_mask(masks / lesion / f"{stem}.tif", outside if absent else inside)


def _read_list(path: Path) -> pd.DataFrame:
    """Columns ``image`` and ``label`` of a file with a name and a label a line."""
    need(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RetinalabError(f"{path} is no text in UTF-8. Fetch it again from its source.") from None
    lines = pd.Series(text.splitlines(), dtype=str).str.strip()
    lines = lines[lines != ""]
    if lines.empty:
        raise RetinalabError(f"{path} lists no photograph. Fetch it again from its source.")
    table = lines.str.extract(r"^(?P<image>\S.*?)\s+(?P<label>[0-9]{1,9})$", expand=True)
    wrong = table.index[table["label"].isna()]
    if len(wrong):
        raise RetinalabError(
            f"{path}, line {wrong[0] + 1}: {lines[wrong[0]][:60]!r} is not a file name and a label 0-5 "
            f"({len(wrong)} such lines). Correct it, or fetch the file again from its source."
        )
    return table.assign(label=table["label"].astype("int64")).reset_index(drop=True)
