"""APTOS 2019: the photographs of Kaggle's competition on blindness detection, taken in rural India."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd
from pydantic import Field

from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.data.sets.kaggle import bare_names, locate, need_labels
from retinalab.data.sets.label_files import as_rows, integers, read_csv
from retinalab.records import SetInfo

__all__ = ["Aptos", "AptosOptions"]

_FOLDERS = ("train_images", "train_images/train_images", "")


class AptosOptions(SetOptions):
    """What is read."""

    labels_only: bool = Field(default=False, description="read the labels where the photographs are absent")


class Aptos(PhotographSet):
    """APTOS 2019 in Kaggle's layout: ``train.csv`` and ``train_images/*.png``.

    Source: Asia Pacific Tele-Ophthalmology Society and Aravind Eye Hospital, "APTOS 2019 Blindness Detection",
    Kaggle, 2019. Licence: the competition's rules, which one accepts on Kaggle. Scale: ICDR 0-4. Published: 3,662
    photographs with labels, DR 1805/370/999/193/295. The photographs of ``test.csv`` have no published labels
    and are not read, so there are no official parts: a test part is derived. Neither patients nor eyes are named.
    Macular edema, lesions and quality are not annotated.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="aptos",
        title="APTOS 2019 Blindness Detection",
        source="https://www.kaggle.com/c/aptos2019-blindness-detection (APTOS and Aravind Eye Hospital, 2019)",
        licence="the competition's rules",
        scales={"dr": "icdr5"},
        counts={
            "photographs": 3662,
            **{f"dr={grade}": n for grade, n in enumerate((1805, 370, 999, 193, 295))},
        },
    )
    Options = AptosOptions
    options: AptosOptions

    def _labels(self) -> Labels:
        path = need_labels(self.root, "train.csv", _FOLDERS[0], self.info.title)
        table = read_csv(path, ("id_code", "diagnosis"))
        names = bare_names(table["id_code"])
        frame = pd.DataFrame({"dr": integers(table, "diagnosis", path)})
        if self.options.labels_only:
            frame["image"] = f"{_FOLDERS[0]}/" + names + ".png"
        else:
            frame["image"] = locate(self.root, names, _FOLDERS, ".png", path)
        return Labels(as_rows(frame), str(path), self._unlabelled(), files=not self.options.labels_only)

    def _unlabelled(self) -> tuple[str, ...]:
        path = self.root / "test.csv"
        if not path.is_file():
            return ()
        return (f"{len(read_csv(path))} photographs of {path.name} have no labels and are not read",)

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 12, seed: int = 0) -> Path:
        rows, unlabelled = [], []
        for index in range(photographs):
            name, grade = f"{index * 0x9E3779B97F4B + 0xA5:012x}"[-12:], index % 5
            fake_photograph(folder / "train_images" / f"{name}.png", seed + index, grade)
            rows.append({"id_code": name, "diagnosis": grade})
        for index in range(max(1, photographs // 4)):
            name = f"{index * 0x7F4A7C15F39C + 0x5A:012x}"[-12:]
            fake_photograph(folder / "test_images" / f"{name}.png", seed + photographs + index)
            unlabelled.append({"id_code": name})
        write_csv(folder / "train.csv", rows)
        write_csv(folder / "test.csv", unlabelled)
        return folder
