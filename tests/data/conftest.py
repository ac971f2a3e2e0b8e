"""Copies of both Messidor layouts with the true names, put together from the authors' published lists."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import xlwt

from retinalab.data.sets.fake import write_csv
from retinalab.data.sets.messidor_errata import DUPLICATES

GRADES = ("image_id", "adjudicated_dr_grade", "adjudicated_dme", "adjudicated_gradable")
BEFORE_ERRATA = {
    "20051020_64007_0100_PP": 1,
    "20051020_63936_0100_PP": 3,
    "20051020_63045_0100_PP": 3,
    "20060523_48477_0100_PP": 2,
}
DIFFERENT_LABELS = {
    "20051202_54611_0400_PP": (0, 1),
    "20051202_55562_0400_PP": (0, 0),
    "20051205_33025_0400_PP": (3, 0),
    "20051202_55626_0400_PP": (2, 0),
}
Labels = tuple[str, int, int]
Rows = Mapping[str, Sequence[Labels]]
WriteMessidor = Callable[..., Path]
WritePairs = Callable[[Path, Sequence[tuple[str, str]]], Path]
WriteMessidor2 = Callable[[Path, Sequence[str]], Path]


def _write_xls(path: Path, rows: Sequence[Labels]) -> None:
    """An annotation file as the owners write it, with blanks around two of its headers."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("1")
    titles = (" Image name", "Ophthalmologic department", "Retinopathy grade", "Risk of macular edema ")
    for column, title in enumerate(titles):
        sheet.write(0, column, title)
    for line, (name, dr, dme) in enumerate(rows, start=1):
        for column, value in enumerate((name, "CHU de St Etienne", dr, dme)):
            sheet.write(line, column, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(str(path))


def _filled(totals: Sequence[int], taken: Sequence[int]) -> Iterator[int]:
    return itertools.chain.from_iterable(
        [grade] * (total - list(taken).count(grade)) for grade, total in enumerate(totals)
    )


def _messidor_labels(names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Grades for every name that add up to the counts published before the errata."""
    fixed: dict[str, tuple[int, int]] = {name: (0, 0) for pair in DUPLICATES for name in pair}
    fixed |= {name: (dr, 0) for name, dr in BEFORE_ERRATA.items()} | DIFFERENT_LABELS
    dr = _filled((546, 153, 247, 254), [grades[0] for grades in fixed.values()])
    dme = _filled((974, 75, 151), [grades[1] for grades in fixed.values()])
    stems = [Path(name).stem for name in names]
    return {stem: fixed[stem] if stem in fixed else (next(dr), next(dme)) for stem in stems}


@pytest.fixture(scope="session")
def write_pairs() -> WritePairs:
    """Writes Messidor-2's pairs file, with the blank behind its header."""

    def write(path: Path, pairs: Sequence[tuple[str, str]]) -> Path:
        path.write_text("".join(f"{left};{right}\n" for left, right in [("left", "right "), *pairs]))
        return path

    return write


@pytest.fixture(scope="session")
def write_messidor() -> WriteMessidor:
    """Writes some folders of Messidor's layout: empty photographs, annotations as xls beside or as csv inside them."""

    def write(root: Path, rows: Rows, suffix: str = "xls") -> Path:
        for base, entries in rows.items():
            (root / base).mkdir(parents=True, exist_ok=True)
            for name, _, _ in entries:
                (root / base / name).touch()
            if suffix == "xls":
                _write_xls(root / f"Annotation_{base}.xls", entries)
                continue
            columns = ("Image name", "Retinopathy grade", "Risk of macular edema ")
            cells = [dict(zip(columns, entry, strict=True)) for entry in entries]
            write_csv(root / base / f"Annotation {base}.csv", cells)
        return root

    return write


@pytest.fixture(scope="session")
def canet_lists(shared_data: Path) -> Path:
    return shared_data / "lists" / "canet"


@pytest.fixture(scope="session")
def clpi_lists(shared_data: Path) -> Path:
    return shared_data / "lists" / "clpi_messidor2"


@pytest.fixture(scope="session")
def messidor_root(
    canet_lists: Path, write_messidor: WriteMessidor, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Messidor's layout with its 1,200 names, empty photographs and labels that meet the published counts."""
    names = (canet_lists / "file_list.txt").read_text().split()
    labels = _messidor_labels(names)
    rows: dict[str, list[Labels]] = {}
    for base, name in (name.split("/") for name in names):
        rows.setdefault(base, []).append((name, *labels[Path(name).stem]))
    return write_messidor(tmp_path_factory.mktemp("messidor"), rows)


@pytest.fixture(scope="session")
def messidor2_names(clpi_lists: Path) -> list[str]:
    """The 1,046 names of CLPI's lists and 702 made-up ones: 1,058 as Messidor's own, 690 of the extension."""
    listed = sorted(
        {
            line
            for part in ("train", "val", "test")
            for line in (clpi_lists / f"{part}.csv").read_text().split()
        }
    )
    own = [name for name in listed if re.match(r"\d{8}_", name)]
    further = [name for name in listed if name.startswith("IM")]
    own += [f"20990101_{number:05d}_0100_PP.png" for number in range(1058 - len(own))]
    further += [f"IM9{number:05d}.jpg" for number in range(690 - len(further))]
    return own + further


@pytest.fixture(scope="session")
def write_messidor2() -> WriteMessidor2:
    """Writes Messidor-2's layout without a pairs file: empty photographs, and grades that meet the published counts."""

    def write(root: Path, names: Sequence[str]) -> Path:
        (root / "IMAGES").mkdir(parents=True)
        for name in names:
            (root / "IMAGES" / name.replace(".jpg", ".JPG")).touch()
        dr = itertools.chain(_filled((1017, 270, 347, 75, 35), []), itertools.repeat(""))
        rows = []
        for number, (name, grade) in enumerate(zip(names, dr, strict=False)):
            known = grade != ""
            cells = (name, grade, number % 2 if known else "", int(known))
            rows.append(dict(zip(GRADES, cells, strict=True)))
        write_csv(root / "messidor_data.csv", rows)
        return root

    return write


@pytest.fixture(scope="session")
def messidor2_root(
    messidor2_names: list[str], write_messidor2: WriteMessidor2, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Messidor-2's layout with the names of CLPI's lists and made-up ones; the last four are ungradable."""
    return write_messidor2(tmp_path_factory.mktemp("messidor2") / "set", messidor2_names)
