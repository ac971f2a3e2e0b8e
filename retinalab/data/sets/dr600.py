"""Rahim's 600 photographs: both eyes, DR on the ICDR scale and maculopathy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.data.sets.table import Table
from retinalab.records import SetInfo

__all__ = ["Dr600"]


class Dr600(Table):
    """The copy with a ``records.csv`` of the diabetic retinopathy set of S. S. Rahim (2025).

    Source: S. S. Rahim, 2025. Licence: free for academic use with attribution to its author. Scales: DR on
    ICDR 0-4; maculopathy yes or no (``dme`` on the scale ``binary``; unknown for six photographs). Counts of
    this copy: 480 photographs of 240 patients, DR 246/76/113/24/21, maculopathy 384/90. No official parts:
    split by patient. Originals of 3872 x 2592 pixels lie in ``full`` for twenty of them and are not listed.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="dr600",
        title="Diabetic retinopathy photographs of S. S. Rahim",
        source="S. S. Rahim, 2025",
        licence="free for academic use with attribution",
        scales={"dr": "icdr5", "dme": "binary"},
        counts={
            "photographs": 480, "photographs patients": 240,
            **{f"dr={grade}": n for grade, n in enumerate((246, 76, 113, 24, 21))},
            "dme=0": 384, "dme=1": 90, "dme=-1": 6,
        },
    )  # fmt: skip

    def _info(self, name: str, scales: Mapping[str, str], lesions: tuple[str, ...]) -> SetInfo:
        return self.info

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 24, seed: int = 0) -> Path:
        rows = []
        for index in range(photographs):
            patient, eye = index // 2 + 1, "left" if index % 2 == 0 else "right"
            image = f"images/Patient{patient:03d}_{eye[0].upper()}.jpg"
            grade = (patient + index % 2) % 5
            fake_photograph(folder / image, seed + index, grade)
            rows.append(
                {
                    "image": image,
                    "patient": patient,
                    "eye": eye,
                    "dr": grade,
                    "maculopathy": int(grade > 2) if index else "",
                }
            )
        write_csv(folder / "records.csv", rows)
        return folder
