"""The LightningDataModule: uint8 batches from prepared photographs, augmented once, normalised on the device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from retinalab.config import DataConfig, TestConfig
from retinalab.data.batch import Batch
from retinalab.data.parts import Part, Parts, load_parts
from retinalab.data.sampler import EpochBatches, EpochSampler, Key
from retinalab.data.windows import cut, window_table
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.records import LESIONS
from retinalab.transforms.apply import apply_batch, apply_colour, apply_image, apply_mask, normalise
from retinalab.transforms.background import subtract_background
from retinalab.transforms.draw import IDENTITY_COLOUR, draw_colour, draw_warp, evaluation_warp, generator

__all__ = ["FundusDataModule", "PartDataset"]

_BITS = np.arange(len(LESIONS), dtype=np.uint8)


class PartDataset(Dataset[Batch]):
    """Whole batches of one part, by keys of :class:`~retinalab.data.sampler.EpochSampler`.

    Args:
        part: photographs.
        data: the data section.
        diseases: whose grades a batch carries.
        seed: of the run; augmentation follows from (seed, epoch, position).
        training: whether to augment.
        on_device: leave the warp and the colour map to the device; they then travel with the batch.
    """

    def __init__(
        self,
        part: Part,
        data: DataConfig,
        diseases: tuple[str, ...],
        seed: int,
        training: bool,
        on_device: bool,
    ) -> None:
        self.part = part
        self.data = data
        self.seed = seed
        self.training = training
        self.on_device = on_device
        table = part.records.table
        self.grades = {disease: table[disease].to_numpy(np.int64) for disease in diseases}
        present = table[[f"present_{lesion}" for lesion in LESIONS]].to_numpy(np.float32)
        self.present = np.where(present < 0, np.float32(np.nan), present)
        self.windows: pd.DataFrame | None = None
        if data.windows is not None:
            self.windows = window_table(data.windows, part.cache, part.rows, seed)
            if not len(self.windows):
                raise RetinalabError(
                    f"No window can be cut from the {len(part)} photographs of part {part.name}: they show none of "
                    f"{', '.join(data.windows.classes)} and no place known to be free of them. "
                    "Name other windows.classes."
                )

    def __len__(self) -> int:
        return len(self.part) if self.windows is None else len(self.windows)

    def __getitems__(self, keys: list[Key]) -> Batch:
        """The batch of the given keys."""
        index = np.array([row for _, _, row in keys])
        photographs = index if self.windows is None else self.windows["photograph"].to_numpy()[index]
        images, planes = self._working(photographs, index)
        batch = self._changed(images, planes, keys)
        batch["index"] = torch.from_numpy(index)
        batch["grades"] = {d: torch.from_numpy(grades[photographs]) for d, grades in self.grades.items()}
        batch["present"] = torch.from_numpy(self.present[photographs])
        if self.windows is not None:
            batch["label"] = torch.from_numpy(self.windows["label"].to_numpy(np.int64)[index])
        return batch

    def _working(self, photographs: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Working images and lesion planes, cut to windows where the data section says so."""
        rows = self.part.rows[photographs]
        images = self.part.cache.images(rows)
        planes = self.part.cache.planes(rows) if self.data.masks else None
        if self.windows is None or self.data.windows is None:
            return images, planes
        size = self.data.windows.size
        centres = self.windows[["x", "y"]].to_numpy()[index]
        images = np.stack([cut(i, x, y, size) for i, (x, y) in zip(images, centres, strict=True)])
        if planes is not None:
            moved = [cut(p.transpose(1, 2, 0), x, y, size) for p, (x, y) in zip(planes, centres, strict=True)]
            planes = np.stack(moved).transpose(0, 3, 1, 2)
        return images, planes

    def _changed(self, images: np.ndarray, planes: np.ndarray | None, keys: list[Key]) -> Batch:
        size, crop = images.shape[1], self.data.input_size
        warps, colours = self._draw(keys, size, crop)
        batch = Batch()
        if self.on_device:
            batch["warp"], batch["colour"] = torch.from_numpy(warps), torch.from_numpy(colours)
            batch["image"] = torch.from_numpy(images).permute(0, 3, 1, 2)
            if planes is not None:
                batch["mask"] = torch.from_numpy(_unpacked(planes))
            return batch
        plain = np.eye(2, 3, dtype=np.float32)
        out = np.empty((len(images), crop, crop, 3), np.uint8)
        for i, image in enumerate(images):
            still = (
                size == crop
                and np.array_equal(warps[i], plain)
                and np.array_equal(colours[i], IDENTITY_COLOUR)
            )
            out[i] = image if still else apply_image(image, warps[i], colours[i], crop)
        batch["image"] = torch.from_numpy(out).permute(0, 3, 1, 2)
        if planes is not None:
            moved = np.stack(
                [
                    [apply_mask(p[0], warps[i], crop), apply_mask(p[1], warps[i], crop, 255)]
                    for i, p in enumerate(planes)
                ]
            )
            batch["mask"] = torch.from_numpy(_unpacked(moved))
        return batch

    def _draw(self, keys: list[Key], size: int, crop: int) -> tuple[np.ndarray, np.ndarray]:
        if not self.training:
            warp = evaluation_warp(size, crop, self.data.view)
            return np.repeat(warp[None], len(keys), 0), np.repeat(IDENTITY_COLOUR[None], len(keys), 0)
        rngs = [generator(self.seed, epoch, position) for epoch, position, _ in keys]
        augment, view = self.data.augment, self.data.view
        warps = np.stack([draw_warp(augment, size, crop, view, rng) for rng in rngs])
        return warps, np.stack([draw_colour(augment, rng) for rng in rngs])


