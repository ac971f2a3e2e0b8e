"""DeepDRiD: two views of both eyes of each patient, graded and judged for quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from retinalab.data.sets.base import Labels, PhotographSet
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.data.sets.files import need_folder
from retinalab.data.sets.label_files import as_rows, integers, read_csv
from retinalab.errors import RetinalabError
from retinalab.records import SetInfo

__all__ = ["DeepDrid"]

_PARTS = {"train": "regular-fundus-training", "test": "regular-fundus-validation"}
_LEFT, _RIGHT = "left_eye_DR_Level", "right_eye_DR_Level"
_QUALITY = {"Clarity": "clarity", "Field definition": "field_definition", "Artifact": "artifact"}
_EYES = {"l": "left", "r": "right"}


class DeepDrid(PhotographSet):
    """DeepDRiD's regular fundus photographs, official layout or the square copy with a ``records.csv``.

    Source: Liu et al., "DeepDRiD: Diabetic Retinopathy - Grading and Image Quality Estimation Challenge",
    Patterns 3(6), 2022; https://github.com/deepdrdoc/DeepDRiD. Licence: none stated, published "for further
    research". Scale: ICDR 0-4 per eye. Published: 1,200 training and 400 validation photographs of 300 and
    100 patients (the challenge's own test part has no labels); the validation part is ``test`` here, since a
    validation part is taken from training. ``quality`` is "1" where the owners call the photograph good
    enough for diagnosis; the rest is graded too and stays in. Eight photographs are named after one eye and
    carry their grade in the other eye's column; ``eye`` follows the name.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="deepdrid",
        title="DeepDRiD",
        source="https://github.com/deepdrdoc/DeepDRiD (Liu et al., Patterns 3(6), 2022)",
        licence="none stated; published for further research",
        scales={"dr": "icdr5"},
        counts={
            "photographs": 1600, "train": 1200, "test": 400, "train patients": 300, "test patients": 100,
            **{f"train dr={grade}": n for grade, n in enumerate((540, 140, 234, 214, 72))},
            **{f"test dr={grade}": n for grade, n in enumerate((174, 46, 92, 68, 20))},
        },
    )  # fmt: skip

    def _labels(self) -> Labels:
        copy = self.root / "records.csv"
        return self._copy(copy) if copy.is_file() else self._official()

    def _copy(self, path: Path) -> Labels:
        table = read_csv(path, ("image", "patient", "eye", "view", "dr", "split", "quality"))
        table["dr"] = integers(table, "dr", path)
        return Labels(as_rows(table.rename(columns={"split": "part"})), str(path))

    def _official(self) -> Labels:
        base = Path("regular_fundus_images")
        if not (self.root / base).is_dir():
            base = Path()
        if not any((self.root / base / folder).is_dir() for folder in _PARTS.values()):
            wanted = f"regular_fundus_images/{_PARTS['train']}"
            need_folder(self.root, wanted, f"{self.info.title} (nor records.csv of the copy)")
        rows: list[dict[str, Any]] = []
        crossed = 0
        for part, folder in _PARTS.items():
            found, odd = self._part(base / folder, part)
            rows += found
            crossed += odd
        notes = (f"{crossed} photographs carry their grade in the other eye's column",) if crossed else ()
        return Labels(rows, str(self.root / base), notes)

    def _part(self, base: Path, part: str) -> tuple[list[dict[str, Any]], int]:
        path = self.root / base / f"{base.name}.csv"
        table = read_csv(path, ("patient_id", "image_id", _LEFT, _RIGHT, "Overall quality"))
        left, right = integers(table, _LEFT, path), integers(table, _RIGHT, path)
        named = table["image_id"].str.extract(r"_([lr])(\d+)$", expand=True)
        if named[0].isna().any():
            wrong = table["image_id"][named[0].isna()].iloc[0]
            raise RetinalabError(
                f"{path}: image_id {wrong!r} does not end in _l1, _l2, _r1 or _r2. Correct the row."
            )
        patients, identifiers = table["patient_id"], table["image_id"]
        out = table[[column for column in _QUALITY if column in table]].rename(columns=_QUALITY)
        out["image"] = base.as_posix() + "/Images/" + patients + "/" + identifiers + ".jpg"
        out["patient"], out["part"], out["quality"] = patients, part, table["Overall quality"]
        out["eye"], out["view"] = named[0].map(_EYES), named[1]
        out["dr"] = left.where(left >= 0, right)
        crossed = int((((left >= 0) & (named[0] == "r")) | ((right >= 0) & (named[0] == "l"))).sum())
        return as_rows(out), crossed

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 24, seed: int = 0) -> Path:
        patients = max(2, photographs // 4)
        for part, numbers in {"train": range(1, patients), "test": range(patients, patients + 1)}.items():
            base = folder / "regular_fundus_images" / _PARTS[part]
            rows = []
            for patient in numbers:
                for number, (eye, view) in enumerate((("l", 1), ("l", 2), ("r", 1), ("r", 2))):
                    name, grade = f"{patient}_{eye}{view}", (patient + (eye == "r")) % 5
                    path = base / "Images" / str(patient) / f"{name}.jpg"
                    fake_photograph(path, seed + 4 * patient + number, grade, (64, 68))
                    levels = {_LEFT: grade if eye == "l" else "", _RIGHT: grade if eye == "r" else ""}
                    place = f"\\{base.name}\\{patient}\\{name}.jpg"
                    row = {
                        "patient_id": patient,
                        "image_id": name,
                        "image_path": place,
                        "Overall quality": patient % 2,
                    }
                    rows.append(
                        {
                            **row,
                            **levels,
                            "patient_DR_Level": grade,
                            "Clarity": 8,
                            "Field definition": 8,
                            "Artifact": 0,
                        }
                    )
            write_csv(base / f"{base.name}.csv", rows)
        return folder
