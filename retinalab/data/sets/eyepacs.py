"""EyePACS: the photographs of Kaggle's competition on diabetic retinopathy of 2015, one of each eye."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field

from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.data.sets.files import IMAGE_SUFFIXES, list_files, need
from retinalab.data.sets.kaggle import bare_names, locate, need_labels
from retinalab.data.sets.label_files import as_rows, integers, read_csv
from retinalab.errors import RetinalabError, unknown
from retinalab.records import SetInfo

__all__ = ["FOLDERS", "EyePacs", "EyePacsOptions", "patients_and_eyes"]

_LABELS = {"train": "trainLabels.csv", "test": "retinopathy_solution.csv"}
_USAGES = ("Public", "Private")
FOLDERS: Mapping[str, tuple[str, ...]] = {part: (part, f"{part}/{part}", "") for part in _LABELS}
"""Part -> where its photographs may lie: in the official folder, in one of the same name within it, as some
unpackers leave them, or beside the label files."""

_TRAIN_COUNTS = {f"train dr={grade}": n for grade, n in enumerate((25810, 2443, 5292, 873, 708))}
_TEST_COUNTS = {f"test dr={grade}": n for grade, n in enumerate((39533, 3762, 7861, 1214, 1206))}


class EyePacsOptions(SetOptions):
    """Which photographs are tested on."""

    test: Literal["both", "private", "public", "none"] = Field(
        default="both",
        description="the test part: both halves of Kaggle's (neither was ever trained on, and more photographs "
        "narrow the intervals; where the solution is absent, none), private or public alone, or none; "
        "photographs of a half that is not chosen are left out",
    )
    labels_only: bool = Field(default=False, description="read the labels where the photographs are absent")


class EyePacs(PhotographSet):
    """EyePACS in Kaggle's layout: ``trainLabels.csv`` and ``train/*.jpeg``, and for the test part
    ``retinopathy_solution.csv``, which Kaggle published after the competition, and ``test/*.jpeg``.

    Source: EyePACS and Kaggle, "Diabetic Retinopathy Detection", 2015. Licence: the competition's rules, which
    one accepts on Kaggle; the photographs may not be passed on. Scale: ICDR 0-4, graded once, with many doubtful
    labels and ungradable photographs that are not marked. Published: training 35,126 photographs, DR
    25810/2443/5292/873/708; test 53,576, DR 39533/3762/7861/1214/1206, parted into a public and a private half
    (column ``usage``). A left and a right eye of every patient; both are in the name, as in ``10_left``. Macular
    edema, lesions and quality are not annotated. Without the solution the official parts are left empty, so
    that a test part is derived by patient.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="eyepacs",
        title="EyePACS (Kaggle Diabetic Retinopathy Detection)",
        source="https://www.kaggle.com/c/diabetic-retinopathy-detection (EyePACS and Kaggle, 2015)",
        licence="the competition's rules; not to be passed on",
        scales={"dr": "icdr5"},
        counts={
            "photographs": 88702, "train": 35126, "test": 53576,
            "train patients": 17563, "test patients": 26788, **_TRAIN_COUNTS, **_TEST_COUNTS,
        },
        shares=("liq_eyepacs", "retinal_lesions"),
    )  # fmt: skip
    Options = EyePacsOptions
    options: EyePacsOptions

    def _labels(self) -> Labels:
        train = self._part("train", need_labels(self.root, _LABELS["train"], "train", self.info.title))
        solution = self.root / _LABELS["test"]
        if self.options.test == "none" or (self.options.test == "both" and not solution.is_file()):
            notes = ["no test part was read: the official parts are left empty", *self._unlabelled(solution)]
            info = replace(self.info, counts=_without_parts())
            return Labels(
                as_rows(train.assign(part="")), self._source("train"), tuple(notes), info, self._files
            )
        need(solution)
        test, notes = self._chosen(self._part("test", solution), solution)
        rows = as_rows(pd.concat([train, test], ignore_index=True))
        return Labels(rows, self._source("train", "test"), tuple(notes), self._described(), self._files)

    @property
    def _files(self) -> bool:
        return not self.options.labels_only

    def _source(self, *parts: str) -> str:
        return f"{self.root / _LABELS[parts[0]]}" + "".join(f" or {_LABELS[part]}" for part in parts[1:])

    def _described(self) -> SetInfo:
        if self.options.test == "both":
            return self.info
        counts = {what: n for what, n in self.info.counts.items() if what.startswith("train")}
        return replace(self.info, counts=counts)

    def _part(self, part: str, path: Path) -> pd.DataFrame:
        table = read_csv(path, ("image", "level", *(["Usage"] if part == "test" else [])))
        names = bare_names(table["image"])
        frame = patients_and_eyes(names, path)
        frame["dr"], frame["part"] = integers(table, "level", path), part
        frame["usage"] = table["Usage"] if part == "test" else ""
        if self._files:
            remedy = "Or read the training part alone: test=none." if part == "test" else ""
            frame["image"] = locate(self.root, names, FOLDERS[part], ".jpeg", path, remedy)
        else:
            frame["image"] = f"{part}/" + names + ".jpeg"
        return frame

    def _chosen(self, test: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
        strange = test.loc[~test["usage"].isin(_USAGES), "usage"]
        if len(strange):
            raise unknown("usage", strange.iloc[0], _USAGES, f"Correct the column 'Usage' of {path}.")
        if self.options.test == "both":
            return test, []
        kept = test[test["usage"] == self.options.test.capitalize()]
        return kept, [f"{len(test) - len(kept)} test photographs that are not {self.options.test} left out"]

    def _unlabelled(self, solution: Path) -> list[str]:
        if self.options.test == "none":
            return []
        files = [file for folder in FOLDERS["test"][:-1] for file in list_files(self.root / folder)]
        count = sum(file.lower().endswith(IMAGE_SUFFIXES) for file in files)
        return [f"{count} photographs of 'test' have no labels without {solution.name}"] if count else []

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 24, seed: int = 0) -> Path:
        patients = max(3, photographs // 2)
        trained = patients * 2 // 3
        lists: dict[str, list[dict[str, object]]] = {"train": [], "test": []}
        for index in range(patients):
            part = "train" if index < trained else "test"
            usage = {"Usage": _USAGES[index % 2]} if part == "test" else {}
            for eye in ("left", "right"):
                name, grade = f"{10 + 3 * index}_{eye}", (index + (eye == "right")) % 5
                fake_photograph(folder / part / f"{name}.jpeg", seed + 2 * index + (eye == "right"), grade)
                lists[part].append({"image": name, "level": grade, **usage})
        for part, rows in lists.items():
            write_csv(folder / _LABELS[part], rows)
        return folder


def patients_and_eyes(names: pd.Series, source: Path) -> pd.DataFrame:
    """Columns ``patient`` and ``eye`` from names such as ``10_left``.

    Raises:
        RetinalabError: a name of another kind.
    """
    named = names.str.extract(r"^(?P<patient>\d+)_(?P<eye>left|right)$", expand=True)
    wrong = named["patient"].isna()
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise RetinalabError(
            f"{source}, row {row + 2}: {names.iloc[row]!r} is not named PATIENT_left or PATIENT_right "
            f"({int(wrong.sum())} such rows). Give the names of EyePACS, such as '10_left'."
        )
    return named


def _without_parts() -> dict[str, int]:
    grades = {what.removeprefix("train "): n for what, n in _TRAIN_COUNTS.items()}
    return {"photographs": 35126, "patients": 17563, **grades}
