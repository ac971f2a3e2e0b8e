"""Whole batches of one part: photographs, or windows read without the rest of their photographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from retinalab.config import DataConfig
from retinalab.data.batch import Batch
from retinalab.data.part import Part
from retinalab.data.sampler import Key
from retinalab.data.tiles import Tiles
from retinalab.data.window_table import Windows, window_table
from retinalab.records import LESIONS
from retinalab.transforms.apply import apply_image, apply_mask
from retinalab.transforms.background import average_side
from retinalab.transforms.draw import IDENTITY_COLOUR, draw_colour, draw_warp, evaluation_warp, generator

__all__ = ["PartDataset", "unpacked"]

_BITS = np.arange(len(LESIONS), dtype=np.uint8)


@dataclass(frozen=True)
class _Drawn:
    """Pixels as they were read, and what changes them.

    Attributes:
        images: ``(B, S, S, 3)`` uint8; planes: ``(B, 2, S, S)`` uint8 or None.
        warps: ``(B, 2, 3)`` float32, input pixel -> pixel of ``images``; places: the same -> working image.
        colours: ``(B, 3, 4)`` float32.
    """

    images: np.ndarray
    planes: np.ndarray | None
    warps: np.ndarray
    places: np.ndarray
    colours: np.ndarray


class PartDataset(Dataset[Batch]):
    """Whole batches of one part, by keys of :class:`~retinalab.data.sampler.EpochSampler`.

    Of a window as much is read as its warp reaches: where it turns or zooms out, it shows more of its photograph and
    no black corners. Where tiles that are evaluated overlap, each pixel is judged in the tile whose centre is nearest.

    Args:
        part: photographs.
        data: the data section.
        diseases: whose grades a batch carries.
        seed: of the run; augmentation follows from (seed, epoch, position, stream).
        training: whether to augment.
        on_device: leave the warp and the colour map to the device; they then travel with the batch.
        windows: of the part; made where the data section asks for them and none are given.
        stream: of random numbers; 0: those of the seed alone.
    """

    def __init__(
        self,
        part: Part,
        data: DataConfig,
        diseases: tuple[str, ...],
        seed: int,
        training: bool,
        on_device: bool,
        windows: Windows | None = None,
        stream: int = 0,
    ) -> None:
        self.part = part
        self.data = data
        self.seed = seed
        self.stream = stream
        self.training = training
        self.on_device = on_device
        table = part.records.table
        self.grades = {disease: table[disease].to_numpy(np.int64) for disease in diseases}
        present = table[[f"present_{lesion}" for lesion in LESIONS]].to_numpy(np.float32)
        self.present = np.where(present < 0, np.float32(np.nan), present)
        self.windows: pd.DataFrame | None = None
        if data.windows is not None:
            background = data.background
            circle = background.circle if background is not None else None
            found = windows or window_table(data.windows, part, seed, training, circle)
            self.windows = found.table
            if background is not None:
                part.cache.prepare_averages(part.rows, background)
        tiles = None if training else Tiles.of(data)
        self._judged = None if tiles is None else tiles.nearest()

    def __len__(self) -> int:
        return len(self.part) if self.windows is None else len(self.windows)

    def __getitems__(self, keys: list[Key]) -> Batch:
        """The batch of the given keys."""
        index = np.array([row for _, _, row in keys])
        photographs = index if self.windows is None else self.windows["photograph"].to_numpy()[index]
        drawn = self._read(photographs, index, keys)
        batch = self._given(drawn) if self.on_device else self._changed(drawn)
        if self._judged is not None and "mask" in batch:
            _leave_out(batch["mask"], self._judged[index % len(self._judged)])
        self._add_background(batch, drawn, self.part.rows[photographs])
        batch["index"] = torch.from_numpy(index)
        batch["grades"] = {d: torch.from_numpy(grades[photographs]) for d, grades in self.grades.items()}
        batch["present"] = torch.from_numpy(self.present[photographs])
        if self.windows is not None:
            batch["label"] = torch.from_numpy(self.windows["label"].to_numpy(np.int64)[index])
        return batch

    def _read(self, photographs: np.ndarray, index: np.ndarray, keys: list[Key]) -> _Drawn:
        """Working images and lesion planes, whole or as far as the drawn warps reach."""
        rows, cache = self.part.rows[photographs], self.part.cache
        if self.windows is None or self.data.windows is None:
            warps, colours = self._draw(keys, cache.size, self.data.input_size)
            planes = cache.planes(rows) if self.data.masks else None
            return _Drawn(cache.images(rows), planes, warps, warps, colours)
        size = self.data.windows.size
        warps, colours = self._draw(keys, size, size)
        corners = self.windows[["x", "y"]].to_numpy()[index] - size // 2
        places = warps.astype(np.float64)
        places[:, :, 2] += corners
        pieces, side = _pieces(places, size)
        images = cache.image_windows(rows, pieces, side)
        planes = cache.plane_windows(rows, pieces, side) if self.data.masks else None
        return _Drawn(images, planes, _moved(places, pieces), places.astype(np.float32), colours)

    def _given(self, drawn: _Drawn) -> Batch:
        batch = Batch()
        batch["warp"], batch["colour"] = torch.from_numpy(drawn.warps), torch.from_numpy(drawn.colours)
        batch["image"] = torch.from_numpy(drawn.images).permute(0, 3, 1, 2)
        if drawn.planes is not None:
            batch["mask"] = torch.from_numpy(unpacked(drawn.planes))
        return batch

    def _changed(self, drawn: _Drawn) -> Batch:
        images, warps, crop = drawn.images, drawn.warps, self.data.input_size
        batch = Batch()
        plain = np.eye(2, 3, dtype=np.float32)
        out = np.empty((len(images), crop, crop, 3), np.uint8)
        for i, (image, warp, colour) in enumerate(zip(images, warps, drawn.colours, strict=True)):
            still = (
                image.shape[0] == crop
                and np.array_equal(warp, plain)
                and np.array_equal(colour, IDENTITY_COLOUR)
            )
            out[i] = image if still else apply_image(image, warp, colour, crop)
        batch["image"] = torch.from_numpy(out).permute(0, 3, 1, 2)
        if drawn.planes is not None:
            moved = np.stack(
                [
                    [apply_mask(p[0], warps[i], crop), apply_mask(p[1], warps[i], crop, 255)]
                    for i, p in enumerate(drawn.planes)
                ]
            )
            batch["mask"] = torch.from_numpy(unpacked(moved))
        return batch

    def _add_background(self, batch: Batch, drawn: _Drawn, rows: np.ndarray) -> None:
        """What the subtraction needs to know of the photographs that windows are cut from, and of the kept circle."""
        background = self.data.background
        if background is None:
            return
        if background.circle is not None:
            batch["place"] = torch.from_numpy(drawn.places)
        if self.windows is None:
            return
        size, crop = self.part.cache.size, self.data.input_size
        side = average_side(size, background)
        reduced = drawn.places.astype(np.float64) * (side / size)
        reduced[:, :, 2] += (side / size - 1) / 2
        pieces, reach = _pieces(reduced, crop, side)
        averages = self.part.cache.average_windows(rows, pieces, reach, background)
        batch["average"] = torch.from_numpy(averages).permute(0, 3, 1, 2)
        batch["average_warp"] = torch.from_numpy(_moved(reduced, pieces))
        batch["colour"] = torch.from_numpy(drawn.colours)

    def _draw(self, keys: list[Key], size: int, crop: int) -> tuple[np.ndarray, np.ndarray]:
        if not self.training:
            warp = evaluation_warp(size, crop, self.data.view)
            return np.repeat(warp[None], len(keys), 0), np.repeat(IDENTITY_COLOUR[None], len(keys), 0)
        stream = [self.stream] if self.stream else []
        rngs = [generator(self.seed, epoch, position, *stream) for epoch, position, _ in keys]
        augment, view = self.data.augment, self.data.view
        warps = np.stack([draw_warp(augment, size, crop, view, rng) for rng in rngs])
        return warps, np.stack([draw_colour(augment, rng) for rng in rngs])


def _pieces(warps: np.ndarray, crop: int, side: int | None = None) -> tuple[np.ndarray, int]:
    """Upper left corners and common side of squares that hold all that affine maps of windows read.

    Shape:
        - ``warps``: ``(B, 2, 3)`` float64: pixel of a window of ``crop`` pixels -> pixel of the picture.
        - Returns: ``(B, 2)`` int64, x and y; with ``side``, the picture's, the squares lie within it.
    """
    last = crop - 1.0
    ends = np.array([[0, 0, 1], [last, 0, 1], [0, last, 1], [last, last, 1]]).T
    reached = warps @ ends
    low, high = (
        np.floor(reached.min(2) + 1e-4).astype(np.int64),
        np.ceil(reached.max(2) - 1e-4).astype(np.int64),
    )
    if side is None:
        return low, int((high - low).max()) + 1
    low, high = low.clip(0, side - 1), high.clip(0, side - 1)
    reach = int((high - low).max()) + 1
    return np.minimum(low, side - reach), reach


def _leave_out(masks: torch.Tensor, boxes: np.ndarray) -> None:
    """Judge nothing outside a box of each mask: ``(B, 8, H, W)`` in place, ``(B, 4)`` left, top, right, bottom."""
    for mask, (left, top, right, bottom) in zip(masks, boxes.tolist(), strict=True):
        mask[:, :top], mask[:, bottom:] = 255, 255
        mask[..., :left], mask[..., right:] = 255, 255


def _moved(warps: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The same maps into pieces with the given upper left corners."""
    moved = warps.copy()
    moved[:, :, 2] -= corners
    return moved.astype(np.float32)


def unpacked(planes: np.ndarray) -> np.ndarray:
    """Lesion planes, ``(B, 2, H, W)`` bits, as ``(B, 8, H, W)`` uint8: 0 absent, 1 present, 255 not to be judged."""
    present = (planes[:, 0, None] >> _BITS[None, :, None, None]) & 1
    ignored = ((planes[:, 1, None] >> _BITS[None, :, None, None]) & 1).astype(bool)
    present[ignored] = 255
    return present
