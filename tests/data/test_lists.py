"""Lists as their authors published them, what leaks in them, and lists written so that they read back the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinalab.cli import main
from retinalab.data.leaks import fold_leaks
from retinalab.data.lists import read_lists
from retinalab.data.sets import open_set
from retinalab.data.sets.messidor_errata import DUPLICATES
from retinalab.data.splits import Split, split
from retinalab.data.write_lists import write_folds, write_parts
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.records import Records, SetInfo, make_records

WritePairs = Callable[[Path, Sequence[tuple[str, str]]], Path]
INFO = SetInfo("toy", "Toy", "here", "none", {"dr": "icdr5"})
MESSIDOR = {"dr": "messidor4", "dme": "risk3"}


def records_of(images: Sequence[str], **columns: Sequence[object]) -> Records:
    rows = [{"image": image, **{k: v[n] for k, v in columns.items()}} for n, image in enumerate(images)]
    return make_records(rows, INFO, Path("nowhere"), "toy.csv")


def folds_of(lists: Path) -> dict[str, int]:
    """Photograph -> CANet's fold, read from the files without the code under test."""
    names = [Path(name).stem for name in (lists / "file_list.txt").read_text().split()]
    fold = {}
    for number in range(1, 11):
        for row in (lists / "10fold" / "10fold" / f"fold{number}.txt").read_text().split():
            fold[names[int(row)]] = number
    return fold


@pytest.fixture(scope="module")
def messidor(messidor_root: Path) -> Records:
    return open_set("messidor", messidor_root, {"inconsistent": "keep"}, strict=True).records()


def test_canet_folds_as_published(messidor: Records, canet_lists: Path) -> None:
    protocol = Protocol(diseases=MESSIDOR, split="as-published", select_on="test", lists=str(canet_lists))
    of = folds_of(canet_lists)
    seen: list[int] = []
    told = 0
    for fold in range(10):
        made = split(messidor, protocol, fold, 10)
        tested = {Path(image).stem for image in messidor.table["image"].to_numpy()[made.test]}
        assert tested == {name for name, number in of.items() if number == fold + 1}
        assert (len(made.train), len(made.test)) == (1080, 120)
        assert f"fold {fold + 1} of 10" in made.origin
        parted = [pair for pair in DUPLICATES if (of[pair[0]] == fold + 1) != (of[pair[1]] == fold + 1)]
        assert len(made.leaks) == (1 if parted else 0)
        for first, second in parted:
            assert f"{first} = {second}" in made.leaks[0] or f"{second} = {first}" in made.leaks[0]
        told += len(parted)
        seen.extend(made.test)
    assert sorted(seen) == list(range(1200))
    assert told == 2 * 12


def test_canet_folds_part_twelve_of_thirteen_pairs(messidor: Records, canet_lists: Path) -> None:
    (line,) = fold_leaks(messidor, read_lists(canet_lists, messidor).folds)
    assert line.startswith("the folds part 12 of 13 duplicate pairs: ")
    of = folds_of(canet_lists)
    for first, second in DUPLICATES:
        named = any(
            f"{one} (fold {of[one]}) = {two} (fold {of[two]})" in line
            for one, two in ((first, second), (second, first))
        )
        assert named == (of[first] != of[second])


def test_canet_folds_are_refused_at_the_first_fold(messidor: Records, canet_lists: Path) -> None:
    """Fold 1 alone parts no pair; the run of ten is refused before it has begun."""
    for how in ("held-out", "folds"):
        nested = Protocol(diseases=MESSIDOR, split=how, lists=str(canet_lists))
        with pytest.raises(
            RetinalabError, match=r"12 of 13 duplicate pairs: 20051202_.*as-published"
        ) as caught:
            split(messidor, nested, 0, 10)
        assert "\n" not in str(caught.value)
    as_published = Protocol(diseases=MESSIDOR, split="as-published", lists=str(canet_lists))
    assert split(messidor, as_published, 0, 10).leaks == ()
    with pytest.raises(RetinalabError, match="holds 10 folds"):
        split(messidor, as_published, 0, 5)


