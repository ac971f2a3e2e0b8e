"""Counts, cross-tables and patients against cases worked by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retinalab.data.check.counts import PUBLISHED_CROSS, count_findings, count_rows, cross_notes, cross_rows
from retinalab.data.check.patients import patient_facts, patients_on_two_sides
from retinalab.data.sets import open_set
from retinalab.records import Records, SetInfo, make_records
from retinalab.testing import write_fake_set

SCALES = {"dr": "icdr5", "dme": "risk3"}


def records_of(rows: Sequence[Mapping[str, Any]], info: SetInfo) -> Records:
    rows = [{"image": f"{number}.png", **row} for number, row in enumerate(rows)]
    return make_records(rows, info, Path(), "the test")


def test_counts_beside_the_published() -> None:
    info = SetInfo("made", "", "", "", SCALES, counts={"photographs": 4, "train dr=1": 2, "test patients": 1})
    rows = [
        {"part": "train", "dr": 1, "patient": "a"},
        {"part": "train", "dr": 1, "patient": "a"},
        {"part": "test", "dr": 1, "patient": "b"},
    ]
    counts = count_rows(records_of(rows, info), info)
    assert [(row["what"], row["published"], row["found"]) for row in counts] == [
        ("photographs", 4, 3),
        ("train dr=1", 2, 2),
        ("test patients", 1, 1),
    ]
    assert [found.message for found in count_findings(counts)] == ["photographs: 3 instead of 4"]
    assert count_findings(count_rows(records_of(rows, info), SetInfo("made", "", "", ""))) == []


def test_published_cross_tables_add_up_to_the_published_margins() -> None:
    messidor, idrid = (np.array(PUBLISHED_CROSS[name][1]) for name in ("messidor", "idrid"))
    assert messidor.sum(axis=0).tolist() == [546, 153, 247, 254]  # before the owners' errata
    assert messidor.sum(axis=1).tolist() == [974, 75, 151]
    assert idrid.sum() == 516
    assert idrid.sum(axis=0).tolist() == [134, 18, 200, 125, 39]  # not 168, 25, 168, 93, 62


def test_the_cross_table_of_found_and_published() -> None:
    info = SetInfo("idrid", "", "", "", SCALES)
    grades = [(0, 0)] * 3 + [(2, 1)] + [(4, -1)] * 2
    rows = cross_rows(records_of([{"dr": dr, "dme": dme} for dr, dme in grades], info), info)
    table = {(row["dr"], row["dme"]): (row["photographs"], row["published"]) for row in rows}
    assert table[0, 0] == (3, 134)
    assert table[2, 1] == (1, 24)
    assert table[4, ""] == (2, 0)
    assert table[3, 2] == (0, 116)
    assert sum(found for found, _ in table.values()) == 6
    (note,) = cross_notes(rows, info)
    assert "Table III" in note
    assert "label files" in note
    plain = SetInfo("made", "", "", "", SCALES)
    assert {row["published"] for row in cross_rows(records_of([{"dr": 0, "dme": 0}], plain), plain)} == {None}
    assert cross_rows(records_of([{"dr": 0}], plain), SetInfo("made", "", "", "", {"dr": "icdr5"})) == []


def test_a_published_table_that_agrees_is_named() -> None:
    info = SetInfo("messidor", "", "", "", {"dr": "messidor4", "dme": "risk3"})
    cells = [
        (dr, dme)
        for dme, row in enumerate(PUBLISHED_CROSS["messidor"][1])
        for dr in range(4)
        for _ in range(row[dr])
    ]
    rows = cross_rows(records_of([{"dr": dr, "dme": dme} for dr, dme in cells], info), info)
    assert all(row["photographs"] == row["published"] for row in rows)
    assert "Table II" in cross_notes(rows, info)[0]


def test_the_official_labels_contradict_table_three(shared_data: Path) -> None:
    records = open_set("idrid", shared_data / "idrid", {"labels_only": True}).records(check=False)
    info = next(iter(records.info.values()))
    rows = cross_rows(records, info)
    by_grade = {dr: sum(r["photographs"] for r in rows if r["dr"] == dr) for dr in range(5)}
    assert by_grade == {0: 168, 1: 25, 2: 168, 3: 93, 4: 62}
    assert any(row["photographs"] != row["published"] for row in rows)


def test_patients_on_two_sides() -> None:
    info = SetInfo("made", "", "", "", SCALES)
    rows = [
        {"patient": "a", "part": "train", "eye": "left"},
        {"patient": "a", "part": "test", "eye": "right"},
        {"patient": "b", "part": "test", "eye": "left"},
        {"patient": "b", "part": "", "eye": "left"},
        {"patient": "", "part": "train"},
        {"patient": "", "part": "test"},
    ]
    records = records_of(rows, info)
    (found,) = patients_on_two_sides(records)
    assert found.images == ("0.png", "1.png")
    assert found.message == "patient a: 1 in train, 1 in test"
    assert patient_facts(records) == {
        "patients": 2,
        "patients with both eyes": 1,
        "patients with several views of an eye": 1,
        "photographs of a patient, at most": 2,
    }
    assert patient_facts(records_of([{}], info)) == {}


@pytest.mark.parametrize("name", ["deepdrid", "dr600"])
def test_official_layouts_have_no_patient_on_two_sides(name: str, tmp_path: Path) -> None:
    records = open_set(name, write_fake_set(name, tmp_path)).records(check=False)
    assert patients_on_two_sides(records) == []
