"""Messidor: errata by setting, copies, the pairs file, and copies of the layout with the true names."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retinalab.data.sets import open_set
from retinalab.data.sets.messidor import BASES
from retinalab.data.sets.messidor_errata import DUPLICATES, INCONSISTENT_DUPLICATES
from retinalab.errors import RetinalabError

Rows = Mapping[str, Sequence[tuple[str, int, int]]]
WriteMessidor = Callable[..., Path]
WritePairs = Callable[[Path, Sequence[tuple[str, str]]], Path]

ERRATA_ROWS: Rows = {
    "Base11": [
        ("20051020_64007_0100_PP.tif", 1, 0),
        ("20051020_63936_0100_PP.tif", 3, 1),
        ("20051020_63045_0100_PP.tif", 3, 2),
    ],
    "Base13": [("20060523_48477_0100_PP.tif", 2, 0), ("20060523_48999_0100_PP.tif", 2, 0)],
}


def read(root: Path, rows: Rows, **options: Any) -> Any:
    return open_set("messidor", root, {"bases": list(rows), **options}).records()


def refused(root: Path, words: str, options: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(RetinalabError, match=words) as caught:
        open_set("messidor", root, options).records()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def note(records: Any, words: str) -> str:
    found = [line for line in records.notes if words in line]
    assert len(found) == 1, records.notes
    return str(found[0])


@pytest.mark.parametrize("suffix", ["xls", "csv"])
def test_errata_by_setting(write_messidor: WriteMessidor, tmp_path: Path, suffix: str) -> None:
    root = write_messidor(tmp_path, ERRATA_ROWS, suffix)
    corrected = read(root, ERRATA_ROWS)
    assert corrected.table["dr"].tolist() == [3, 1, 0, 3, 2]
    assert corrected.table["dme"].tolist() == [0, 1, 2, 0, 0]
    line = note(corrected, "4 retinopathy grades corrected")
    for change in (
        "64007_0100_PP 1 → 3",
        "63936_0100_PP 3 → 1",
        "63045_0100_PP 3 → 0",
        "48477_0100_PP 2 → 3",
    ):
        assert change in line
    first = read(root, ERRATA_ROWS, errata=False)
    assert first.table["dr"].tolist() == [1, 3, 3, 2, 2]
    assert not any("errata" in line for line in first.notes)
    assert first.info["messidor"].scales == {"dr": "messidor4", "dme": "risk3"}


def test_errata_leave_corrected_files_alone(write_messidor: WriteMessidor, tmp_path: Path) -> None:
    fixed = {"Base11": [("20051020_64007_0100_PP.tif", 3, 0), ("20051020_1_0100_PP.tif", 1, 0)]}
    records = read(write_messidor(tmp_path, fixed), fixed)
    assert records.table["dr"].tolist() == [3, 1]
    assert "20051020_64007_0100_PP" in note(
        records, "1 grades of the owners' errata stand in the annotation files"
    )


def base33() -> Rows:
    odd = INCONSISTENT_DUPLICATES[0]
    return {
        "Base33": [
            *((f"{name}.tif", 1, 0) for name in DUPLICATES[0]),
            (f"{odd[0]}.tif", 2, 1),
            (f"{odd[1]}.tif", 2, 0),
            ("20051202_99999_0400_PP.tif", 1, 0),
        ]
    }


@pytest.mark.parametrize(
    ("options", "left", "groups", "marked"),
    [
        ({}, [0, 1, 4], 2, 2),
        ({"inconsistent": "keep"}, [0, 1, 2, 3, 4], 3, 4),
        ({"duplicates": "drop"}, [0, 4], 2, 1),
        ({"duplicates": "drop", "inconsistent": "keep"}, [0, 2, 4], 3, 2),
        ({"duplicates": "ignore"}, [0, 1, 4], 3, 0),
        ({"duplicates": "ignore", "inconsistent": "keep"}, [0, 1, 2, 3, 4], 5, 0),
    ],
)
def test_copies(
    write_messidor: WriteMessidor,
    tmp_path: Path,
    options: dict[str, str],
    left: list[int],
    groups: int,
    marked: int,
) -> None:
    rows = base33()
    names = [name for name, _, _ in rows["Base33"]]
    records = read(write_messidor(tmp_path, rows), rows, **options)
    assert [image.removeprefix("Base33/") for image in records.table["image"]] == [names[k] for k in left]
    assert len(set(records.groups)) == groups
    assert (records.table["duplicate"] != "").sum() == marked
    if "inconsistent" not in options:
        line = note(records, "with different labels left out")
        assert "20051202_54611_0400_PP (dr 2, dme 1) = 20051202_55562_0400_PP (dr 2, dme 0)" in line
    word = {
        "group": "share a patient",
        "drop": "left out (options.duplicates",
        "ignore": "different photographs",
    }
    line = note(records, word[options.get("duplicates", "group")])
    assert "20051202_54744_0400_PP = 20051202_55582_0400_PP" in line
    assert f"options.duplicates={options.get('duplicates', 'group')}" in line


def test_pairs_make_two_eyes_one_patient_through_copies_too(
    write_pairs: WritePairs, write_messidor: WriteMessidor, tmp_path: Path
) -> None:
    one, copy = DUPLICATES[0]
    names = [one, copy, "a_eye", "b_eye", "alone"]
    rows = {"Base33": [(f"{name}.tif", 0, 0) for name in names]}
    root = write_messidor(tmp_path / "set", rows)
    pairs = write_pairs(
        tmp_path / "p.csv", [("A_EYE.png", f"{copy}.png"), ("IM1.JPG", "IM2.JPG"), ("b_eye.png", "x.png")]
    )
    records = read(root, rows, pairs=str(pairs))
    table = records.table
    assert table["patient"].iloc[:3].nunique() == 1
    assert table["patient"].tolist()[3:] == ["", ""]
    assert table["eye"].tolist() == ["", "right", "left", "left", ""]
    assert table["duplicate"].tolist() == [one.lower(), one.lower(), "", "", ""]
    assert "2 photographs are the two eyes of 1 people (p.csv)" in note(records, "two eyes")
    dropped = read(root, rows, pairs=str(pairs), duplicates="drop").table
    assert dropped["patient"].iloc[0] == dropped["patient"].iloc[1] != ""
    apart = read(root, rows, pairs=str(pairs), duplicates="ignore").table
    assert apart["patient"].tolist()[0] == ""
    (root / "pairs.csv").write_bytes(pairs.read_bytes())
    assert read(root, rows, pairs="pairs.csv").table["patient"].equals(table["patient"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "left;right\nIM1.JPG;IM2.JPG\n",
            r"names none of the 5 photographs of Messidor \(it begins with 'im1'\)",
        ),
        ("left;right\n", "names none of the 5 photographs"),
        ("image_id,adjudicated_dr_grade\na.png,0\n", r"Unknown column 'left'.*image_id.*columns left;right"),
        ("", "Unknown column 'left'"),
        ("left;right\na.png;b.png\nc.png\n", r"row 3: 'c\.png' names no pair"),
        (None, r"pairs\.csv cannot be read \(No such file"),
    ],
)
def test_wrong_pairs_file(
    write_messidor: WriteMessidor, tmp_path: Path, content: str | None, words: str
) -> None:
    rows = base33()
    root = write_messidor(tmp_path / "set", rows)
    if content is not None:
        (tmp_path / "pairs.csv").write_text(content)
    line = refused(root, words, {"pairs": str(tmp_path / "pairs.csv"), "bases": ["Base33"]})
    assert "messidor-2.csv" in line


def flat(root: Path) -> None:
    for path in list(root.glob("Base*/*.tif")):
        path.rename(root / path.name)


def upper(root: Path) -> None:
    for path in list(root.glob("Base*/*.tif")):
        path.rename(path.with_name(path.name.replace("_PP.tif", "_pp.TIF")))


@pytest.mark.parametrize("unpack", [flat, upper], ids=["without folders", "other case"])
def test_photographs_are_found_by_name(
    write_messidor: WriteMessidor, tmp_path: Path, unpack: Callable[[Path], None]
) -> None:
    root = write_messidor(tmp_path, ERRATA_ROWS)
    unpack(root)
    records = read(root, ERRATA_ROWS)
    assert [records.path(row).is_file() for row in range(5)] == [True] * 5
    assert records.table["dr"].tolist() == [3, 1, 0, 3, 2]


def test_half_a_download(write_messidor: WriteMessidor, tmp_path: Path) -> None:
    root = write_messidor(tmp_path / "Messidor", ERRATA_ROWS)
    line = refused(root, r"lacks the annotation files of Base12, Base14, .*\(10 of 12")
    assert "options.bases=[Base11, Base13]" in line
    with pytest.raises(RetinalabError, match=r"Option 'bases\.0'"):
        open_set("messidor", root, {"bases": ["Base15"]})
    (root / "Base13" / "20060523_48999_0100_PP.tif").unlink()
    line = refused(
        root, r"lists 'Base13/20060523_48999_0100_PP\.tif', which is absent", {"bases": ["Base11", "Base13"]}
    )
    assert "(1 of 5 photographs are)" in line


def test_the_wrong_folder(write_messidor: WriteMessidor, tmp_path: Path) -> None:
    root = write_messidor(tmp_path / "Messidor", ERRATA_ROWS)
    line = refused(tmp_path, r"holds no 'Annotation_Base11\.xls' of Messidor; found there: 'Messidor/'")
    assert f"It lies in {root}: give that folder." in line
    line = refused(root / "Base11", r"found there: '20051020_63045_0100_PP\.tif'")
    assert f"It lies in {root.resolve()}: give that folder." in line
    inside = write_messidor(tmp_path / "inside", {"Base11": ERRATA_ROWS["Base11"]}, "csv")
    line = refused(
        inside / "Base11", r"lacks the annotation files of Base12.*Give .*inside, if it holds the others"
    )
    (tmp_path / "empty").mkdir()
    assert "twelve files" in refused(tmp_path / "empty", "found there: nothing")


def test_label_file_of_another_version(write_messidor: WriteMessidor, tmp_path: Path) -> None:
    root = write_messidor(tmp_path, ERRATA_ROWS, "csv")
    path = root / "Base11" / "Annotation Base11.csv"
    path.write_text(path.read_text().replace("Retinopathy grade", "Retinopathy_grade"))
    line = refused(
        root, r"Unknown column 'Retinopathy grade'. Did you mean 'Retinopathy_grade'", {"bases": ["Base11"]}
    )
    assert "Annotation Base11.csv" in line
    (root / "Annotation_Base13.xls").write_bytes(b"broken")
    shutil.rmtree(root / "Base13")
    refused(root, r"Annotation_Base13\.xls is no readable xls file", {"bases": ["Base13"]})


def test_true_names_meet_the_published_counts(messidor_root: Path) -> None:
    """1,200 photographs, 26 of them copies; the counts before and after the errata are those of the owners."""
    records = open_set("messidor", messidor_root, {"inconsistent": "keep"}, strict=True).records()
    assert np.bincount(records.table["dr"]).tolist() == [547, 153, 246, 254]
    assert np.bincount(records.table["dme"]).tolist() == [974, 75, 151]
    assert (records.table["dr"] >= 2).sum() == 500
    assert (records.table["duplicate"] != "").sum() == 26
    before = open_set(
        "messidor", messidor_root, {"inconsistent": "keep", "errata": False}, strict=True
    ).records()
    assert np.bincount(before.table["dr"]).tolist() == [546, 153, 247, 254]
    default = open_set("messidor", messidor_root, strict=True).records()
    assert np.bincount(default.table["dr"]).tolist() == [545, 153, 245, 253]
    assert np.bincount(default.table["dme"]).tolist() == [971, 74, 151]


@pytest.mark.parametrize(
    ("duplicates", "inconsistent", "photographs", "units"),
    [
        ("group", "drop", 1196, 1185),
        ("group", "keep", 1200, 1187),
        ("drop", "drop", 1185, 1185),
        ("drop", "keep", 1187, 1187),
        ("ignore", "drop", 1196, 1196),
        ("ignore", "keep", 1200, 1200),
    ],
)
def test_true_names_under_every_setting(
    messidor_root: Path, duplicates: str, inconsistent: str, photographs: int, units: int
) -> None:
    options = {"duplicates": duplicates, "inconsistent": inconsistent}
    records = open_set("messidor", messidor_root, options, strict=True).records()
    assert len(records) == photographs
    assert len(set(records.groups)) == units
    listed = " ".join(records.notes)
    for name in itertools.chain.from_iterable(DUPLICATES):
        assert name in listed


def test_copies_are_in_the_published_list(canet_lists: Path) -> None:
    names = (canet_lists / "file_list.txt").read_text().split()
    within = {Path(name).stem for name in names if name.startswith("Base33")}
    members = [name for pair in DUPLICATES for name in pair]
    assert len(set(members)) == 26
    assert set(members) <= within
    assert {name.split("/")[0] for name in names} == set(BASES)
