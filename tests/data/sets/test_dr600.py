"""The patients of dr600 who are listed twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retinalab.data.sets import open_set
from retinalab.data.sets.dr600 import SAME_PERSON
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.errors import RetinalabError


def copy(folder: Path, patients: list[int]) -> Path:
    rows = []
    for patient in patients:
        image = f"images/Patient{patient:03d}_L.jpg"
        fake_photograph(folder / image, patient)
        rows.append({"image": image, "patient": patient, "eye": "left", "dr": 0, "maculopathy": 0})
    write_csv(folder / "records.csv", rows)
    return folder


def test_a_patient_who_is_listed_twice_counts_once(tmp_path: Path) -> None:
    root = copy(tmp_path, [44, 87, 58, 155, 1])
    records = open_set("dr600", root).records()
    assert records.table["patient"].tolist() == ["44", "44", "58", "58", "1"]
    assert len(np.unique(records.groups)) == 3
    (note,) = (note for note in records.notes if "twice" in note)
    assert "87 is 44, 155 is 58" in note
    apart = open_set("dr600", root, {"same_person": False}).records()
    assert apart.table["patient"].tolist() == ["44", "87", "58", "155", "1"]
    assert not any("twice" in note for note in apart.notes)


def test_half_of_a_pair_is_left_alone(tmp_path: Path) -> None:
    records = open_set("dr600", copy(tmp_path, [87, 155, 1])).records()
    assert records.table["patient"].tolist() == ["87", "155", "1"]


def test_the_real_set_keeps_its_published_counts_either_way(shared_data: Path) -> None:
    for same, patients in ((True, 237), (False, 240)):
        records = open_set("dr600", shared_data / "dr600", {"same_person": same}, strict=True).records()
        assert records.table["patient"].nunique() == patients
    listed = pd.read_csv(shared_data / "dr600/records.csv")["patient"].astype(str)
    assert set(SAME_PERSON) | set(SAME_PERSON.values()) <= set(listed)


def test_a_table_of_another_set_is_refused(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "records.csv", [{"image": "a.jpg", "patient": 87, "eye": "left", "view": 1, "dr": 0}]
    )
    with pytest.raises(RetinalabError, match=r"Unknown column 'maculopathy'.*the file of another set"):
        open_set("dr600", tmp_path).records()
