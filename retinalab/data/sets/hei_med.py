"""HEI-MED: photographs on which exudates and other bright things were marked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from retinalab.data.sets.base import Labels
from retinalab.data.sets.blobs import (
    KINDS,
    MAPS,
    NAMES,
    map_size,
    read_blobs,
    read_map,
    stem,
    write_fake_blobs,
)
from retinalab.data.sets.fake import fake_mask, fake_photograph, write_csv
from retinalab.data.sets.files import digest, list_files, need_folder, stamp
from retinalab.data.sets.table import Table, TableOptions
from retinalab.errors import RetinalabError
from retinalab.records import Records, SetInfo

__all__ = ["HeiMed"]

_FOLDER = "DMED"
_PHOTOGRAPH, _META = ".jpg", ".meta"
_FACTS: Mapping[str, str] = {
    "PatientGender": "sex",
    "PatientRace": "ethnicity",
    "DiabetesType": "diabetes_type",
    "QualityValue": "elvd_quality",
}


class HeiMed(Table):
    """HEI-MED in its official layout (the folder ``DMED``), or as a copy with a ``records.csv``.

    Source: Giancardo et al., "Exudate-based diabetic macular edema detection in fundus images using publicly
    available datasets", Medical Image Analysis 16(1), 2012; https://github.com/lgiancaUTH/HEI-MED. Licence:
    non-commercial research. No grades. Published: 169 photographs, no patient twice. The copy has 127 of
    them, 41 with exudates, and names no patients.

    Annotated: exudates (EX; the owners did not tell hard from soft ones) on every photograph. What is bright
    without being an exudate (drusen, cotton wool) is kept as ``mask_other``, none of the eight lesions. A
    photograph without marks has neither. Every other lesion is unknown, not absent.

    Official layout, as the owners' MATLAB class reads it: ``<id>.map.gz`` holds 32-bit integers, first three
    of which the second is the width and the third the height, then the picture row by row: 0 is background, k
    the k-th blob. ``<id>.GND`` names the blobs ("Exudate 1", "Other Bright Lesion 1"). A photograph
    without either is free of both. Byte order (little-endian, as on the owners' machines) and orientation are
    not written down; both are checked on reading, since length and size would not fit otherwise. Not
    verified: what the first integer means, and whether ``ONrow`` and ``ONcol`` of ``<id>.meta``, the disc's
    position, count from 0 or from 1; the first is left aside and the others are taken as they stand.
    From the same file come ``sex``, ``ethnicity``, ``diabetes_type`` and ``elvd_quality`` (the owners'
    measure, 0-1); the date of birth is left out. Photographs with a file ``<id>.jpg…bad`` beside them are left
    out, as the owners do.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="hei_med",
        title="Hamilton Eye Institute Macular Edema Dataset",
        source="https://github.com/lgiancaUTH/HEI-MED (Giancardo et al., Medical Image Analysis 16(1), 2012)",
        licence="non-commercial research",
        lesions=("EX",),
        counts={"photographs": 127, "present_EX=1": 41},
    )

    def _info(self, name: str, scales: Mapping[str, str], lesions: tuple[str, ...]) -> SetInfo:
        return self.info

    def _labels(self) -> Labels:
        if (self.root / self.options.file).is_file() or self.options != TableOptions():
            return super()._labels()
        base = need_folder(self.root, _FOLDER, "HEI-MED (nor records.csv of the copy)")
        return self._official(base)

    def _official(self, base: Path) -> Labels:
        files = list_files(base)
        there = set(files)
        photographs = [name[: -len(_PHOTOGRAPH)] for name in files if name.endswith(_PHOTOGRAPH)]
        if not photographs:
            raise RetinalabError(
                f"{base} holds no photograph (*{_PHOTOGRAPH}) of HEI-MED. Complete the copy."
            )
        _refuse_orphans(base, files, set(photographs))
        bad = {name for name in photographs if _marked_bad(name, files)}
        rows: list[dict[str, Any]] = []
        strange: list[str] = []
        for name in photographs:
            if name in bad:
                continue
            row = {"image": f"{_FOLDER}/{name}{_PHOTOGRAPH}", "patient": name, **_facts(base, name, there)}
            marks, others = _marks(base, name, there)
            strange += others
            rows.append({**row, "masks": {"EX": marks["EX"]}, "mask_other": marks["other"]})
        notes = _notes(bad, strange, sum(f"{name}{_META}" not in there for name in photographs))
        info = replace(self.info, counts={"photographs": 169})
        return Labels(rows, str(base), notes, info=info, files=False)

    def fingerprint(self, records: Records, masks: bool = False) -> str:
        """Digest of the files; the names of the blobs decide what a mask is, so they count too."""
        own = super().fingerprint(records, masks)
        named = [str(path) for path in records.table["mask_EX"] if str(path).endswith(MAPS)] if masks else []
        if not named:
            return own
        return digest([own, *(stamp(self.root, f"{stem(path)}{NAMES}") for path in named)])

    def mask(self, records: Records, row: int, path: str, shape: tuple[int, ...]) -> np.ndarray:
        """One mask file of a photograph; a map of blobs marks exudates and other bright things together."""
        if not path.endswith(MAPS):
            return super().mask(records, row, path, shape)
        size = (shape[0], shape[1])
        found = [read_map(self.root / path, kind, size) for kind in KINDS]
        return np.asarray(np.logical_or.reduce(found))

    def mask_size(self, path: Path) -> tuple[int, int]:
        """Height and width of a mask file in pixels."""
        return map_size(path) if path.name.endswith(MAPS) else super().mask_size(path)

    def _mask(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        return read_map(path, "EX", size) if path.name.endswith(MAPS) else super()._mask(path, size)

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 6, seed: int = 0) -> Path:
        for index in range(photographs):
            name = f"({index + 3:08d})" if index % 2 else f"{7000 + index}_({index + 9}).dcm"
            base = folder / _FOLDER / name
            fake_photograph(base.with_name(f"{name}{_PHOTOGRAPH}"), seed + index)
            fake_mask(base.with_name(f"{name}_vess.png"), (40, 30))
            kinds = ("Exudate 1", "Other Bright Lesion 1", "Exudate 1")[: (index + 1) % 4]
            write_fake_blobs(base, kinds, version=2 if index % 5 == 4 else 1)
            facts = {"ImageName:": f"{name}.jpg", "PatientGender": "FM"[index % 2], "PatientDOB": "1/2/1950"}
            facts |= {"QualityValue": "0.75", "DiabetesType": "TYPE II", "ONrow": "36", "ONcol": "60"}
            text = "\n".join(f"~{key}~{value}" for key, value in facts.items())
            base.with_name(f"{name}{_META}").write_text(text, encoding="latin-1")
        return folder

    @classmethod
    def write_fake_copy(cls, folder: Path, photographs: int = 6, seed: int = 0) -> Path:
        """Write a small drawn copy with a ``records.csv``; returns the set's root."""
        rows = []
        for index in range(photographs):
            name = f"{index + 3:08d}"
            fake_photograph(folder / "images" / f"{name}.jpg", seed + index)
            row = {"image": f"images/{name}.jpg", "exudates": "", "other_bright": ""}
            for column, every in (("exudates", 2), ("other_bright", 3)):
                if index % every == 0:
                    row[column] = f"{column}/{name}.png"
                    fake_mask(folder / row[column], (40, 30 + index))
            rows.append({**row, "disc_row": 110, "disc_col": 190, "full_width": 288, "full_height": 216})
        write_csv(folder / "records.csv", rows)
        return folder