def test_canet_folds_where_copies_count_as_different(messidor_root: Path, canet_lists: Path) -> None:
    options = {"inconsistent": "keep", "duplicates": "ignore"}
    records = open_set("messidor", messidor_root, options).records()
    made = split(records, Protocol(diseases=MESSIDOR, lists=str(canet_lists)), 0, 10)
    assert (len(made.train), len(made.val), len(made.test)) == (918, 162, 120)
    assert made.leaks == ()


def test_canet_folds_part_the_eyes_of_patients(
    messidor_root: Path, canet_lists: Path, tmp_path: Path, write_pairs: WritePairs
) -> None:
    of = folds_of(canet_lists)
    copies = {name for pair in DUPLICATES for name in pair}
    names = sorted(set(of) - copies)[:1058]
    pairs = list(zip(names[::2], names[1::2], strict=True))
    file = write_pairs(tmp_path / "messidor-2.csv", [(f"{a}.png", f"{b}.png") for a, b in pairs])
    options = {"inconsistent": "keep", "pairs": str(file)}
    records = open_set("messidor", messidor_root, options).records()
    assert len(set(records.groups)) == 1200 - 13 - 529
    parted = [pair for pair in pairs if of[pair[0]] != of[pair[1]]]
    copied, eyes = fold_leaks(records, read_lists(canet_lists, records).folds)
    assert copied.startswith("the folds part 12 of 13 duplicate pairs")
    assert eyes.startswith(f"the folds part the photographs of {len(parted)} of 529 patients with several: ")
    assert any(f"{a} (fold {of[a]})" in eyes and f"{b} (fold {of[b]})" in eyes for a, b in parted)
    with pytest.raises(RetinalabError, match=f"{len(parted)} of 529 patients"):
        split(records, Protocol(diseases=MESSIDOR, lists=str(canet_lists)), 3, 10)
    protocol = Protocol(diseases=MESSIDOR, split="as-published", select_on="test", lists=str(canet_lists))
    made = split(records, protocol, 3, 10)
    here = [pair for pair in parted if 4 in (of[pair[0]], of[pair[1]])]
    assert any(leak.startswith(f"{len(here)} patients are both in train and in test") for leak in made.leaks)


def test_lists_of_photographs_that_an_option_left_out(messidor_root: Path, canet_lists: Path) -> None:
    records = open_set("messidor", messidor_root).records()
    protocol = Protocol(diseases=MESSIDOR, split="as-published", lists=str(canet_lists))
    with pytest.raises(RetinalabError, match=r"4 of 1200 names.*options\.inconsistent=drop"):
        split(records, protocol)


@pytest.fixture(scope="module")
def messidor2(messidor2_root: Path) -> Records:
    records = open_set("messidor2", messidor2_root).records()
    return records.take(np.flatnonzero(records.table["gradable"]))


def sizes(made: Split) -> tuple[int, int, int]:
    return len(made.train), len(made.val), len(made.test)


def test_clpi_lists_are_repaired_unless_as_published(messidor2: Records, clpi_lists: Path) -> None:
    listed = {
        part: set((clpi_lists / f"{part}.csv").read_text().split()) for part in ("train", "val", "test")
    }
    assert len(listed["train"] & listed["val"]) == len(listed["train"] & listed["test"]) == 349
    assert len(messidor2) == 1744
    published = split(messidor2, Protocol(lists=str(clpi_lists), split="as-published"))
    assert sizes(published) == (1046, 349, 349)
    whole = [leak for leak in published.leaks if "photographs are both in" in leak]
    assert [leak.split(" (first")[0] for leak in whole] == [
        "349 photographs are both in train and in val",
        "349 photographs are both in train and in test",
    ]
    assert "698 photographs in no part" in published.origin
    apart = messidor2.table.drop(columns="duplicate").assign(patient="")
    alone = Records(apart, messidor2.info, messidor2.roots)
    repaired = split(alone, Protocol(lists=str(clpi_lists)))
    assert sizes(repaired) == (1046, 349, 349)
    assert repaired.leaks == ()
    assert "contains 698 photographs of the others, so all 1046" in repaired.origin
    np.testing.assert_array_equal(
        np.sort(np.concatenate([repaired.train, repaired.val, repaired.test])), np.arange(1744)
    )


