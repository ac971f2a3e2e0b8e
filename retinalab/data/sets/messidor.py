"""Messidor (the first one): 1,200 photographs of three French hospitals, with the owners' errata."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
import xlrd
from pydantic import Field

from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.fake import fake_photograph
from retinalab.data.sets.files import integers, list_files, read_csv
from retinalab.errors import RetinalabError, unknown
from retinalab.records import SetInfo

__all__ = ["DUPLICATES", "GRADE_ERRATA", "INCONSISTENT_DUPLICATES", "Messidor", "MessidorOptions"]

BASES = tuple(f"Base{hospital}{number}" for hospital in (1, 2, 3) for number in (1, 2, 3, 4))

GRADE_ERRATA: dict[str, int] = {
    "20051020_64007_0100_PP": 3,
    "20051020_63936_0100_PP": 1,
    "20051020_63045_0100_PP": 0,
    "20060523_48477_0100_PP": 3,
}
"""Retinopathy grades that the owners corrected after publication (three in Base11, one in Base13)."""

DUPLICATES: tuple[tuple[str, str], ...] = tuple(
    (f"{first}_0400_PP", f"{second}_0400_PP")
    for first, second in (
        ("20051202_54744", "20051202_55582"),
        ("20051202_40508", "20051202_41076"),
        ("20051202_41238", "20051202_48287"),
        ("20051202_41260", "20051202_48586"),
        ("20051202_54530", "20051202_55457"),
        ("20051202_55607", "20051202_54783"),
        ("20051202_41034", "20051202_48575"),
        ("20051202_54555", "20051202_55484"),
        ("20051202_54611", "20051202_55562"),
        ("20051202_55498", "20051202_54547"),
        ("20051205_33025", "20051202_55626"),
        ("20051205_35099", "20051205_32966"),
        ("20051205_35110", "20051205_32981"),
    )
)
"""Photographs of Base33 that are the same picture under two names. The pairing was put together from two
published lists; the owners' text confirms two pairs. Twelve of the thirteen lie on two sides of CANet's
published folds."""

INCONSISTENT_DUPLICATES: tuple[tuple[str, str], ...] = (DUPLICATES[8], DUPLICATES[10])
"""Pairs whose two copies carry different labels."""

_COLUMNS = ("Image name", "Retinopathy grade", "Risk of macular edema")


class MessidorOptions(SetOptions):
    """Which of the owners' corrections are applied."""

    errata: bool = Field(default=True, description="apply the four corrected retinopathy grades")
    duplicates: Literal["group", "drop", "ignore"] = Field(
        default="group",
        description="group: the two copies count as one patient, so that no split parts them; drop: one copy "
        "of each pair is left out, both where their labels differ; ignore: as if they were two photographs",
    )