def _marked_bad(name: str, files: Iterable[str]) -> bool:
    return any(file.startswith(f"{name}{_PHOTOGRAPH}") and file.endswith("bad") for file in files)


def _refuse_orphans(base: Path, files: Iterable[str], photographs: set[str]) -> None:
    marks = [file for file in files if file.endswith((*MAPS, NAMES))]
    orphans = [file for file in marks if stem(file.removesuffix(NAMES)) not in photographs]
    if orphans:
        raise RetinalabError(
            f"{base / orphans[0]} belongs to no photograph ({len(orphans)} such files). Complete the copy."
        )


def _marks(base: Path, name: str, there: set[str]) -> tuple[dict[str, str], list[str]]:
    """Kind -> path of the map that marks it ("" where absent), and blobs of other kinds."""
    found = next((f"{name}{suffix}" for suffix in MAPS if f"{name}{suffix}" in there), "")
    if f"{name}{NAMES}" not in there:
        if found:
            raise RetinalabError(
                f"{base / found} has no {name}{NAMES} that names what it marks. Complete the copy."
            )
        return dict.fromkeys(KINDS, ""), []
    blobs = [blob.lower() for blob in read_blobs(base / f"{name}{NAMES}")]
    if blobs and not found:
        raise RetinalabError(
            f"{base / name}{NAMES} names {len(blobs)} blobs, but {name}{MAPS[0]} is absent. Complete the copy."
        )
    paths = {
        kind: f"{_FOLDER}/{found}" if any(word in blob for blob in blobs) else ""
        for kind, word in KINDS.items()
    }
    return paths, [blob for blob in blobs if not any(word in blob for word in KINDS.values())]


def _facts(base: Path, name: str, there: set[str]) -> dict[str, Any]:
    text = ""
    if f"{name}{_META}" in there:
        text = (base / f"{name}{_META}").read_text(encoding="latin-1")
    found = dict(re.findall(r"~(\w+):?~([^~\r\n]*)", text))
    facts: dict[str, Any] = {ours: found.get(theirs, "").strip() for theirs, ours in _FACTS.items()}
    for ours, theirs in (("disc_x", "ONcol"), ("disc_y", "ONrow")):
        facts[ours] = _number(found.get(theirs, ""), base / f"{name}{_META}", theirs)
    return facts


def _number(cell: str, path: Path, what: str) -> float:
    try:
        return float(cell) if cell.strip() else float("nan")
    except ValueError:
        raise RetinalabError(
            f"{path}: {what} is {cell!r}, not a number. Correct the line or leave it empty."
        ) from None


def _notes(bad: set[str], strange: list[str], without_facts: int) -> tuple[str, ...]:
    notes = []
    if bad:
        notes.append(
            f"{len(bad)} photographs that the owners marked as bad left out: {', '.join(sorted(bad))}"
        )
    if strange:
        kinds = ", ".join(sorted(set(strange)))
        notes.append(f"{len(strange)} blobs are neither exudates nor other bright lesions, left out: {kinds}")
    if without_facts:
        notes.append(f"{without_facts} photographs have no {_META} file: disc and patient facts unknown")
    return tuple(notes)
