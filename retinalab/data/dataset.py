"""Whole batches of one part: photographs, or windows read without the rest of their photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from retinalab.config import AugmentConfig, DataConfig
from retinalab.data.batch import Batch
from retinalab.data.part import Part
from retinalab.data.sampler import Key
from retinalab.data.tiles import Tiles
from retinalab.data.window_table import Windows, window_table
from retinalab.records import LESIONS
from retinalab.transforms.apply import apply_image, apply_mask
from retinalab.transforms.background import average_side
from retinalab.transforms.draw import IDENTITY_COLOUR, draw_colours, draw_warps, evaluation_warp, generator

__all__ = ["Memory", "PartDataset", "fresh_memory", "unpacked"]


Memory = Callable[[Sequence[int]], Tensor]
"""Gives an uninitialised uint8 tensor of a shape."""


def fresh_memory(shape: Sequence[int]) -> Tensor:
    """Memory that was not used before."""
    return torch.empty(tuple(shape), dtype=torch.uint8)


@dataclass(frozen=True)
class _Places:
    """Squares that are read of photographs, and what changes them.

    Attributes:
        rows: ``(B,)`` of the cache.
        corners: ``(B, 2)`` int64, upper left pixels; None where photographs are read whole.
        side: of the squares, pixels.
        warps: ``(B, 2, 3)`` float32, input pixel -> pixel of the square; working: the same -> working image.
        colours: ``(B, 3, 4)`` float32.
    """

    rows: np.ndarray
    corners: np.ndarray | None
    side: int
    warps: np.ndarray
    working: np.ndarray
    colours: np.ndarray

    @property
    def still(self) -> np.ndarray:
        """``(B,)`` bool: neither moved nor coloured."""
        plain = (self.warps == np.eye(2, 3, dtype=np.float32)).all((1, 2))
        return np.asarray(plain & (self.colours == IDENTITY_COLOUR).all((1, 2)))


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
        self._moves = training and data.augment != AugmentConfig()
        tiles = None if training else Tiles.of(data)
        self._judged = None if tiles is None else tiles.nearest()

    def __len__(self) -> int:
        return len(self.part) if self.windows is None else len(self.windows)

    def __getitems__(self, keys: list[Key]) -> Batch:
        """The batch of the given keys."""
        return self.batch(keys)

    def batch(self, keys: list[Key], memory: Memory = fresh_memory) -> Batch:
        """The batch of the given keys; several threads may ask at once.

        Args:
            keys: of the photographs or windows.
            memory: where pixels are to lie.
        """
        index = np.array([row for _, _, row in keys])
        photographs = index if self.windows is None else self.windows["photograph"].to_numpy()[index]
        places = self._places(photographs, index, keys)
        batch = self._given(places, memory) if self.on_device else self._changed(places, memory)
        if self._judged is not None and "mask" in batch:
            _leave_out(batch["mask"], self._judged[index % len(self._judged)])
        self._add_background(batch, places)
        batch["index"] = torch.from_numpy(index)
        batch["grades"] = {d: torch.from_numpy(grades[photographs]) for d, grades in self.grades.items()}
        batch["present"] = torch.from_numpy(self.present[photographs])
        if self.windows is not None:
            batch["label"] = torch.from_numpy(self.windows["label"].to_numpy(np.int64)[index])
        return batch

    def _places(self, photographs: np.ndarray, index: np.ndarray, keys: list[Key]) -> _Places:
        """What is read of each photograph, whole or as far as the drawn warps reach, and what changes it."""
        rows, cache = self.part.rows[photographs], self.part.cache
        if self.windows is None or self.data.windows is None:
            warps, colours = self._draw(keys, cache.size, self.data.input_size)
            return _Places(rows, None, cache.size, warps, warps, colours)
        size = self.data.windows.size
        warps, colours = self._draw(keys, size, size)
        corners = self.windows[["x", "y"]].to_numpy()[index] - size // 2
        places = warps.astype(np.float64)
        places[:, :, 2] += corners
        pieces, side = _pieces(places, size)
        return _Places(rows, pieces, side, _moved(places, pieces), places.astype(np.float32), colours)

    def _given(self, places: _Places, memory: Memory) -> Batch:
        """The pixels as they lie in the cache; the device changes them."""
        count, side = len(places.rows), places.side
        batch = Batch()
        batch["warp"], batch["colour"] = torch.from_numpy(places.warps), torch.from_numpy(places.colours)
        image = memory((count, side, side, 3))
        self._read_images(places, slice(None), image.numpy())
        batch["image"] = image.permute(0, 3, 1, 2)
        if self.data.masks:
            mask = memory((count, len(LESIONS), side, side))
            unpacked(self._read_planes(places, slice(None)), mask.numpy())
            batch["mask"] = mask
        return batch

    def _changed(self, places: _Places, memory: Memory) -> Batch:
        """Warped and coloured here, one photograph after the other: what was read is still near the processor."""
        count, crop, side = len(places.rows), self.data.input_size, places.side
        batch = Batch()
        image = memory((count, crop, crop, 3))
        out = image.numpy()
        still = places.still & (side == crop)
        if still.all():
            self._read_images(places, slice(None), out)
        else:
            read = np.empty((1, side, side, 3), np.uint8)
            for i, (warp, colour) in enumerate(zip(places.warps, places.colours, strict=True)):
                if still[i]:
                    self._read_images(places, slice(i, i + 1), out[i : i + 1])
                else:
                    self._read_images(places, slice(i, i + 1), read)
                    apply_image(read[0], warp, colour, crop, out[i])
        batch["image"] = image.permute(0, 3, 1, 2)
        if self.data.masks:
            mask = memory((count, len(LESIONS), crop, crop))
            masks = mask.numpy()
            for i, warp in enumerate(places.warps):
                planes = self._read_planes(places, slice(i, i + 1))
                if not still[i]:
                    moved = [apply_mask(planes[0, 0], warp, crop), apply_mask(planes[0, 1], warp, crop, 255)]
                    planes = np.stack(moved)[None]
                unpacked(planes, masks[i : i + 1])
            batch["mask"] = mask
        return batch

    def _read_images(self, places: _Places, which: slice, out: np.ndarray) -> None:
        rows, cache = places.rows[which], self.part.cache
        if places.corners is None:
            cache.images(rows, out)
        else:
            cache.image_windows(rows, places.corners[which], places.side, out)

    def _read_planes(self, places: _Places, which: slice) -> np.ndarray:
        rows, cache = places.rows[which], self.part.cache
        if places.corners is None:
            return cache.planes(rows)
        return cache.plane_windows(rows, places.corners[which], places.side)

    def _add_background(self, batch: Batch, places: _Places) -> None:
        """What the subtraction needs to know of the photographs that windows are cut from, and of the kept circle."""
        background = self.data.background
        if background is None:
            return
        if background.circle is not None:
            batch["place"] = torch.from_numpy(places.working)
        if self.windows is None:
            return
        size, crop = self.part.cache.size, self.data.input_size
        side = average_side(size, background)
        reduced = places.working.astype(np.float64) * (side / size)
        reduced[:, :, 2] += (side / size - 1) / 2
        pieces, reach = _pieces(reduced, crop, side)
        averages = self.part.cache.average_windows(places.rows, pieces, reach, background)
        batch["average"] = torch.from_numpy(averages).permute(0, 3, 1, 2)
        batch["average_warp"] = torch.from_numpy(_moved(reduced, pieces))
        batch["colour"] = torch.from_numpy(places.colours)

    def _draw(self, keys: list[Key], size: int, crop: int) -> tuple[np.ndarray, np.ndarray]:
        if not self._moves:
            warp = _unmoved(size, crop, self.data.view)
            return np.repeat(warp[None], len(keys), 0), np.repeat(IDENTITY_COLOUR[None], len(keys), 0)
        stream = [self.stream] if self.stream else []
        rngs = [generator(self.seed, epoch, position, *stream) for epoch, position, _ in keys]
        augment, view = self.data.augment, self.data.view
        return draw_warps(augment, size, crop, view, rngs), draw_colours(augment, rngs)


@lru_cache(maxsize=64)
def _unmoved(size: int, crop: int, view: str) -> np.ndarray:
    """The map of evaluation, kept: working it out takes a third of what a batch of photographs costs in Python."""
    return evaluation_warp(size, crop, view)


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


def unpacked(planes: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Lesion planes, ``(B, 2, H, W)`` bits, as ``(B, 8, H, W)`` uint8: 0 absent, 1 present, 255 not to be judged.

    Args:
        planes: as :meth:`~retinalab.data.cache.Prepared.planes` gives them.
        out: where to; default: fresh memory.
    """
    if out is None:
        out = np.empty((len(planes), len(LESIONS), *planes.shape[2:]), np.uint8)
    for bit in range(len(LESIONS)):
        ignored = (planes[:, 1] >> bit) & 1
        np.bitwise_and(planes[:, 0] >> bit, 1, out=out[:, bit])
        out[:, bit] |= np.negative(ignored)  # 1 becomes 255
    return out