class FundusDataModule(LightningDataModule):
    """Photographs of one stage, with its protocol's split.

    Args:
        data: the data section.
        protocol: grade scales and split.
        diseases: whose grades batches carry; default: the protocol's.
        seed: of the run.
        roots: data set -> folder.
        test: further sets to test on.
        fold, folds: which fold of how many.
    """

    def __init__(
        self,
        data: DataConfig,
        protocol: Protocol,
        diseases: tuple[str, ...] | None = None,
        seed: int = 0,
        roots: Mapping[str, Path] | None = None,
        test: TestConfig | None = None,
        fold: int | None = None,
        folds: int = 1,
    ) -> None:
        super().__init__()
        self.data = data
        self.protocol = protocol
        self.diseases = diseases or tuple(protocol.diseases)
        self.seed = seed
        self.roots = roots or {}
        self.test = test or TestConfig()
        self.fold = fold
        self.folds = folds
        self._parts: Parts | None = None

    @property
    def parts(self) -> Parts:
        """Records, split and prepared photographs; made when first asked for."""
        if self._parts is None:
            self._parts = load_parts(self.data, self.protocol, self.roots, self.test, self.fold, self.folds)
        return self._parts

    def use(self, parts: Parts) -> None:
        """Take these parts instead, as where a later stage's test part takes photographs out of them."""
        self._parts = parts

    def setup(self, stage: str) -> None:
        """Prepare photographs; every process may call it at once."""
        _ = self.parts

    def evaluation_parts(self) -> list[Part]:
        """What :meth:`test_dataloader` goes through: validation (thresholds come from it), then each test set."""
        return [self.parts.val, *self.parts.tests.values()]

    def dataset(self, part: Part, training: bool = False) -> PartDataset:
        """The batches of one part."""
        return PartDataset(part, self.data, self.diseases, self.seed, training, self._on_gpu())

    def train_dataloader(self) -> DataLoader[Batch]:
        """Augmented training batches, from the epoch and batch at which the trainer stands."""
        dataset = self.dataset(self.parts.train, training=True)
        batches = self._training_order(dataset)
        epoch, done = self._position()
        batches.sampler.set_epoch(epoch)
        batches.skip = done % len(batches)
        return self._loader(dataset, batches)

    def training_batches(self) -> int:
        """Batches of one epoch on this process."""
        return len(self._training_order(self.dataset(self.parts.train, training=True)))

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation photographs, in the order of the records: the test part's where the protocol selects on it."""
        return self._evaluation(self.parts.val)

    def test_dataloader(self) -> list[DataLoader[Batch]]:
        """One loader for each of :meth:`evaluation_parts`."""
        return [self._evaluation(part) for part in self.evaluation_parts()]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Warp and colour where they were left to the device, then normalise."""
        images = batch["image"].float() / 255
        if "warp" in batch:
            images = apply_batch(images, batch["warp"], self.data.input_size)
            images = apply_colour(images, batch["colour"])
            if "mask" in batch:
                batch["mask"] = _warped_mask(batch["mask"], batch["warp"], self.data.input_size)
            del batch["warp"], batch["colour"]
        if self.data.background is not None:
            images = subtract_background(images, self.data.background * images.shape[-1])
        batch["image"] = normalise(images, self.data.normalise)
        return batch

    def _evaluation(self, part: Part) -> DataLoader[Batch]:
        dataset = self.dataset(part)
        sampler = EpochSampler(len(dataset), self.seed, False, None, *self._share())
        return self._loader(dataset, EpochBatches(sampler, self.data.batch_size))

    def _training_order(self, dataset: PartDataset) -> EpochBatches:
        classes = None if self.data.sampler == "shuffle" else self._classes(dataset)
        sampler = EpochSampler(len(dataset), self.seed, True, classes, *self._share())
        batches = EpochBatches(sampler, self.data.batch_size, self.data.drop_last)
        if not len(batches):
            raise RetinalabError(
                f"{len(dataset)} photographs or windows make no training batch of {self.data.batch_size} on "
                f"{sampler.world} processes. Lower data.batch_size, or set data.drop_last=false."
            )
        return batches

    def _loader(self, dataset: PartDataset, batches: EpochBatches) -> DataLoader[Batch]:
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=cast(Any, _identity),
            num_workers=self.data.workers,
            pin_memory=self._on_gpu(),
            persistent_workers=self.data.workers > 0,
        )

    def _classes(self, dataset: PartDataset) -> np.ndarray:
        if self.data.sampler == "sets":
            sets = pd.factorize(dataset.part.records.table["set"])[0]
            return sets if dataset.windows is None else sets[dataset.windows["photograph"].to_numpy()]
        if dataset.windows is not None and (dataset.windows["label"] >= 0).all():
            return dataset.windows["label"].to_numpy()
        return dataset.grades[self.diseases[0]]

    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def _share(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def _position(self) -> tuple[int, int]:
        """(epoch, batches of it already trained on) of a trainer that may have been restored within an epoch."""
        if self.trainer is None:
            return 0, 0
        loop: Any = self.trainer.fit_loop
        restarting = bool(loop.epoch_loop.restarting)
        return (
            loop.epoch_progress.current.processed,
            loop.epoch_loop.batch_progress.current.ready if restarting else 0,
        )


def _identity(batch: Batch) -> Batch:
    return batch


def _unpacked(planes: np.ndarray) -> np.ndarray:
    """``(B, 2, H, W)`` bits -> ``(B, 8, H, W)`` uint8: 0 absent, 1 present, 255 not to be judged."""
    present = (planes[:, 0, None] >> _BITS[None, :, None, None]) & 1
    ignored = ((planes[:, 1, None] >> _BITS[None, :, None, None]) & 1).astype(bool)
    present[ignored] = 255
    return present


def _warped_mask(mask: Tensor, warp: Tensor, crop: int) -> Tensor:
    shifted = apply_batch(mask.float() + 1, warp, crop, mode="nearest")
    return (torch.where(shifted == 0, torch.full_like(shifted, 256), shifted) - 1).to(torch.uint8)
