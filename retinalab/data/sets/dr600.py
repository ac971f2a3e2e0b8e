"""Rahim's 600 photographs: both eyes, DR on the ICDR scale and maculopathy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from retinalab.data.sets.base import Labels
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.data.sets.table import Table, TableOptions
from retinalab.errors import unknown
from retinalab.records import SetInfo

__all__ = ["SAME_PERSON", "Dr600", "Dr600Options"]

SAME_PERSON: Mapping[str, str] = {"87": "44", "155": "58", "237": "67"}
"""Patients who are listed twice: both eyes show the same vessels, on another day or in another light
(``retinalab data check dr600``). Their grades differ in four of the six eyes."""


class Dr600Options(TableOptions):
    """Options of a table, and whether patients who are listed twice count as one."""

    same_person: bool = Field(
        default=True,
        description="patients who are listed under two numbers count as one, so that no split parts them",
    )


class Dr600(Table):
    """The copy with a ``records.csv`` of the diabetic retinopathy set of S. S. Rahim (2025).

    Source: S. S. Rahim, 2025. Licence: free for academic use with attribution to its author. Scales: DR on
    ICDR 0-4; maculopathy yes or no (``dme`` on the scale ``binary``; unknown for six photographs). Counts of
    this copy: 480 photographs of 240 patients, DR 246/76/113/24/21, maculopathy 384/90. No official parts:
    split by patient; three patients are listed twice (:data:`SAME_PERSON`). Originals of 3872 x 2592 pixels lie
    in ``full`` for twenty photographs and are not listed.
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

    Options = Dr600Options
    options: Dr600Options

    def _labels(self) -> Labels:
        labels = super()._labels()
        for column in ("patient", "eye", "dr", "dme"):
            if labels.rows and column not in labels.rows[0]:
                raise unknown(
                    "column", {"dme": "maculopathy"}.get(column, column), labels.rows[0],
                    f"{labels.source} must have it; is it the file of another set?", label="Read from it",
                )  # fmt: skip
        listed = {str(row["patient"]) for row in labels.rows}
        twice = {again: first for again, first in SAME_PERSON.items() if {again, first} <= listed}
        if not self.options.same_person or not twice:
            return labels
        rows = [{**row, "patient": twice.get(str(row["patient"]), row["patient"])} for row in labels.rows]
        named = ", ".join(f"{again} is {first}" for again, first in twice.items())
        counts = {
            **self.info.counts,
            "photographs patients": self.info.counts["photographs patients"] - len(twice),
        }
        note = f"{len(twice)} patients are listed twice and count once: {named}"
        return replace(labels, rows=rows, notes=(*labels.notes, note), info=replace(self.info, counts=counts))

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
