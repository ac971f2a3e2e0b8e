"""Photographs with lesion masks as a network takes them, each with its field of view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device

from retinalab.config import DataConfig
from retinalab.data.batch import Batch
from retinalab.data.fov import field_of_view
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.data.parts import read_records
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import PhotographSet
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.records import LESIONS, Records
from retinalab.transforms.apply import apply_image, apply_mask
from retinalab.transforms.draw import IDENTITY_COLOUR, evaluation_warp, generator

__all__ = ["Annotated", "Given", "Photographs", "field_mask", "read_annotated"]

_DARK = 10
"""Levels of 255: no retina is darker over a whole row."""
_LIMIT = 0x5A11


@dataclass(frozen=True)
class Annotated:
    """Photographs of one data set that were annotated for lesions.

    Attributes:
        source: the opened data set.
        records: on the protocol's scale.
        notes: what was left out.
    """

    source: PhotographSet
    records: Records
    notes: tuple[str, ...]

    def keep(self, chosen: np.ndarray, note: str = "") -> Annotated:
        """Without the photographs where ``chosen``, ``(n,)`` bool, is False."""
        notes = (*self.notes, note) if note else self.notes
        return Annotated(self.source, self.records.take(np.flatnonzero(chosen)), notes)

    def limited(self, limit: int | None) -> Annotated:
        """At most so many, chosen by lot, the same every time."""
        if limit is None or len(self.records) <= limit:
            return self
        chosen = np.zeros(len(self.records), bool)
        chosen[generator(_LIMIT).permutation(len(chosen))[:limit]] = True
        return self.keep(chosen, f"{limit} of {len(chosen)} photographs, chosen by lot")


@dataclass(frozen=True)
class Given:
    """A batch ready for the network.

    Attributes:
        batch: normalised photographs and masks.
        fields: ``(B, H, W)`` bool: the field of view at the input's size.
        index: ``(B,)`` rows of the part.
    """

    batch: Batch
    fields: np.ndarray
    index: np.ndarray


def read_annotated(data: DataConfig, protocol: Protocol, roots: Mapping[str, Path]) -> Annotated:
    """The photographs of ``data.set`` that were annotated for at least one lesion.

    Raises:
        RetinalabError: the data set cannot be read, or none of its photographs was annotated.
    """
    source, records, notes = read_records(data, protocol, roots)
    known: np.ndarray = np.any(records.table[[f"annotated_{x}" for x in LESIONS]].to_numpy(bool), axis=1)
    if not known.any():
        raise RetinalabError(
            f"Data set {data.set!r} as it was read has no lesion masks ({len(known)} photographs), so that saliency "
            "cannot be held against lesions. Name one that has, such as --set idrid --option task=segmentation "
            "--root FOLDER, or --set synthetic."
        )
    missing = int((~known).sum())
    if missing:
        notes = [*notes, f"{missing} photographs without lesion masks left out"]
    return Annotated(source, records.take(np.flatnonzero(known)), tuple(notes))


class Photographs:
    """Annotated photographs prepared for one network.

    Args:
        chosen: which.
        data: the data section of the network's stage; its set's place is taken by ``chosen``.
        protocol: of the run.
        diseases: that the stage grades.
        device: that the network is on.

    Attributes:
        part: the photographs; those that cannot be used are left out.
        reasons: why, of those left out.

    Raises:
        RetinalabError: none can be used, or there is no space to prepare them.
    """

    def __init__(
        self,
        chosen: Annotated,
        data: DataConfig,
        protocol: Protocol,
        diseases: tuple[str, ...] | None,
        device: torch.device,
    ) -> None:
        self.data = data.model_copy(update={"masks": True})
        self.device = device
        self._module = FundusDataModule(self.data, protocol, diseases)
        self._warp = evaluation_warp(data.size, self.data.input_size, data.view)
        self._fields: dict[int, np.ndarray] = {}
        cache = prepare(chosen.source, chosen.records, Preparation.of(self.data))
        rows = np.flatnonzero(cache.usable)
        self.reasons = tuple(cache.reasons.values())
        if not len(rows):
            raise RetinalabError(f"No photograph can be used: {self.reasons[0]} Replace them.")
        self.part = Part("test", chosen.records.take(rows), cache, rows)
        self._dataset = self._module.dataset(self.part)

    def __len__(self) -> int:
        return len(self.part)

    def batches(self, size: int) -> Iterator[Given]:
        """All photographs in order, so many at once."""
        for start in range(0, len(self), size):
            yield self.given(np.arange(start, min(start + size, len(self))))

    def given(self, index: np.ndarray) -> Given:
        """The batch of some rows of the part."""
        batch = self._dataset.__getitems__([(0, int(row), int(row)) for row in index])
        moved: Any = move_data_to_device(batch, self.device)
        fields = np.stack([self._field(int(row)) for row in index])
        return Given(self._module.on_after_batch_transfer(moved, 0), fields, index)

    def pictures(self, index: np.ndarray) -> np.ndarray:
        """``(B, S, S, 3)`` uint8 RGB: what the network is shown, before any change of its colours."""
        side, images = self.data.input_size, self.part.cache.images(self.part.rows[index])
        return np.stack([apply_image(image, self._warp, IDENTITY_COLOUR, side) for image in images])

    def _field(self, row: int) -> np.ndarray:
        if row not in self._fields:
            working = field_mask(self.part.cache.images(self.part.rows[[row]])[0]).astype(np.uint8)
            self._fields[row] = np.packbits(apply_mask(working, self._warp, self.data.input_size))
        side = self.data.input_size
        return np.unpackbits(self._fields[row], count=side * side).reshape(side, side).astype(bool)


def field_mask(working: np.ndarray) -> np.ndarray:
    """Where the retina lies in a working image.

    The fitted outline, without the rows and columns at the edges in which nothing of it can be seen: a circle that the
    camera cut off at top and bottom.

    Shape:
        - ``working``: ``(S, S, 3)`` uint8 RGB, black beyond the field. Returns: ``(S, S)`` bool.

    Raises:
        RetinalabError: nothing in the picture differs from its background.
    """
    height, width = working.shape[:2]
    ellipse = field_of_view(working, "A prepared photograph").ellipse
    field = np.ones((height, width), bool) if ellipse is None else ellipse.draw(height, width) > 0
    bright = working.max(2) > _DARK
    for axis in (0, 1):
        lit = np.flatnonzero(bright.any(1 - axis))
        outside = np.ones(field.shape[axis], bool)
        outside[lit[0] : lit[-1] + 1] = False
        field[(outside, slice(None)) if axis == 0 else (slice(None), outside)] = False
    return field
