"""Messidor-2: both eyes of 874 people, with the grades that three specialists agreed upon afterwards."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.eye_pairs import EyePairs, same_person, twins
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.data.sets.files import list_files, need_folder
from retinalab.data.sets.label_files import as_rows, integers, read_csv
from retinalab.data.sets.messidor_errata import DUPLICATES
from retinalab.data.sets.places import Places, label_file
from retinalab.errors import RetinalabError, unknown
from retinalab.records import SetInfo, photograph_name

__all__ = ["Messidor2", "Messidor2Options"]

_IMAGE, _DR, _DME, _GRADABLE = "image_id", "adjudicated_dr_grade", "adjudicated_dme", "adjudicated_gradable"
_GRADES = "https://www.kaggle.com/datasets/google-brain/messidor2-dr-grades"
_PAIRS = r"messidor[-_ ]?2([-_ ]?pairs)?\.csv"


class Messidor2Options(SetOptions):
    """Where the photographs and the pairs lie, and what becomes of pictures that the set holds twice."""

    folder: str = Field(
        default="", description="sub-folder of the photographs, where several hold their names"
    )
    pairs: Path | None = Field(
        default=None,
        description="the pairs file (columns left;right), relative to the working folder or to the set's; "
        "messidor-2.csv in the set's folder where empty",
    )
    duplicates: Literal["group", "ignore"] = Field(
        default="group",
        description="group: two copies of a picture, as Messidor's errata name them, count as one patient, so that "
        "no split parts them; ignore: as if they were two photographs",
    )


class Messidor2(PhotographSet):
    """Messidor-2: the owners' ``IMAGES/`` and pairs file, and ``messidor_data.csv`` with the adjudicated grades.

    Source: photographs and pairs from https://www.adcis.net/en/third-party/messidor2/ (Decencière et al., 2014;
    Abràmoff et al., 2013), which give no grades; grades by Krause et al., "Grader variability and the importance
    of reference standards for evaluating machine learning models for diabetic retinopathy", Ophthalmology 125(8),
    2018. Licence: photographs for research and teaching, by request; the grades CC0. Scales: ICDR 0-4;
    ``dme`` is yes or no (``referable``) and means referable edema, hard exudates within a disc diameter of the
    fovea, which Messidor's own risk calls grade 2. Published: 1,748 photographs of 874 people, DR
    1017/270/347/75/35, four ungradable ones without a grade; 45 degrees. 1,058 photographs are Messidor's own
    under the same names. The label file's names differ from the files' in case and suffix.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="messidor2",
        title="Messidor-2",
        source=f"https://www.adcis.net/en/third-party/messidor2/, grades: {_GRADES} (Krause et al., 2018)",
        licence="photographs: research and teaching, by request to the owners; grades: CC0",
        scales={"dr": "icdr5", "dme": "referable"},
        counts={
            "photographs": 1748,
            "gradable=True": 1744,
            **{f"dr={grade}": n for grade, n in enumerate((1017, 270, 347, 75, 35))},
        },
        shares=("messidor",),
        field=45.0,
    )
    Options = Messidor2Options
    options: Messidor2Options

    def _labels(self) -> Labels:
        path = label_file(
            self.root, r"messidor_data\.csv", "messidor_data.csv", self.info.title,
            f"Put the adjudicated grades there, which the owners of the photographs do not send: {_GRADES}.",
        )  # fmt: skip
        table = _read(path)
        folder = self.options.folder.strip("/") or "IMAGES"
        if self.options.folder:
            need_folder(self.root, folder, self.info.title)
        places = Places(self.root, self.options.folder)
        if not len(places):
            need_folder(self.root, folder, self.info.title)
        table["image"] = [places.find(f"{folder}/{name}") for name in table["image"]]
        names = [photograph_name(image) for image in table["image"]]
        notes, info = self._people(table, names)
        return Labels(as_rows(table), str(path), tuple(notes), info)

    def _people(self, table: pd.DataFrame, names: list[str]) -> tuple[list[str], SetInfo]:
        pictures = twins(DUPLICATES, names) if self.options.duplicates == "group" else {}
        links = list(pictures.items())
        notes = []
        if pictures:
            listed = ", ".join(f"{first} = {second}" for first, second in links if first != second)
            notes.append(
                f"{len(pictures) // 2} pairs of copies share a patient (options.duplicates=group): {listed}"
            )
        path, info = self._pairs(), self.info
        eyes: dict[str, str] = {}
        if path is None:
            notes.append(
                f"no pairs file (messidor-2.csv) in {self.root}: the patients are unknown, and a person's two eyes may "
                "stand on two sides of a split"
            )
        else:
            pairs = EyePairs.read(path)
            found = pairs.among(names, self.info.title)
            links += found
            eyes = pairs.eyes()
            alone = len(set(names) - {name for row in found for name in row})
            if alone:
                notes.append(
                    f"{alone} photographs have no second eye in {path.name}; their patients are unknown"
                )
            info = replace(info, counts={**info.counts, "patients": 874 - _joined(found, pictures)})
        people = same_person(links)
        table["patient"] = [people.get(name, "") for name in names]
        table["duplicate"] = [pictures.get(name, "") for name in names]
        table["eye"] = [eyes.get(name, "") for name in names]
        return notes, info

    def _pairs(self) -> Path | None:
        if self.options.pairs is not None:
            given = self.options.pairs
            return given if given.is_file() else self.root / given
        names = (name for name in list_files(self.root) if re.fullmatch(_PAIRS, name, re.IGNORECASE))
        return next((self.root / name for name in names), None)

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 24, seed: int = 0) -> Path:
        rows, pairs = [], []
        for index in range(photographs):
            person = index // 2
            old = person % 3 < 2
            name = f"20051020_{43000 + index}_0100_PP.png" if old else f"IM{index:06d}.JPG"
            grade = (person + index % 2) % 5
            fake_photograph(folder / "IMAGES" / name, seed + index, grade)
            gradable = index != photographs - 1
            listed = name if old else name.replace(".JPG", ".jpg")
            cells = (grade, index % 2) if gradable else ("", "")
            rows.append({_IMAGE: listed, _DR: cells[0], _DME: cells[1], _GRADABLE: int(gradable)})
            pairs.append(name)
        write_csv(folder / "messidor_data.csv", rows)
        lines = [f"{pairs[index]};{pairs[index + 1]}" for index in range(0, photographs - 1, 2)]
        (folder / "messidor-2.csv").write_text("\n".join(["left;right ", *lines, ""]), encoding="utf-8")
        return folder


