"""Parts are checked by counting: disjoint patients, kept proportions, the published files as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinalab.data.grouping import hold_out, k_folds
from retinalab.data.sets.messidor_errata import DUPLICATES
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
        RetinalabError, match=r"1 patients are both in train and in test \('toy/1'\).*as-published"
    ):
        split(records, Protocol())
    made = split(records, Protocol(split="as-published"))
    assert made.leaks == ("1 patients are both in train and in test ('toy/1')",)


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


def messidor_like(shared_data: Path, grouped: bool) -> Records:
    twins = {name: pair[0] for pair in DUPLICATES for name in pair} if grouped else {}
    names = (shared_data / "lists/canet/file_list.txt").read_text().split()
    info = SetInfo("messidor", "Messidor", "here", "none", {"dr": "messidor4"})
    rows = [
        {"image": name, "patient": twins.get(Path(name).stem, ""), "dr": k % 4}
        for k, name in enumerate(names)
    ]
    return make_records(rows, info, Path("nowhere"), "lists").take(
        np.random.default_rng(0).permutation(len(names))
    )


def test_canet_folds_as_published(shared_data: Path) -> None:
    records = messidor_like(shared_data, grouped=True)
    folder = shared_data / "lists" / "canet"
    protocol = Protocol(
        diseases={"dr": "messidor4"}, split="as-published", select_on="test", lists=str(folder)
    )
    names = (folder / "file_list.txt").read_text().split()
    seen: list[int] = []
    straddling: set[str] = set()
    for fold in range(10):
        made = split(records, protocol, fold, 10)
        numbers = (folder / "10fold" / "10fold" / f"fold{fold + 1}.txt").read_text().split()
        assert set(records.table["image"].to_numpy()[made.test]) == {names[int(number)] for number in numbers}
        assert (len(made.train), len(made.test)) == (1080, 120)
        assert f"fold {fold + 1} of 10" in made.origin
        seen.extend(made.test)
        groups = records.groups
        straddling |= set(groups[made.train]) & set(groups[made.test])
    assert sorted(seen) == list(range(1200))
    assert len(straddling) == 12


def test_canet_folds_leak_unless_as_published(shared_data: Path) -> None:
    records = messidor_like(shared_data, grouped=True)
    nested = Protocol(diseases={"dr": "messidor4"}, lists=str(shared_data / "lists/canet"))
    with pytest.raises(RetinalabError, match="are both in train and in test"):
        [split(records, nested, fold, 10) for fold in range(10)]
    made = split(messidor_like(shared_data, grouped=False), nested, 0, 10)
    assert (len(made.train), len(made.val), len(made.test)) == (918, 162, 120)
    with pytest.raises(RetinalabError, match="holds 10 folds"):
        split(records, nested, 0, 5)


def messidor2_like(folder: Path) -> Records:
    names = sorted(
        {line for part in ("train", "val", "test") for line in (folder / f"{part}.csv").read_text().split()}
    )
    names += [f"extra_{k}.png" for k in range(698)]
    return records_of([{"image": f"IMAGES/{Path(name).stem.upper()}.JPG"} for name in names])


def test_clpi_lists_are_repaired_unless_as_published(shared_data: Path) -> None:
    folder = shared_data / "lists" / "clpi_messidor2"
    records = messidor2_like(folder)
    assert len(records) == 1744
    repaired = split(records, Protocol(lists=str(folder)))
    check_disjoint(repaired, records)
    assert (len(repaired.train), len(repaired.val), len(repaired.test)) == (1046, 349, 349)
    assert "contains 698 photographs of the others" in repaired.origin
    published = split(records, Protocol(lists=str(folder), split="as-published"))
    assert (len(published.train), len(published.val), len(published.test)) == (1046, 349, 349)
    assert len(published.leaks) == 2
    assert all("349 photographs are both in train and in" in leak for leak in published.leaks)
    assert "698 photographs in no part" in published.origin


def write_lists(folder: Path, **lists: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, content in lists.items():
        (folder / f"{name}.txt").write_text(content)
    return str(folder)


def test_lists_that_do_not_belong(tmp_path: Path) -> None:
    records = records_of([{"image": f"a/{k}.jpg"} for k in range(4)] + [{"image": "b/0.jpg"}])
    with pytest.raises(RetinalabError, match=r"No folder .*nothing"):
        split(records, Protocol(lists=str(tmp_path / "nothing")))
    with pytest.raises(RetinalabError, match=r"holds neither file_list\.txt"):
        split(records, Protocol(lists=str(tmp_path)))
    wrong = write_lists(tmp_path / "wrong", train="1.jpg\n2.jpg\n", test="9.jpg\n")
    with pytest.raises(RetinalabError, match=r"test\.txt lists '9\.jpg', a name that none has"):
        split(records, Protocol(lists=wrong))
    vague = write_lists(tmp_path / "vague", train="1.jpg\n", test="0.jpg\n")
    with pytest.raises(RetinalabError, match=r"test\.txt lists '0\.jpg', a name that several have"):
        split(records, Protocol(lists=vague))
    beyond = write_lists(tmp_path / "beyond", file_list="a/1.jpg\na/2.jpg\n", fold1="0\n", fold2="2\n")
    with pytest.raises(RetinalabError, match=r"fold2\.txt holds row numbers outside 0 to 1"):
        split(records, Protocol(lists=beyond))
    words = write_lists(tmp_path / "words", file_list="a/1.jpg\na/2.jpg\n", fold1="0\n", fold2="one\n")
    with pytest.raises(RetinalabError, match=r"fold2\.txt holds more than row numbers"):
        split(records, Protocol(lists=words))


def test_lists_with_folders_in_the_names(tmp_path: Path) -> None:
    records = records_of([{"image": "a/0.jpg"}, {"image": "b/0.jpg"}, {"image": "a/1.jpg"}])
    lists = write_lists(tmp_path / "lists", train="a/0.jpg\n", val="1.png\n", test="B/0.jpg\n")
    made = split(records, Protocol(lists=lists))
    assert (made.train.tolist(), made.val.tolist(), made.test.tolist()) == ([0], [2], [1])


def test_too_few_patients() -> None:
    with pytest.raises(RetinalabError, match="1 patients cannot be divided"):
        split(
            records_of([{"image": "a.jpg", "patient": "1"}, {"image": "b.jpg", "patient": "1"}]), Protocol()
        )