def clpi_part(clpi_lists: Path) -> dict[str, str]:
    """Photograph -> its part after the repair, read without the code under test."""
    parts = {part: (clpi_lists / f"{part}.csv").read_text().split() for part in ("val", "test")}
    return {Path(name).stem.lower(): part for part, names in parts.items() for name in names}


def test_clpi_lists_part_copies_that_messidor_names(messidor2: Records, clpi_lists: Path) -> None:
    part = clpi_part(clpi_lists)
    known = set(messidor2.table["image"].str.rsplit("/").str[-1].str.lower().str.removesuffix(".png"))
    pairs = [pair for pair in DUPLICATES if {name.lower() for name in pair} <= known]
    assert len(pairs) == 3
    parted = [pair for pair in pairs if len({part.get(name.lower(), "train") for name in pair}) > 1]
    assert parted
    with pytest.raises(RetinalabError) as caught:
        split(messidor2, Protocol(lists=str(clpi_lists)))
    for first, second in parted:
        assert f"{first} = {second}" in str(caught.value) or f"{second} = {first}" in str(caught.value)


def test_clpi_lists_part_eyes_where_the_pairs_are_known(
    messidor2_root: Path,
    messidor2_names: list[str],
    clpi_lists: Path,
    tmp_path: Path,
    write_pairs: WritePairs,
) -> None:
    part = clpi_part(clpi_lists)
    pairs = list(zip(messidor2_names[::2], messidor2_names[1::2], strict=True))
    options = {"pairs": str(write_pairs(tmp_path / "p.csv", pairs)), "duplicates": "ignore"}
    records = open_set("messidor2", messidor2_root, options, strict=True).records()
    records = records.take(np.flatnonzero(records.table["gradable"]))
    sides = [tuple(sorted(part.get(Path(name).stem.lower(), "train") for name in pair)) for pair in pairs]
    with pytest.raises(RetinalabError) as caught:
        split(records, Protocol(lists=str(clpi_lists)))
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        count = sides.count(tuple(sorted((first, second))))
        assert count > 1
        assert f"{count} patients are both in {first} and in {second}: messidor2/" in str(caught.value)
    published = split(records, Protocol(lists=str(clpi_lists), split="as-published"))
    assert len(published.leaks) == 3
    assert f"{sides.count(('test', 'val'))} patients are both in val and in test" in published.leaks[2]


def test_lists_of_another_set(
    messidor: Records, messidor2: Records, clpi_lists: Path, canet_lists: Path
) -> None:
    with pytest.raises(
        RetinalabError, match=r"train\.csv lists '.*none has among the 1200 .*'messidor' \(420 of 1046"
    ):
        read_lists(clpi_lists, messidor)
    with pytest.raises(RetinalabError, match=r"file_list\.txt lists .*'messidor2' \(574 of 1200 names\)"):
        read_lists(canet_lists, messidor2)


def test_training_list_that_holds_some_test_photographs_is_refused(tmp_path: Path) -> None:
    """Only where the others lie inside train as a whole is it known what the authors meant."""
    lists = write(tmp_path, train="a.jpg\nb.jpg\nc.jpg", val="d.jpg", test="c.jpg\ne.jpg")
    with pytest.raises(
        RetinalabError, match=r"1 photograph is both in train and in test \(first: 'c\.jpg'\)"
    ):
        split(records_of([f"{name}.jpg" for name in "abcdef"]), Protocol(lists=lists))


