"""Messidor (the first one): 1,200 photographs of three French hospitals, with the owners' errata."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
import xlrd
import xlrd.compdoc
from pydantic import Field

from retinalab.data.sets.base import Labels, PhotographSet, SetOptions
from retinalab.data.sets.eye_pairs import EyePairs, same_person, twins
from retinalab.data.sets.fake import fake_photograph
from retinalab.data.sets.files import list_files
from retinalab.data.sets.label_files import integers, read_csv
from retinalab.data.sets.messidor_errata import DUPLICATES, correct, without_copies
from retinalab.data.sets.places import Places, absent_file
from retinalab.errors import RetinalabError, unknown
from retinalab.records import SetInfo, photograph_name

__all__ = ["BASES", "Messidor", "MessidorOptions"]

BASES = tuple(f"Base{hospital}{number}" for hospital in (1, 2, 3) for number in (1, 2, 3, 4))

_COLUMNS = ("Image name", "Retinopathy grade", "Risk of macular edema")
_ANNOTATION = r"annotation[_ ]?{}\.(xls|csv)"
_REMEDY = "Put the owners' twelve files there (Annotation_Base11.xls … Annotation_Base34.xls)."


class MessidorOptions(SetOptions):
    """Which of the owners' corrections are applied, which folders are read, and who is one person."""

    errata: bool = Field(default=True, description="apply the four corrected retinopathy grades")
    duplicates: Literal["group", "drop", "ignore"] = Field(
        default="group",
        description="group: the two copies of a picture count as one patient, so that no split parts them; drop: the "
        "second copy of each pair is left out; ignore: as if they were two photographs",
    )
    inconsistent: Literal["drop", "keep"] = Field(
        default="drop",
        description="the two pairs whose copies carry different labels. drop: all four photographs are left out; "
        "keep: they are pairs like the others",
    )
    pairs: Path | None = Field(
        default=None,
        description="Messidor-2's pairs file (messidor-2.csv), which tells whose eyes 1,058 of the photographs are; "
        "relative to the working folder, or to the set's",
    )
    bases: tuple[Literal[BASES], ...] = Field(  # type: ignore[valid-type]
        default=BASES, description="the folders that are read, where a copy holds only some of the twelve"
    )


