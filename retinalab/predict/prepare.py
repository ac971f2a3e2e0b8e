"""Photographs prepared for a network exactly as those that it was trained and tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device

from retinalab.config import BackgroundConfig, Stage
from retinalab.data.averages import average_pixels
from retinalab.data.batch import Batch
from retinalab.data.codec import as_kept
from retinalab.data.fov import Fov, crop_to_square, field_of_view
from retinalab.data.module import FundusDataModule, PartDataset
from retinalab.data.part import Part
from retinalab.data.shards import buffer
from retinalab.data.tiles import Tiles
from retinalab.data.windows import cut_at
from retinalab.errors import RetinalabError
from retinalab.predict.pixels import pixels_of
from retinalab.predict.quality import Quality, quality_of
from retinalab.protocol import Protocol
from retinalab.records import LESIONS, Records, SetInfo, make_records

__all__ = ["Batches", "Judged", "Working", "read_judged", "read_working"]

_JUDGED_FROM = 128
"""Pixels on the shorter side from which a picture is judged, also where a network takes less."""


@dataclass(frozen=True)
class Working:
    """A photograph at the working size.

    Attributes:
        pixels: ``(S, S, 3)`` uint8 RGB, cut to the field of view.
        fov: field of view, in pixels of the photograph as it was decoded.
    """

    pixels: np.ndarray
    fov: Fov


def read_working(path: Path, size: int) -> Working:
    """Decode a photograph, find its field of view and bring it to the working size.

    Raises:
        RetinalabError: it cannot be decoded, or shows no field of view.
    """
    image = pixels_of(path, size)
    fov = field_of_view(image, str(path))
    return Working(crop_to_square(image, fov, size), fov)


@dataclass(frozen=True)
class Judged:
    """A photograph's file as it was found.

    Attributes:
        works: size -> the photograph at that size; empty where it has no field of view or cannot be read.
        quality: flag; its reason names the file where nothing is to be graded.
    """

    works: Mapping[int, Working]
    quality: Quality


def read_judged(path: Path, sizes: Sequence[int]) -> Judged:
    """Bring a photograph to each working size and say whether it is one; a fault is no error but a reason."""
    try:
        images = {size: pixels_of(path, size) for size in sizes}
        least = min(sizes)
        seen = images[least] if least >= _JUDGED_FROM else pixels_of(path, _JUDGED_FROM)
    except RetinalabError as error:
        return Judged({}, Quality("unreadable", str(error)))
    try:
        fields = {size: field_of_view(image, str(path)) for size, image in images.items()}
        quality = quality_of(seen, fields[least].rescale(*seen.shape[:2]))
    except RetinalabError as error:
        return Judged({}, Quality("no fundus", str(error)))
    works = {size: Working(crop_to_square(images[size], fov, size), fov) for size, fov in fields.items()}
    if quality.reason:
        quality = Quality(quality.flag, f"{path} looks like no fundus photograph: {quality.reason}.")
    return Judged(works, quality)


@dataclass(frozen=True)
class _Held:
    """Prepared photographs in memory, where a data set's lie in a cache; none of their lesions is to be judged."""

    pixels: np.ndarray

    @property
    def size(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def boxes(self) -> np.ndarray:
        return np.full((len(self.pixels), 3), np.nan)

    @property
    def likeness(self) -> np.ndarray:
        return np.zeros((len(self.pixels), 4), np.uint64)

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        out = buffer(out, (len(rows), *self.pixels.shape[1:]))
        out[...] = self.pixels[rows]
        return out

    def planes(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return self.plane_windows(rows, np.zeros((len(rows), 2), np.int64), self.size, out)

    def image_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        out = buffer(out, (len(rows), side, side, 3))
        for window, row, (x, y) in zip(out, rows, corners, strict=True):
            window[...] = cut_at(self.pixels[row], x, y, side)
        return out

    def plane_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        out = buffer(out, (len(rows), 2, side, side))
        out[:, 0], out[:, 1] = 0, (1 << len(LESIONS)) - 1
        return out

    def prepare_averages(self, rows: np.ndarray, background: BackgroundConfig) -> None:
        """Nothing is kept of them."""

    def average_windows(
        self, rows: np.ndarray, corners: np.ndarray, side: int, background: BackgroundConfig
    ) -> np.ndarray:
        averages = average_pixels(self.pixels[rows], background)
        return np.stack([cut_at(one, x, y, side) for one, (x, y) in zip(averages, corners, strict=True)])


class Batches:
    """Batches of working images as a stage's task takes them: evaluation warp, background and normalisation applied.

    A stage that was evaluated on tiles takes all tiles of the photographs; ``index`` numbers them, photograph by
    photograph.

    Args:
        stage: whose data section says how.
        protocol: names the diseases.
        device: that the network is on.

    Attributes:
        tiles: of each photograph; None where the stage takes it whole.
    """

    def __init__(self, stage: Stage, protocol: Protocol, device: torch.device) -> None:
        self.data = stage.data
        self.device = device
        self._module = FundusDataModule(stage.data, protocol, stage.diseases)
        self._diseases = self._module.diseases
        self._records: dict[int, Records] = {}
        self.tiles = Tiles.of(self.data)

    @property
    def size(self) -> int:
        """Side of the working images."""
        return self.data.size

    def make(self, pixels: np.ndarray) -> Batch:
        """The batch of some working images; nothing is known of their grades and lesions.

        Shape:
            - ``pixels``: ``(B, S, S, 3)`` uint8 RGB.
        """
        count = len(pixels)
        part = Part("test", self._unknown(count), _Held(as_kept(self.data.codec, pixels)), np.arange(count))
        dataset = PartDataset(part, self.data, self._diseases, 0, False, self.device.type == "cuda")
        batch = dataset.__getitems__([(0, row, row) for row in range(len(dataset))])
        moved: Batch = move_data_to_device(batch, self.device)
        return self._module.on_after_batch_transfer(moved, 0)

    def _unknown(self, count: int) -> Records:
        """Records of so many photographs of which nothing is known."""
        if count not in self._records:
            info = SetInfo("photographs", "Photographs to be graded", "", "")
            rows = [{"image": str(row), **dict.fromkeys(self._diseases, -1)} for row in range(count)]
            self._records[count] = make_records(rows, info, Path(), "the batch")
        return self._records[count]
