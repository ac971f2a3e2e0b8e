"""What every adapter shares: options, the folder, published counts, photographs and masks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from retinalab.data.decode import decode, image_size, read_mask
from retinalab.data.sets.files import check_files, check_paths, digest, stamp
from retinalab.errors import RetinalabError, unknown
from retinalab.records import LESIONS, Records, SetInfo, make_records

__all__ = ["OWN", "Labels", "PhotographSet", "SetOptions", "count_found"]

OWN = "its owner"
"""Source of photographs that were not published as a set: the user knows more."""

_LABELS = ("image", "patient", "eye", "part", "dr", "dme", "gradable")
_log = logging.getLogger(__name__)


class SetOptions(BaseModel):
    """Options of an adapter; a set without any takes this empty model."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Labels:
    """What an adapter read.

    Attributes:
        rows: one mapping per photograph, as :func:`retinalab.records.make_records` takes them.
        source: the label file, named in errors.
        notes: what was left out or repaired.
        info: where the set's description depends on its options or files.
        files: whether the listed photographs must be there.
    """

    rows: Sequence[Mapping[str, Any]]
    source: str
    notes: tuple[str, ...] = ()
    info: SetInfo | None = None
    files: bool = True


class PhotographSet:
    """A data set on disk, or drawn.

    An adapter gives ``info``, ``Options``, ``_labels`` and ``write_fake``.
    """

    info: ClassVar[SetInfo]
    Options: ClassVar[type[SetOptions]] = SetOptions
    drawn: str = ""
    """What drawn photographs follow from: rules, version and settings; empty where they are read."""
    writes_empty_masks: ClassVar[bool] = False
    """Whether the layout has a mask file, then empty, also for a lesion that is absent."""
    binary_masks: ClassVar[bool] = False
    """Whether masks hold two values, so that one with more is refused; where not, any value above zero is lesion."""

    def __init__(
        self, root: Path | str | None, options: Mapping[str, Any] | None = None, strict: bool = False
    ) -> None:
        self.options = self._validated(options or {})
        self.strict = strict
        self.root = self._folder(root)

    @classmethod
    def _validated(cls, options: Mapping[str, Any]) -> Any:
        for key in options:
            if key not in cls.Options.model_fields:
                raise unknown(f"option of data set {cls.info.name!r}", key, cls.Options.model_fields)
        try:
            return cls.Options.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise RetinalabError(
                f"Option {place!r} of data set {cls.info.name!r}: {first['msg']} (got {first['input']!r})."
            ) from None

    @classmethod
    def _folder(cls, root: Path | str | None) -> Path:
        if root is None:
            raise RetinalabError(
                f"Data set {cls.info.name!r} needs its folder. Give it as data.root=PATH (make: DATA=PATH) or "
                f"roots.{cls.info.name}=PATH{cls._obtained()}."
            )
        folder = Path(root)
        if not folder.is_dir():
            raise RetinalabError(
                f"No folder {folder} for data set {cls.info.name!r}. Check data.root (make: DATA=PATH)"
                f"{cls._obtained()}."
            )
        return folder

    @classmethod
    def _obtained(cls) -> str:
        """Where a published set can be had from; "" of photographs of one's own."""
        return "" if cls.info.source == OWN else f"; the set can be had from {cls.info.source}"

    @property
    def has_files(self) -> bool:
        """Whether photographs are read from files: they are neither drawn nor left out by ``labels_only``."""
        return not self.drawn and not getattr(self.options, "labels_only", False)

    def records(self, check: bool = True) -> Records:
        """Read the labels and check them against the files and the published counts.

        Args:
            check: leave this out where the caller goes on with what is missing, as ``data check`` does.

        Raises:
            RetinalabError: a label file, column or photograph is missing, a label lies outside its scale, a path leads
                out of the folder, or, when strict, a count differs from the published one.
        """
        labels = self._labels()
        info = labels.info or self.info
        records = make_records(labels.rows, info, self.root, labels.source, labels.notes)
        for column in ("image", *(str(c) for c in records.table if str(c).startswith("mask_"))):
            check_paths(records.table[column].astype(str).tolist(), self.root, labels.source)
        if not check:
            return records
        notes = list(records.notes)
        if labels.files:
            notes += check_files(self.root, records.table["image"].tolist(), labels.source)
            drawn = [
                path
                for _, path in _paths(records, [str(c) for c in records.table if str(c).startswith("mask_")])
            ]
            notes += check_files(self.root, drawn, labels.source, "masks")
        notes += self._count_notes(records.table, info)
        return replace(records, notes=tuple(notes))

    def photograph(self, records: Records, row: int, shortest: int | None = None) -> np.ndarray:
        """Decode one photograph.

        Args:
            records: of this set.
            row: position in them.
            shortest: the shorter side that is needed later (see :func:`retinalab.data.decode.decode`).

        Shape:
            - Returns: ``(H, W, 3)``, uint8, RGB.
        """
        return decode(records.path(row), shortest)

    def masks(
        self, records: Records, row: int, shape: tuple[int, ...] | None = None
    ) -> dict[str, np.ndarray]:
        """Masks of the lesions that were annotated on one photograph, at the size of its file.

        Args:
            records: of this set.
            row: position in them.
            shape: height and width of the whole photograph where they are known already.

        Shape:
            - Returns: lesion -> ``(H, W)`` bool. Annotated without a mask file: all False. Not annotated: no
              key.

        Raises:
            RetinalabError: a mask cannot be read or is of another size than its photograph.
        """
        entry = records.table.iloc[row]
        annotated = [lesion for lesion in LESIONS if entry[f"annotated_{lesion}"]]
        if not annotated:
            return {}
        size = (shape[0], shape[1]) if shape else self.size(records, row)
        root = records.roots[entry["set"]]
        paths = {lesion: entry[f"mask_{lesion}"] for lesion in annotated}
        absent = np.zeros(size, dtype=bool)
        return {lesion: self._mask(root / path, size) if path else absent for lesion, path in paths.items()}

    def mask(self, records: Records, row: int, path: str, shape: tuple[int, ...]) -> np.ndarray:
        """One mask file of a photograph, named as in the records.

        Shape:
            - ``shape``: height and width of the photograph's file.
            - Returns: ``(H, W)``, bool.

        Raises:
            RetinalabError: it cannot be read or is of another size.
        """
        return self._mask(records.roots[str(records.table.at[row, "set"])] / path, (shape[0], shape[1]))

    def mask_size(self, path: Path) -> tuple[int, int]:
        """Height and width of a mask file in pixels, from its header where that tells them."""
        return image_size(path)

    def ignored(
        self, records: Records, row: int, shape: tuple[int, ...] | None = None
    ) -> dict[str, np.ndarray]:
        """Pixels in which an annotated lesion is not to be judged, as where the owners were unsure.

        Args:
            records: of this set.
            row: position in them.
            shape: height and width of the whole photograph where they are known already.

        Shape:
            - Returns: lesion -> ``(H, W)`` bool; a lesion that is judged everywhere has no key.
        """
        return {}

    def size(self, records: Records, row: int) -> tuple[int, int]:
        """Height and width of the photograph's file in pixels, as it is meant to be looked at."""
        return image_size(records.path(row))

    def width(self, records: Records, row: int) -> int:
        """Width of the photograph's file in pixels."""
        return self.size(records, row)[1]

    def fingerprint(self, records: Records, masks: bool = False) -> str:
        """Digest of names, sizes and modification times of the files: for caches on this machine.

        Labels are left out, so that another grade scale finds the same cache; with masks, which lesion each file shows
        and which lesions are annotated belong to it.
        """
        stamps: list[object] = [stamp(records.roots[set_], path) for set_, path in _paths(records, ["image"])]
        if masks:
            columns = [f"{kind}_{lesion}" for kind in ("mask", "annotated") for lesion in LESIONS]
            files = _paths(records, columns[: len(LESIONS)])
            stamps += [stamp(records.roots[set_], path) for set_, path in files]
            stamps += list(records.table[columns].itertuples(index=False, name=None))
        return digest(stamps)

    def digest(self, records: Records) -> str:
        """Digest of names, file sizes, grades and lesions, the same for every copy of the set."""
        columns = [*_LABELS, *(f"{kind}_{lesion}" for lesion in LESIONS for kind in ("annotated", "present"))]
        sizes = (stamp(records.roots[set_], path)[:2] for set_, path in _paths(records, ["image"]))
        labels = (records.table[column].astype(str).tolist() for column in columns)
        return digest([*sizes, *zip(*labels, strict=True)])

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 12, seed: int = 0) -> Path:
        """Write a small copy of the official layout with drawn pictures; returns the set's root."""
        raise NotImplementedError(f"{cls.__name__} writes no fake copy")

    def _labels(self) -> Labels:
        raise NotImplementedError

    def _mask(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        return read_mask(path, size, binary=self.binary_masks)

    def _count_notes(self, table: pd.DataFrame, info: SetInfo) -> list[str]:
        found = {what: count_found(table, what) for what in info.counts}
        wrong = [
            f"{what} {found[what]} instead of {count}"
            for what, count in info.counts.items()
            if found[what] != count
        ]
        if not wrong:
            return []
        note = f"{info.name}: counts differ from the published ones: {', '.join(wrong)}"
        if self.strict:
            raise RetinalabError(f"{note} ({self.root}). Complete the copy, or read it without --strict.")
        _log.warning("%s (%s)", note, self.root)
        return [note]


def _paths(records: Records, columns: Sequence[str]) -> list[tuple[str, str]]:
    sets = records.table["set"].tolist()
    return [
        (set_, path)
        for column in columns
        for set_, path in zip(sets, records.table[column].tolist(), strict=True)
        if path
    ]


def count_found(table: pd.DataFrame, what: str) -> int:
    """How many rows answer to a key of ``SetInfo.counts``, such as ``train dr=0`` or ``test patients``."""
    chosen = pd.Series(True, index=table.index)
    for word in what.split():
        if "=" in word:
            column, value = word.split("=")
            chosen &= table[column].astype(str) == value
        elif word == "patients":
            return int(table.loc[chosen, "patient"].nunique())
        elif word != "photographs":
            chosen &= table["part"] == word
    return int(chosen.sum())