class Messidor(PhotographSet):
    """Messidor in its official layout: ``BaseNN/*.tif`` and ``Annotation_BaseNN.xls`` beside or inside them.

    Source: Decencière et al., "Feedback on a publicly distributed image database: the Messidor database",
    Image Analysis & Stereology 33(3), 2014; https://www.adcis.net/en/third-party/messidor/. Licence: research
    and teaching; ask the owners for a copy. Scales: retinopathy grade 0-3 of its own (``messidor4``, which is
    not ICDR), risk of macular edema 0-2. Published: 1,200 photographs, DR 546/153/247/254 before the errata
    and 547/153/246/254 after them, DME 974/75/151; 45 degrees. The errata leave 1,196 photographs as the options
    stand, 1,185 with ``duplicates=drop``, all 1,200 with ``inconsistent=keep`` (1,187 with both). Copies of one
    picture share the column ``duplicate``. The patients are not named, except through Messidor-2's pairs file.
    A CSV file of the same name stands in for an xls file, and photographs unpacked without their folders are
    found by name.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="messidor",
        title="Messidor",
        source="https://www.adcis.net/en/third-party/messidor/ (Decencière et al., 2014)",
        licence="research and teaching, by request to the owners",
        scales={"dr": "messidor4", "dme": "risk3"},
        counts={
            "photographs": 1200,
            **{f"dr={grade}": n for grade, n in enumerate((547, 153, 246, 254))},
            **{f"dme={grade}": n for grade, n in enumerate((974, 75, 151))},
        },
        shares=("messidor2",),
        field=45.0,
    )
    Options = MessidorOptions
    options: MessidorOptions

    def _labels(self) -> Labels:
        rows = [row for base, path in self._annotations().items() for row in _rows(base, path)]
        places = Places(self.root)
        for row in rows:
            row["image"] = places.find(row["image"])
        notes = correct(rows) if self.options.errata else []
        notes += self._people(rows)
        kept, left_out = without_copies(rows, self.options.duplicates, self.options.inconsistent)
        return Labels(kept, str(self.root), tuple(notes + left_out), info=self._described(rows, kept))

    def _annotations(self) -> dict[str, Path]:
        found = {base: _annotation(self.root, base) for base in self.options.bases}
        present = {base: path for base, path in found.items() if path is not None}
        missing = [base for base in found if base not in present]
        if not present:
            raise absent_file(
                self.root, _ANNOTATION.format(r"base\d\d"), "Annotation_Base11.xls", self.info.title, _REMEDY
            )
        if missing:
            above = self.root.resolve().parent
            whole = (
                f"Give {above}, if it holds the others; or complete"
                if self.root.name in BASES
                else "Complete"
            )
            raise RetinalabError(
                f"{self.root} lacks the annotation files of {', '.join(missing)} ({len(missing)} of {len(found)}: "
                f"Annotation_{missing[0]}.xls …). {whole} the copy, or read the rest alone with "
                f"options.bases=[{', '.join(present)}]."
            )
        return present

    def _people(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Name the patients that copies and the pairs file tell of."""
        names = [photograph_name(row["image"]) for row in rows]
        pictures = twins(DUPLICATES, names) if self.options.duplicates != "ignore" else {}
        links: list[tuple[str, str]] = list(pictures.items())
        eyes: dict[str, str] = {}
        notes = []
        if self.options.pairs is not None:
            given = self.options.pairs
            pairs = EyePairs.read(given if given.is_file() else self.root / given)
            found = pairs.among(names, self.info.title)
            links += found
            eyes = pairs.eyes()
            paired = len({name for row in found for name in row})
            notes.append(
                f"{paired} photographs are the two eyes of {len(found)} people ({pairs.source.name}); the patients of "
                f"the other {len(rows) - paired} are unknown"
            )
        people = same_person(links)
        for name, row in zip(names, rows, strict=True):
            row["duplicate"] = pictures.get(name, "")
            row["patient"] = people.get(name, "")
            row["eye"] = eyes.get(name, "")
        return notes

    def _described(self, rows: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]]) -> SetInfo:
        """The published counts, less what was left out, so that the rest is still checked."""
        counts = dict(self.info.counts)
        if not self.options.errata:
            counts.update({f"dr={grade}": n for grade, n in enumerate((546, 153, 247, 254))})
        if set(self.options.bases) != set(BASES):
            counts = {"photographs": 100 * len(set(self.options.bases))}
        staying = {row["image"] for row in kept}
        for row in rows:
            if row["image"] not in staying:
                for key in ("photographs", f"dr={row['dr']}", f"dme={row['dme']}"):
                    counts.update({key: counts[key] - 1} if key in counts else {})
        return replace(self.info, counts=counts)

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 24, seed: int = 0) -> Path:
        for index in range(photographs):
            base = BASES[index % len(BASES)]
            fake_photograph(folder / base / _fake_name(index), seed + index, index % 4)
        for number, base in enumerate(BASES):
            members = [index for index in range(photographs) if index % len(BASES) == number]
            _write_xls(folder / f"Annotation_{base}.xls", [(_fake_name(i), i % 4, i % 3) for i in members])
        return folder


_MAX_BYTES = 1 << 26
_FAULTS = (
    xlrd.compdoc.CompDocError, zipfile.BadZipFile, struct.error, OSError, ValueError, LookupError, TypeError,
    AttributeError, AssertionError, ArithmeticError, RuntimeError, MemoryError,
)  # fmt: skip
"""What the reader of xls files raises on damaged bytes."""


def _annotation(folder: Path, base: str) -> Path | None:
    for place in (folder, folder / base):
        for name in list_files(place):
            if re.fullmatch(_ANNOTATION.format(base), name, re.IGNORECASE):
                return place / name
    return None


def _rows(base: str, path: Path) -> list[dict[str, Any]]:
    table = read_csv(path, _COLUMNS) if path.suffix.lower() == ".csv" else _read_xls(path)
    grades = (integers(table, _COLUMNS[1], path), integers(table, _COLUMNS[2], path))
    department = table.get("Ophthalmologic department", pd.Series("", index=table.index))
    return [
        {"image": f"{base}/{name}", "dr": dr, "dme": dme, "department": where}
        for name, dr, dme, where in zip(table[_COLUMNS[0]], *grades, department, strict=True)
    ]


def _read_xls(path: Path) -> pd.DataFrame:
    said = io.StringIO()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("it is larger than any list of photographs")
        sheet = xlrd.open_workbook(str(path), logfile=said).sheet_by_index(0)
        if "truncated" in said.getvalue():
            raise ValueError("it is truncated")
    except (xlrd.XLRDError, *_FAULTS) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RetinalabError(
            f"{path} is no readable xls file ({reason}). Fetch it again, or export it as CSV."
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
