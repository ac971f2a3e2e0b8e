"""Parts are checked by counting: disjoint patients, kept proportions, the published files as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinalab.data.grouping import hold_out, k_folds
from retinalab.data.splits import Split, split
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.records import Records, SetInfo, make_records

INFO = SetInfo("toy", "Toy", "here", "none", {"dr": "icdr5"})


def records_of(rows: list[dict[str, object]]) -> Records:
    return make_records(rows, INFO, Path("nowhere"), "toy.csv")


def cohort(patients: int = 200, views: int = 2, parts: bool = False, seed: int = 0) -> Records:
    """Patients with correlated eyes; 60 % of them have grade 0."""
    generator = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for patient in range(patients):
        grade = int(generator.choice(5, p=[0.6, 0.15, 0.15, 0.06, 0.04]))
        part = ("test" if patient % 4 == 0 else "train") if parts else ""
        for view in range(views):
            rows.append(
                {"image": f"{patient}_{view}.jpg", "patient": str(patient), "dr": grade, "part": part}
            )
    return records_of(rows)


def check_disjoint(made: Split, records: Records) -> None:
    sides = [set(records.groups[rows]) for rows in (made.train, made.val, made.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    for rows in (made.train, made.val, made.test):
        assert (np.diff(rows) > 0).all()


def test_held_out_without_official_parts() -> None:
    records = cohort()
    made = split(records, Protocol())
    check_disjoint(made, records)
    assert len(made.train) + len(made.val) + len(made.test) == len(records)
    assert len(set(records.groups[made.test])) == 40
    assert len(set(records.groups[made.val])) == 24
    whole = np.bincount(records.table["dr"]) / len(records)
    for rows in (made.val, made.test):
        share = np.bincount(records.table["dr"].to_numpy()[rows], minlength=5) / len(rows)
        assert np.abs(share - whole).max() < 0.05
    assert made.leaks == ()
    assert not made.optimistic
    assert "by patient" in made.origin


def test_official_test_part_is_kept_and_validation_comes_from_training() -> None:
    records = cohort(parts=True)
    made = split(records, Protocol(validation=0.1))
    check_disjoint(made, records)
    np.testing.assert_array_equal(made.test, np.flatnonzero(records.table["part"] == "test"))
    assert len(set(records.groups[made.val])) == 15
    assert "official parts" in made.origin


def test_official_validation_part_is_used() -> None:
    records = records_of(
        [{"image": f"{k}.jpg", "part": part} for k, part in enumerate(["train", "val", "test", "train"])]
    )
    made = split(records, Protocol())
    assert (made.train.tolist(), made.val.tolist(), made.test.tolist()) == ([0, 3], [1], [2])


def test_same_seed_same_split_and_another_seed_another() -> None:
    records = cohort()
    first, again = split(records, Protocol()), split(records, Protocol())
    np.testing.assert_array_equal(first.val, again.val)
    np.testing.assert_array_equal(first.test, again.test)
    other = split(records, Protocol(split_seed=1))
    assert set(other.test) != set(first.test)


def test_order_of_the_rows_does_not_matter() -> None:
    records = cohort()
    shuffled = records.take(np.random.default_rng(3).permutation(len(records)))
    names = [set(r.table["image"].to_numpy()[split(r, Protocol()).test]) for r in (records, shuffled)]
    assert names[0] == names[1]


def test_folds_cover_every_photograph_once() -> None:
    records = cohort()
    protocol = Protocol(split="folds")
    made = [split(records, protocol, fold, 5) for fold in range(5)]
    np.testing.assert_array_equal(
        np.sort(np.concatenate([one.test for one in made])), np.arange(len(records))
    )
    for one in made:
        check_disjoint(one, records)
        assert len(one.val) > 0
        share = (records.table["dr"].to_numpy()[one.test] == 0).mean()
        assert abs(share - (records.table["dr"] == 0).mean()) < 0.08
    assert "fold 3 of 5" in made[2].origin


@pytest.mark.parametrize(
    ("fold", "folds", "words"),
    [(5, 5, "Fold 5 does not exist"), (0, 1, "cannot be divided into 1"), (0, 900, "200 patients")],
)
def test_impossible_folds(fold: int, folds: int, words: str) -> None:
    with pytest.raises(RetinalabError, match=words):
        split(cohort(), Protocol(split="folds"), fold, folds)


def test_folds_need_the_protocol() -> None:
    with pytest.raises(RetinalabError, match=r"folds=5 needs protocol\.split=folds"):
        split(cohort(), Protocol(), 0, 5)


def test_patient_on_two_sides_is_refused_and_labelled() -> None:
    rows = [
        {"image": "a.jpg", "patient": "1", "part": "train"},
        {"image": "b.jpg", "patient": "1", "part": "test"},
        {"image": "c.jpg", "patient": "2", "part": "train"},
        {"image": "d.jpg", "patient": "3", "part": "val"},
    ]
    records = records_of(rows)
    with pytest.raises(
        RetinalabError, match=r"1 patient is both in train and in test: toy/1 \(a \| b\).*as-published"
    ):
        split(records, Protocol())
    made = split(records, Protocol(split="as-published"))
    assert made.leaks == ("1 patient is both in train and in test: toy/1 (a | b)",)


def test_copies_are_told_apart_from_patients() -> None:
    """A picture and its copy are one thing, another picture of the same patient is another."""
    rows = [
        {"image": "x/a.jpg", "patient": "1", "part": "train", "duplicate": "a"},
        {"image": "x/b.jpg", "patient": "1", "part": "test", "duplicate": "a"},
        {"image": "x/c.jpg", "patient": "2", "part": "train", "duplicate": "c"},
        {"image": "x/d.jpg", "patient": "2", "part": "val", "duplicate": "c"},
        {"image": "x/e.jpg", "patient": "2", "part": "train", "duplicate": ""},
        {"image": "x/f.jpg", "patient": "3", "part": "test"},
    ]
    records = records_of(rows)
    leaks = (
        "1 duplicate pair is parted between train and val: c = d",
        "1 patient is both in train and in val: toy/2 (c, e | d)",
        "1 duplicate pair is parted between train and test: a = b",
    )
    assert split(records, Protocol(split="as-published")).leaks == leaks
    with pytest.raises(RetinalabError, match="1 duplicate pair is parted between train and test: a = b"):
        split(records, Protocol())


def test_many_leaks_are_counted_and_the_first_named() -> None:
    rows = [
        {"image": f"{patient}_{part}.jpg", "patient": f"{patient:02d}", "part": part}
        for patient in range(30)
        for part in ("train", "test", "val")
    ]
    with pytest.raises(RetinalabError) as caught:
        split(records_of(rows), Protocol())
    text = str(caught.value)
    assert text.count("30 patients are both in") == 3
    assert "toy/04 (4_train | 4_test) …" in text
    assert "toy/05" not in text


def test_selection_on_test_only_as_published() -> None:
    records = cohort(parts=True)
    with pytest.raises(RetinalabError, match="optimistic"):
        split(records, Protocol(select_on="test"))
    made = split(records, Protocol(split="as-published", select_on="test"))
    assert made.optimistic
    np.testing.assert_array_equal(made.val, made.test)
    assert made.leaks == ()
    assert len(made.train) + len(made.test) == len(records)


def test_as_published_needs_something_published() -> None:
    with pytest.raises(RetinalabError, match=r"needs official parts or protocol\.lists"):
        split(cohort(), Protocol(split="as-published"))


def test_incomplete_official_parts() -> None:
    with pytest.raises(RetinalabError, match="1 of 2 photographs have no official part"):
        split(records_of([{"image": "a.jpg", "part": "train"}, {"image": "b.jpg"}]), Protocol())
    with pytest.raises(RetinalabError, match="have no test photographs"):
        split(records_of([{"image": "a.jpg", "part": "train"}]), Protocol())


def test_frame_lists_every_photograph_with_its_part() -> None:
    records = cohort(20)
    made = split(records, Protocol())
    frame = made.frame()
    assert list(frame.columns) == ["row", "set", "image", "patient", "part"]
    assert frame["part"].value_counts().to_dict() == {
        "train": len(made.train),
        "val": len(made.val),
        "test": len(made.test),
    }
    assert (frame["image"].to_numpy() == records.table["image"].to_numpy()[frame["row"]]).all()


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=30),
    share=st.floats(0.02, 0.9),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_held_out_patients_stay_whole(sizes: list[int], share: float, seed: int, data: st.DataObject) -> None:
    groups = np.repeat([f"p{k}" for k in range(len(sizes))], sizes)
    grades = np.array(data.draw(st.lists(st.integers(-1, 4), min_size=len(groups), max_size=len(groups))))
    kept, held = hold_out(np.arange(len(groups)), groups, grades, share, seed)
    assert sorted([*kept, *held]) == list(range(len(groups)))
    assert not set(groups[kept]) & set(groups[held])
    wanted = min(max(round(share * len(sizes)), 1), len(sizes) - 1)
    assert len(set(groups[held])) == wanted


def test_rare_grades_do_not_break_folds() -> None:
    grades = np.array([0] * 20 + [1, 2, 4])
    groups = np.array([f"p{k}" for k in range(23)])
    folds = k_folds(groups, grades, 5, 0)
    assert sorted(np.concatenate(folds)) == list(range(23))
    assert {len(fold) for fold in folds} <= {4, 5}


def test_too_few_patients() -> None:
    with pytest.raises(RetinalabError, match="1 patients cannot be divided"):
        split(
            records_of([{"image": "a.jpg", "patient": "1"}, {"image": "b.jpg", "patient": "1"}]), Protocol()
        )