def _read(path: Path) -> pd.DataFrame:
    table = read_csv(path)
    for column in (_IMAGE, _DR, _DME, _GRADABLE):
        if column not in table:
            raise unknown(
                "column", column, table.columns, f"Another version of the grades? Fetch {path.name} from {_GRADES}.",
                label=f"Columns of {path.name}",
            )  # fmt: skip
    gradable = integers(table, _GRADABLE, path)
    wrong = ~gradable.isin((0, 1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise RetinalabError(
            f"{path}, row {row + 2}: {_GRADABLE} is {table[_GRADABLE].iloc[row]!r}, neither 0 nor 1 "
            f"({int(wrong.sum())} such rows). Correct the cell."
        )
    return pd.DataFrame(
        {
            "image": table[_IMAGE],
            "dr": integers(table, _DR, path),
            "dme": integers(table, _DME, path),
            "gradable": gradable == 1,
        }
    )


def _joined(pairs: list[tuple[str, str]], pictures: dict[str, str]) -> int:
    """How many fewer people there are than the owners count, since copies of a picture join two of their pairs."""
    paired = {name for pair in pairs for name in pair}
    apart, together = same_person(pairs), same_person([*pairs, *pictures.items()])
    return len({apart[name] for name in paired}) - len({together[name] for name in paired})