class Messidor(PhotographSet):
    """Messidor in its official layout: ``BaseNN/*.tif`` and ``Annotation_BaseNN.xls`` beside or inside them.

    Source: Decencière et al., "Feedback on a publicly distributed image database: the Messidor database",
    Image Analysis & Stereology 33(3), 2014; https://www.adcis.net/en/third-party/messidor/. Licence: research
    and teaching; ask the owners for a copy. Scales: retinopathy grade 0-3 of its own (``messidor4``, which is
    not ICDR), risk of macular edema 0-2. Published: 1,200 photographs, DR 546/153/247/254 before the errata
    and 547/153/246/254 after them, DME 974/75/151. The patients are not named. A CSV file of the same name
    stands in for an xls file.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="messidor",
        title="Messidor",
        source="https://www.adcis.net/en/third-party/messidor/ (Decencière et al., 2014)",
        licence="research and teaching, by request to the owners",
        scales={"dr": "messidor4", "dme": "risk3"},
    )
    Options = MessidorOptions
    options: MessidorOptions

    def _labels(self) -> Labels:
        rows: list[dict[str, Any]] = []
        missing = []
        for base in BASES:
            path = self._annotation(base)
            if path is None:
                missing.append(base)
                continue
            rows.extend(_rows(base, path))
        if not rows:
            raise RetinalabError(
                f"{self.root} holds no annotation file of Messidor (Annotation_Base11.xls … "
                "Annotation_Base34.xls). "
                "Put the owners' twelve xls files there."
            )
        notes = [f"no annotation file for {', '.join(missing)}"] if missing else []
        if self.options.errata:
            notes.append(_correct(rows))
        rows, about = _duplicates(rows, self.options.duplicates)
        return Labels(rows, str(self.root), tuple(notes + about), info=self._described())

    def _described(self) -> SetInfo:
        grades = (547, 153, 246, 254) if self.options.errata else (546, 153, 247, 254)
        counts = {"photographs": 1200}
        counts.update({f"dr={grade}": n for grade, n in enumerate(grades)})
        counts.update({f"dme={grade}": n for grade, n in enumerate((974, 75, 151))})
        if self.options.duplicates == "drop":
            counts = {"photographs": 1200 - len(DUPLICATES) - len(INCONSISTENT_DUPLICATES)}
        base = self.info
        return SetInfo(base.name, base.title, base.source, base.licence, base.scales, counts=counts)

    def _annotation(self, base: str) -> Path | None:
        for folder in (self.root, self.root / base):
            for name in list_files(folder):
                if re.fullmatch(rf"annotation[_ ]?{base}\.(xls|csv)", name, re.IGNORECASE):
                    return folder / name
        return None

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 24, seed: int = 0) -> Path:
        for index in range(photographs):
            base = BASES[index % len(BASES)]
            fake_photograph(folder / base / _fake_name(index), seed + index, index % 4)
        for number, base in enumerate(BASES):
            members = [index for index in range(photographs) if index % len(BASES) == number]
            _write_xls(folder / f"Annotation_{base}.xls", [(_fake_name(i), i % 4, i % 3) for i in members])
        return folder


def _rows(base: str, path: Path) -> list[dict[str, Any]]:
    table = read_csv(path, _COLUMNS) if path.suffix.lower() == ".csv" else _read_xls(path)
    grades = (integers(table, _COLUMNS[1], path), integers(table, _COLUMNS[2], path))
    department = table.get("Ophthalmologic department", pd.Series("", index=table.index))
    return [
        {"image": f"{base}/{name}", "dr": dr, "dme": dme, "department": where}
        for name, dr, dme, where in zip(table[_COLUMNS[0]], *grades, department, strict=True)
    ]


def _read_xls(path: Path) -> pd.DataFrame:
    try:
        sheet = xlrd.open_workbook(str(path)).sheet_by_index(0)
    except (xlrd.XLRDError, ValueError, OSError) as error:
        raise RetinalabError(
            f"{path} is no readable xls file ({error}). Fetch it again, or export it as CSV."
        ) from None
    cells = [
        [_text(sheet.cell_value(row, column)) for column in range(sheet.ncols)] for row in range(sheet.nrows)
    ]
    if not cells:
        raise RetinalabError(f"{path} is empty. Fetch it again.")
    table = pd.DataFrame(cells[1:], columns=cells[0])
    for column in _COLUMNS:
        if column not in table:
            raise unknown(
                "column", column, table.columns, f"{path} must have it.", label=f"Columns of {path.name}"
            )
    return table[table[_COLUMNS[0]] != ""].reset_index(drop=True)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _stem(row: dict[str, Any]) -> str:
    return str(row["image"]).rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _correct(rows: list[dict[str, Any]]) -> str:
    changed = 0
    for row in rows:
        grade = GRADE_ERRATA.get(_stem(row), row["dr"])
        changed += grade != row["dr"]
        row["dr"] = grade
    return f"{changed} retinopathy grades corrected by the owners' errata"


def _duplicates(rows: list[dict[str, Any]], how: str) -> tuple[list[dict[str, Any]], list[str]]:
    if how == "ignore":
        return rows, []
    if how == "drop":
        left_out = {second for _, second in DUPLICATES} | {first for first, _ in INCONSISTENT_DUPLICATES}
        kept = [row for row in rows if _stem(row) not in left_out]
        return kept, [f"{len(rows) - len(kept)} duplicate photographs of Base33 left out"]
    twin = {name: pair[0] for pair in DUPLICATES for name in pair}
    found = 0
    for row in rows:
        if _stem(row) in twin:
            row["patient"] = f"duplicate-{twin[_stem(row)]}"
            found += 1
    return rows, [
        f"{found} photographs of Base33 are copies of one another and share a patient"
    ] if found else []


def _fake_name(index: int) -> str:
    return f"20051020_{40000 + index}_0100_PP.tif"


def _write_xls(path: Path, rows: list[tuple[str, int, int]]) -> None:
    import xlwt

    book = xlwt.Workbook()
    sheet = book.add_sheet("Feuil1")
    for column, title in enumerate(("Image name", "Ophthalmologic department", *_COLUMNS[1:])):
        sheet.write(0, column, f"{title} " if column == 3 else title)
    for line, (name, dr, dme) in enumerate(rows, start=1):
        for column, value in enumerate((name, "Service Ophtalmologie", dr, dme)):
            sheet.write(line, column, value)
    book.save(str(path))
