"""Which windows a part gives: lesions, places without any, what training loses, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from retinalab.config import DataConfig, WindowConfig
from retinalab.data.cache import Prepared
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.data.pool import pooled_records
from retinalab.data.window_table import discarded, window_table
from retinalab.data.windows import cut
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.records import LESIONS, Records, SetInfo, make_records
from retinalab.testing import write_fake_set

SIDE = 96
BIT = {lesion: 1 << i for i, lesion in enumerate(LESIONS)}
SPOTS = {"EX": (20, 20), "HE": (70, 20), "MA": (20, 70)}


@dataclass(frozen=True)
class Drawn:
    """Prepared photographs of which only the lesions exist."""

    marks: np.ndarray
    wide: float = 400.0
    size: int = SIDE

    @property
    def boxes(self) -> np.ndarray:
        return np.array([[0.0, 0.0, self.wide]] * len(self.marks))

    def planes(self, rows: np.ndarray) -> np.ndarray:
        return self.marks[rows].copy()


def planes(*lesions: str, more: int = 0) -> np.ndarray:
    """Planes of one photograph with a spot of each named lesion, and further microaneurysms."""
    drawn = np.zeros((2, SIDE, SIDE), np.uint8)
    for lesion in lesions:
        spot = np.zeros((SIDE, SIDE), np.uint8)
        cv2.circle(spot, SPOTS.get(lesion, (70, 70)), 3, 1, cv2.FILLED)
        drawn[0] |= spot * np.uint8(BIT[lesion])
    for number in range(more):
        drawn[0, 90, 2 + 4 * number] |= BIT["MA"]
    return drawn


def records(name: str, grades: list[int], scale: str | None = "icdr5", annotated: bool = True) -> Records:
    info = SetInfo(name, name, "", "", {"dr": scale} if scale else {}, lesions=("EX", "HE", "MA"))
    known = {f"annotated_{lesion}": annotated for lesion in ("EX", "HE", "MA")}
    rows: list[dict[str, Any]] = [
        {"image": f"{name}{i}.png", "dr": grade, **known} for i, grade in enumerate(grades)
    ]
    return make_records(rows, info, Path(), name)


def part(marks: list[np.ndarray], *sets: Records, **options: Any) -> Part:
    cache = cast(Prepared, Drawn(np.stack(marks), **options))
    return Part("train", pooled_records(sets) if len(sets) > 1 else sets[0], cache, np.arange(len(marks)))


def config(**options: Any) -> WindowConfig:
    return WindowConfig.model_validate({"kind": "lesions", "size": 16, **options})


ALL = planes("EX", "HE", "MA")
CLEAR = planes()


def test_windows_without_a_lesion_come_from_photographs_without_retinopathy() -> None:
    made = part([ALL, CLEAR, CLEAR, planes("SE"), ALL], records("here", [2, 0, 1, 0, 3]))
    found = window_table(config(negatives=3), made, 0, training=True)
    free = found.table[found.table["label"] == 0]
    assert free["photograph"].tolist() == [1] * 15  # grade 1 is none, a marked soft exudate is none either
    assert not free.duplicated(["x", "y"]).any()
    assert found.table["photograph"].is_monotonic_increasing
    (note,) = found.notes
    assert note == (
        "windows of part train (here, 5 photographs): 2 EX, 2 HE, 2 MA, 15 none; those without a lesion from its 1 "
        "photographs without retinopathy"
    )


def test_published_counts_stand_beside_those_of_their_part() -> None:
    made = part([ALL, CLEAR], records("here", [2, 0]))
    published = {"train": {"EX": 6305, "MA": 2180}, "test": {"EX": 3474}}
    plain, beside = (window_table(config(**more), made, 0, True) for more in ({}, {"published": published}))
    assert beside.table.equals(plain.table)
    before, after = beside.notes[0].split(" (published: 6305 EX, 2180 MA)")
    assert before + after == plain.notes[0]
    assert before.endswith(" none")
    assert "published" not in window_table(config(published={"test": {"EX": 1}}), made, 0, True).notes[0]
    with pytest.raises(ValidationError, match=r"published.test counts 'SE'; classes: none, EX, HE, MA"):
        config(published={"test": {"SE": 1}})


def test_a_set_without_such_photographs_gives_free_places_of_its_own() -> None:
    for chosen in ("auto", "same"):
        made = part([ALL, ALL], records("here", [-1, -1], None))
        found = window_table(config(negatives=3, negatives_from=chosen), made, 0, training=True)
        free = found.table[found.table["label"] == 0]
        assert free["photograph"].tolist() == [0] * 3 + [1] * 3
        for x, y in free[["x", "y"]].to_numpy():
            assert not cut(ALL[0], x, y, 16).any()
        assert "of the same photographs" in found.notes[0]
        assert "none is known to be without retinopathy" in found.notes[0]
    mixed = part([ALL, CLEAR], records("here", [2, 0]))
    found = window_table(config(negatives=3, negatives_from="same"), mixed, 0, training=True)
    assert set(found.table.loc[found.table["label"] == 0, "photograph"]) == {0, 1}
    assert "none is known" not in found.notes[0]


def test_asking_for_healthy_photographs_where_there_are_none_is_said() -> None:
    with pytest.raises(RetinalabError, match=r"none of the 2 photographs of part train of 'here' is graded"):
        window_table(
            config(negatives_from="healthy"), part([ALL, CLEAR], records("here", [2, 1])), 0, training=True
        )


def test_each_set_of_a_mixture_gives_its_own() -> None:
    made = part([ALL, CLEAR, ALL, ALL], records("one", [2, 0]), records("two", [-1, -1], None))
    found = window_table(config(negatives=2), made, 0, training=True)
    free = found.table[found.table["label"] == 0]
    assert free["photograph"].tolist() == [1] * 4 + [2] * 2 + [3] * 2
    assert "one: those without a lesion from its 1 photographs" in found.notes[0]
    assert "two: those without a lesion from places of the same" in found.notes[0]


@pytest.mark.parametrize(
    ("scale", "annotated", "from_healthy"),
    [
        ("any", False, True),
        ("messidor4", False, True),
        ("referable", True, True),
        ("referable", False, False),
    ],
)
def test_what_grade_0_means_is_the_scales(scale: str, annotated: bool, from_healthy: bool) -> None:
    clear = CLEAR.copy()
    if not annotated:
        clear[1] = 255
    made = part([ALL, clear], records("here", [1, 0], scale, annotated))
    found = window_table(config(), made, 0, training=True)
    assert ("photographs without retinopathy" in found.notes[0]) == from_healthy
    free = found.table.loc[found.table["label"] == 0, "photograph"]
    assert set(free) == ({1} if from_healthy else {0})


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 99), st.data())
def test_what_is_lost_at_one_share_is_lost_at_every_higher_one(
    lesions: list[int], seed: int, data: st.DataObject
) -> None:
    low, high = sorted(data.draw(st.tuples(st.floats(0, 0.9), st.floats(0, 0.9))))
    few, many = discarded(lesions, low, seed), discarded(lesions, high, seed)
    assert [len(lost) for lost in few] == lesions
    assert sum(lost.sum() for lost in few) == round(low * sum(lesions))
    assert all((b | ~a).all() for a, b in zip(few, many, strict=True))


def test_training_loses_lesions_and_nothing_else_does() -> None:
    marks = [planes("EX", "HE", "MA", more=8)] * 6
    made = part([*marks, CLEAR], records("here", [2] * 6 + [0]))
    whole = window_table(config(), made, 0, training=True).table
    less = window_table(config(discard=0.3), made, 0, training=True)
    judged = window_table(config(discard=0.3), made, 0, training=False)
    assert judged.table.equals(whole)
    positive = whole[whole["label"] > 0]
    assert (less.table["label"] > 0).sum() == len(positive) - round(0.3 * len(positive)) == 66 - 20
    assert less.table[less.table["label"] == 0].equals(
        whole[whole["label"] == 0]
        .reset_index(drop=True)
        .set_index(less.table.index[less.table["label"] == 0])
    )
    assert "20 of 66 lesions lost their annotation (discard 0.3)" in less.notes[0]
    assert "their places" not in less.notes[0]
    other = window_table(config(discard=0.3), made, 1, training=True).table
    assert not other[other["label"] > 0].equals(less.table[less.table["label"] > 0])


def test_a_lost_lesions_place_may_be_a_negative_of_the_same_photograph() -> None:
    crowded = np.zeros((2, SIDE, SIDE), np.uint8)
    crowded[0, ::12, ::12] = BIT["MA"]  # no window of 16 pixels is free of them
    made = part([crowded], records("here", [2]))
    with pytest.raises(RetinalabError, match="no window of class none"):
        window_table(config(classes=["MA"], negatives_from="same"), made, 0, training=True)
    options = {"classes": ["MA"], "negatives_from": "same", "negatives": 20, "discard": 0.9}
    found = window_table(config(**options), made, 0, training=True)
    kept = found.table[found.table["label"] > 0]
    remaining = np.zeros((SIDE, SIDE), bool)
    remaining[kept["y"], kept["x"]] = True
    free = found.table[found.table["label"] == 0]
    assert len(free) == 20
    for x, y in free[["x", "y"]].to_numpy():
        assert cut(crowded[0], x, y, 16).any()
        assert not cut(remaining.astype(np.uint8), x, y, 16).any()
    assert "their places count as free of lesions" in found.notes[0]


def test_a_class_without_a_window_is_said_where_it_should_be_learned() -> None:
    made = part([planes("EX", "MA"), CLEAR], records("here", [2, 0]))
    with pytest.raises(RetinalabError) as raised:
        window_table(config(), made, 0, training=True)
    assert str(raised.value).startswith(
        "Part train of here has no window of class HE: 2 photographs, 1 of them with a marked lesion of EX, HE, MA, "
        "give 1 EX, 0 HE, 1 MA, 8 none. Add photographs whose masks show it"
    )
    assert "\n" not in str(raised.value)
    assert window_table(config(), made, 0, training=False).notes[0].count("0 HE") == 1
    nothing = part([CLEAR], records("here", [2]))
    with pytest.raises(
        RetinalabError, match=r"Part train of here has no window of class EX, HE, MA: .* 4 none"
    ):
        window_table(config(), nothing, 0, training=True)
    with pytest.raises(RetinalabError, match="no window of class EX: 1 photographs, 0 of them"):
        window_table(config(negatives=0, classes=["EX"]), nothing, 0, training=False)


def test_photographs_smaller_than_a_window_are_said() -> None:
    here = records("here", [2])
    with pytest.raises(
        RetinalabError, match=r"Windows of 97 pixels are larger .* 96 pixels at the working size"
    ):
        window_table(config(size=97), part([ALL], here), 0, training=True)
    with pytest.raises(
        RetinalabError, match=r"1 of 1 photographs .* 'here0.png', whose field of view is 40 pixels"
    ):
        window_table(config(size=68), part([ALL], here, wide=40.0), 0, training=True)


def test_a_lesion_outside_the_kept_circle_gives_no_window() -> None:
    made = part([planes("EX", "HE", "MA", more=2), CLEAR], records("here", [2, 0]))
    found = window_table(config(), made, 0, training=True, circle=0.9)
    positive = found.table[found.table["label"] > 0]
    assert len(positive) == 3  # two microaneurysms at (2, 90) and (6, 90) lie in the corner
    assert (np.hypot(positive["x"] - 47.5, positive["y"] - 47.5) <= 0.45 * SIDE).all()
    assert "2 lesions outside the kept circle left out" in found.notes[0]


def test_places_follow_from_the_seed_and_from_nothing_else() -> None:
    made = part([ALL, ALL, CLEAR], records("here", [2, 3, 0]))
    first, again, other = (window_table(config(), made, seed, training=True) for seed in (3, 3, 4))
    assert first.table.equals(again.table)
    positive = first.table["label"] > 0
    assert first.table[positive].equals(other.table[positive])
    assert not first.table.equals(other.table)
    assert (first.table.dtypes == np.int64).all()


def test_a_photograph_that_gives_no_window_changes_no_type() -> None:
    made = part([CLEAR, ALL, CLEAR], records("here", [2, 2, 0]))
    found = window_table(config(negatives=1), made, 0, training=True).table
    assert 0 not in set(found["photograph"])
    assert (found.dtypes == np.int64).all()


def test_a_high_loss_that_takes_a_whole_class_is_said() -> None:
    made = part([planes("EX", "HE", more=18), CLEAR], records("here", [2, 0]))
    with pytest.raises(
        RetinalabError, match=r"no window of class .* after data\.windows\.discard=0\.9: 2 photographs"
    ):
        window_table(config(discard=0.9), made, 0, training=True)


@pytest.mark.parametrize(
    ("name", "source"), [("idrid", "of the same photographs"), ("fgadr", "without retinopathy")]
)
def test_a_data_sets_notes_count_its_windows_and_name_the_source_of_negatives(
    name: str, source: str, tmp_path: Path
) -> None:
    given = {
        "set": name,
        "root": write_fake_set(name, tmp_path / name, 40),
        "options": {"task": "segmentation"} if name == "idrid" else {},
        "size": 64,
        "cache": tmp_path,
        "windows": {"kind": "lesions", "size": 16},
    }
    module = FundusDataModule(DataConfig.model_validate(given), Protocol(diseases={"dr": "icdr5"}))
    parts = {part.name: part for part in (module.parts.train, module.parts.val, *module.parts.tests.values())}
    notes = [note for note in module.parts.notes if note.startswith("windows of part")]
    assert len(notes) == 3
    for note, (which, part) in zip(notes, parts.items(), strict=True):
        windows = module.dataset(part, training=which == "train").windows
        assert windows is not None
        counts = np.bincount(windows["label"], minlength=4)
        told = ", ".join(
            f"{n} {c}" for n, c in zip((*counts[1:], counts[0]), ("EX", "HE", "MA", "none"), strict=True)
        )
        assert f"part {which} ({name}, {len(part)} photographs): {told}; " in note
        grades = part.records.table["dr"].to_numpy()[windows.loc[windows["label"] == 0, "photograph"]]
        if source in note and name == "fgadr":
            assert set(grades) == {0}
    assert source in notes[0]