def write(folder: Path, **lists: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, content in lists.items():
        (folder / f"{name}.txt").write_text(content)
    return str(folder)


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({}, r"holds neither file_list\.txt.*found there: nothing"),
        ({"file_list": "a/1.jpg"}, r"found there: 'file_list\.txt'"),
        (
            {"train": "1.jpg\n2.jpg", "test": "9.jpg"},
            r"test\.txt lists '9\.jpg', a name that none has among the 5",
        ),
        ({"train": "1.jpg", "test": "0.jpg"}, r"test\.txt lists '0\.jpg', a name that several have"),
        (
            {"file_list": "a/1.jpg\na/2.jpg", "fold1": "0", "fold2": "2"},
            r"fold2\.txt holds row numbers outside 0 to 1",
        ),
        (
            {"file_list": "a/1.jpg\na/2.jpg", "fold1": "0", "fold2": "one"},
            r"fold2\.txt holds more than row numbers",
        ),
        ({"file_list": "a/1.jpg\na/2.jpg", "fold1": "0", "fold3": "1"}, r"lacks fold2\.txt \(1 of 3"),
        ({"file_list": "a/1.jpg\na/2.jpg", "fold2": "0", "fold3": "1"}, r"lacks fold1\.txt"),
        (
            {"file_list": "a/1.jpg\na/2.jpg", "fold1": "0", "fold2": "1", "val1": "1"},
            r"fold2\.txt and val2\.txt",
        ),
    ],
)
def test_lists_that_do_not_belong(tmp_path: Path, lists: dict[str, str], words: str) -> None:
    records = records_of([*(f"a/{k}.jpg" for k in range(4)), "b/0.jpg"])
    with pytest.raises(RetinalabError, match=words) as caught:
        split(records, Protocol(lists=write(tmp_path / "lists", **lists)))
    assert "\n" not in str(caught.value)


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    records = records_of(["a.jpg", "b.jpg"])
    with pytest.raises(RetinalabError, match=r"No folder .*nothing"):
        read_lists(tmp_path / "nothing", records)
    folder = Path(write(tmp_path / "lists", train="a.jpg", test="b.jpg"))
    (folder / "test.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RetinalabError, match=r"test\.txt is no readable list"):
        read_lists(folder, records)
    (folder / "test.txt").write_text("b.jpg")
    (folder / "file_list.txt").write_text("a.jpg\nb.jpg")
    for place in (folder / "x", folder / "y"):
        place.mkdir()
        (place / "fold1.txt").write_text("0")
    with pytest.raises(RetinalabError, match=r"fold1\.txt and .*fold1\.txt are both fold1"):
        read_lists(folder, records)


def test_names_with_folders_suffixes_and_cases(tmp_path: Path) -> None:
    records = records_of(["a/0.jpg", "b/0.jpg", "a/1.jpg", "a/X.jpg", "a/x.jpg"])
    lists = write(tmp_path, train="a/0.jpg\na/x.jpg", val="1.png\na/X.jpg", test="B/0.jpg")
    made = split(records, Protocol(lists=lists))
    assert (made.train.tolist(), made.val.tolist(), made.test.tolist()) == ([0, 4], [2, 3], [1])


def test_photograph_in_two_folds(tmp_path: Path) -> None:
    records = records_of(["a.jpg", "b.jpg", "c.jpg"])
    lists = write(tmp_path, file_list="a.jpg\nb.jpg\nc.jpg", fold1="0\n1", fold2="1\n2")
    with pytest.raises(RetinalabError, match=r"1 photograph is in several folds \(first: 'b\.jpg'\)"):
        split(records, Protocol(lists=lists))
    made = split(records, Protocol(lists=lists, split="as-published", select_on="test"))
    assert made.leaks == ("1 photograph is both in train and in test (first: 'b.jpg')",)


@settings(deadline=None, max_examples=30)
@given(
    groups=st.lists(st.integers(0, 5), min_size=4, max_size=14),
    pictures=st.lists(st.integers(0, 9), min_size=14, max_size=14),
    folds=st.lists(st.integers(0, 2), min_size=14, max_size=14),
)
def test_fold_leaks_against_every_pair(groups: list[int], pictures: list[int], folds: list[int]) -> None:
    """Brute force over pairs of photographs; copies of one picture belong to one patient, as adapters see to."""
    count = len(groups)
    patient = [groups[pictures.index(pictures[k])] if pictures[k] < 5 else groups[k] for k in range(count)]
    copy = [f"c{pictures[k]}" if pictures[k] < 5 else "" for k in range(count)]
    records = records_of(
        [f"{k}.jpg" for k in range(count)], patient=[f"p{p}" for p in patient], duplicate=copy
    )
    tests = [np.array([k for k in range(count) if folds[k] == fold], dtype=np.int64) for fold in range(3)]
    copies, eyes = set(), set()
    for a, b in itertools.combinations(range(count), 2):
        same = copy[a] != "" and copy[a] == copy[b]
        if folds[a] != folds[b] and same:
            copies.add(copy[a])
        elif folds[a] != folds[b] and patient[a] == patient[b]:
            eyes.add(patient[a])
    lines = fold_leaks(records, tests)
    told = {("copies" if "duplicate" in line else "eyes"): line for line in lines}
    assert bool(copies) == ("copies" in told)
    assert bool(eyes) == ("eyes" in told)
    if copies:
        assert told["copies"].startswith(f"the folds part {len(copies)} of ")
    if eyes:
        assert told["eyes"].startswith(f"the folds part the photographs of {len(eyes)} of ")


def cohort(patients: int = 40) -> Records:
    generator = np.random.default_rng(1)
    images = [f"Set A/{k // 2}_{'lr'[k % 2]}.JPG" for k in range(2 * patients)]
    grades = generator.integers(0, 5, patients).repeat(2)
    return records_of(images, patient=[str(k // 2) for k in range(2 * patients)], dr=grades.tolist())


def equal(one: Split, other: Split) -> None:
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(one.parts[part], other.parts[part])


def test_written_parts_read_back(tmp_path: Path) -> None:
    records = cohort()
    made = split(records, Protocol(split_seed=7))
    write_parts(tmp_path / "lists", records, made.parts)
    equal(made, split(records, Protocol(lists=str(tmp_path / "lists"))))
    shuffled = records.take(np.random.default_rng(0).permutation(len(records)))
    again = split(shuffled, Protocol(lists=str(tmp_path / "lists"), split_seed=3))
    for part, rows in made.parts.items():
        assert set(shuffled.table["image"].iloc[again.parts[part]]) == set(records.table["image"].iloc[rows])


def test_written_folds_read_back_with_their_validation_parts(tmp_path: Path) -> None:
    """The validation part is written too: another share or seed of validation changes nothing."""
    records = cohort()
    protocol = Protocol(split="folds", validation=0.3, split_seed=5)
    made = [split(records, protocol, fold, 4) for fold in range(4)]
    write_folds(tmp_path, records, [one.test for one in made], [one.val for one in made])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "file_list.txt", *(f"fold{k}.txt" for k in range(1, 5)), *(f"val{k}.txt" for k in range(1, 5)),
    ]  # fmt: skip
    for fold, one in enumerate(made):
        equal(one, split(records, Protocol(split="folds", lists=str(tmp_path)), fold, 4))


def test_lists_are_never_mixed_or_ambiguous(tmp_path: Path) -> None:
    records = cohort()
    made = split(records, Protocol())
    write_parts(tmp_path, records, made.parts)
    write_parts(tmp_path, records, split(records, Protocol(split_seed=1)).parts)
    equal(split(records, Protocol(split_seed=1)), split(records, Protocol(lists=str(tmp_path))))
    with pytest.raises(RetinalabError, match=r"holds other files \(3, first: 'test\.csv'\).*empty folder"):
        write_folds(tmp_path, records, [made.test, made.train])
    (tmp_path / "file").touch()
    with pytest.raises(RetinalabError, match="Cannot write lists into"):
        write_parts(tmp_path / "file", records, made.parts)
    broken = records_of(["a\nb.jpg", "c.jpg"])
    with pytest.raises(RetinalabError):
        write_parts(tmp_path / "broken", broken, {"train": np.array([0]), "test": np.array([1])})
    twice = Records(records.table.assign(image="x.jpg"), records.info, records.roots)
    with pytest.raises(RetinalabError, match=r"'x\.jpg' is the name of two photographs"):
        write_parts(tmp_path / "twice", twice, made.parts)


def test_command_reports_what_canet_folds_part(
    messidor_root: Path, canet_lists: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["data", "split", "messidor", "--root", str(messidor_root), "options.inconsistent=keep"]
    assert main([*words, f"lists={canet_lists}"]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("retinalab: ")]
    assert "part 12 of 13 duplicate pairs: " in line
    out = tmp_path / "lists"
    published = [*words, f"protocol.lists={canet_lists}", "split=as-published", "select_on=test"]
    assert main([*published, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "leak: the folds part 12 of 13 duplicate pairs: " in said
    assert "optimistic" in said
    assert "folds=10" in said
    records = open_set("messidor", messidor_root, {"inconsistent": "keep"}).records()
    for mine, theirs in zip(
        read_lists(out, records).folds, read_lists(canet_lists, records).folds, strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
