"""The LightningDataModule: uint8 batches from prepared photographs, augmented once, normalised on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning import LightningDataModule
from torch import Tensor

from retinalab.config import DataConfig, TestConfig
from retinalab.data.batch import Batch
from retinalab.data.dataset import PartDataset
from retinalab.data.loader import BatchLoader, default_threads
from retinalab.data.parts import Part, Parts, load_parts
from retinalab.data.pool import pooled_part
from retinalab.data.sampler import EpochBatches, EpochSampler
from retinalab.data.tiles import Tiles
from retinalab.data.window_table import Windows, window_table
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.transforms.apply import apply_batch, apply_colour, colour_of, normalise
from retinalab.transforms.background import even_out, place_average

__all__ = ["FundusDataModule", "PartDataset"]


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
        stream: of random numbers, which order and augmentation follow from besides the seed; 0: from the seed alone.
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
        stream: int = 0,
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
        self.stream = stream
        self._parts: Parts | None = None
        self._windows: list[tuple[Part, bool, Windows]] = []
        self._own: int | None = None
        self._sets: np.ndarray | None = None
        self._alternate = self._equal = False
        self.accumulated = 1
        """Batches that make one of the experiment's; where a rest is left out, fewer of them are one."""

    @property
    def parts(self) -> Parts:
        """Records, split and prepared photographs, with the windows' counts noted; made when first asked for."""
        if self._parts is None:
            found = load_parts(self.data, self.protocol, self.roots, self.test, self.fold, self.folds)
            self._parts = self._noted(found)
        return self._parts

    def use(self, parts: Parts) -> None:
        """Take these parts instead, as where a later stage's test part takes photographs out of them."""
        self._parts = self._noted(parts)

    def add(self, made: Sequence[Part], alternate: bool = False, equal: bool = False) -> None:
        """Train on photographs that were made, besides one's own.

        Args:
            made: whole photographs at the working size, with ``target_set``, the set that each counts as one of.
            alternate: in every other epoch only, beginning with the second; the trainer must then reload the
                batches in each epoch.
            equal: epochs with them are as long as without, each with another choice of all.
        """
        own = self.parts.train
        if made:
            self._own, self._alternate, self._equal = len(own), alternate, equal
            names = [own.records.table["set"], *(part.records.table["target_set"] for part in made)]
            self._sets = np.concatenate([one.to_numpy(str) for one in names])
            self.use(replace(self.parts, train=pooled_part([own, *made])))

    def setup(self, stage: str) -> None:
        """Prepare photographs; every process may call it at once."""
        _ = self.parts

    def evaluation_parts(self) -> list[Part]:
        """What :meth:`test_dataloader` goes through: validation (thresholds come from it), then each test set."""
        return [self.parts.val, *self.parts.tests.values()]

    def dataset(self, part: Part, training: bool = False) -> PartDataset:
        """The batches of one part."""
        windows = None if self.data.windows is None else self._windows_of(part, training)
        stream = self.stream if training else 0
        return PartDataset(
            part, self.data, self.diseases, self.seed, training, self._on_gpu(), windows, stream
        )

    def train_dataloader(self) -> BatchLoader:
        """Augmented training batches, from the epoch and batch at which the trainer stands."""
        dataset = self.dataset(self.parts.train, training=True)
        epoch, done = self._position()
        batches = self._training_order(dataset, epoch)
        batches.sampler.set_epoch(epoch)
        batches.skip = done % len(batches)
        return self._loader(dataset, batches)

    def training_batches(self, epoch: int = 0) -> int:
        """Batches of an epoch on this process; epochs are alike but for even and odd ones where they alternate."""
        return len(self._training_order(self.dataset(self.parts.train, training=True), epoch))

    def val_dataloader(self) -> BatchLoader:
        """Validation photographs, in the order of the records: the test part's where the protocol selects on it."""
        return self._evaluation(self.parts.val)

    def test_dataloader(self) -> list[BatchLoader]:
        """One loader for each of :meth:`evaluation_parts`; all tiles of a photograph go to one process."""
        tiles = Tiles.of(self.data)
        together = 1 if tiles is None else len(tiles)
        return [self._evaluation(part, together) for part in self.evaluation_parts()]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Warp and colour where they were left to the device, even out the background, then normalise.

        Colour augmentation comes before the subtraction. Of a window's photograph the average is changed in its place,
        which is the same where the colour map clamps nothing and, of a median, mixes no channels.
        """
        images = batch["image"].float().div_(255)
        if "warp" in batch:
            images = apply_batch(images, batch["warp"], self.data.input_size)
            images = apply_colour(images, batch["colour"])
            if "mask" in batch:
                batch["mask"] = _warped_mask(batch["mask"], batch["warp"], self.data.input_size)
        if self.data.background is not None:
            average = None
            if "average" in batch:
                average = place_average(batch["average"], batch["average_warp"], self.data.input_size)
                average = colour_of(average, batch["colour"])
            images = even_out(images, self.data.background, average, batch.get("place"), self.data.size)
        for key in ("warp", "colour", "place", "average", "average_warp"):
            batch.pop(key, None)  # type: ignore[misc]
        batch["image"] = normalise(images, self.data.normalise)
        return batch

    def _noted(self, parts: Parts) -> Parts:
        """The parts with notes of their windows, in the place of those of parts that were taken before."""
        if self.data.windows is None:
            return parts
        before = {note for _, _, windows in self._windows for note in windows.notes}
        used = [(parts.train, True), (parts.val, False), *((part, False) for part in parts.tests.values())]
        self._windows = [(part, how, self._windows_of(part, how)) for part, how in used]
        notes = [note for note in parts.notes if note not in before]
        notes += [note for _, _, windows in self._windows for note in windows.notes]
        return replace(parts, notes=tuple(dict.fromkeys(notes)))

    def _windows_of(self, part: Part, training: bool) -> Windows:
        """The windows of a part, found once."""
        assert self.data.windows is not None
        for known, how, windows in self._windows:
            if known is part and how == training:
                return windows
        circle = self.data.background.circle if self.data.background is not None else None
        found = window_table(self.data.windows, part, self.seed, training, circle)
        self._windows.append((part, training, found))
        return found

    def _evaluation(self, part: Part, together: int = 1) -> BatchLoader:
        dataset = self.dataset(part)
        sampler = EpochSampler(len(dataset), self.seed, False, None, *self._share(), together=together)
        return self._loader(dataset, EpochBatches(sampler, self.data.batch_size))

    def _training_order(self, dataset: PartDataset, epoch: int) -> EpochBatches:
        own = len(dataset) if self._own is None else self._own
        rows = own if self._alternate and epoch % 2 == 0 else len(dataset)
        classes = None if self.data.sampler == "shuffle" else self._classes(dataset)[:rows]
        balance = self.data.balance if self.data.sampler == "decaying" else None
        length = own if self._equal else rows
        sampler = EpochSampler(
            rows, self.seed, True, classes, *self._share(), balance, stream=self.stream, length=length
        )
        batches = EpochBatches(sampler, self.data.batch_size, self.data.drop_last, together=self.accumulated)
        if not len(batches):
            raise RetinalabError(
                f"{len(dataset)} photographs or windows make no training batch of {self.data.batch_size} on "
                f"{sampler.world} processes. Lower data.batch_size, or set data.drop_last=false."
            )
        return batches

    def _loader(self, dataset: PartDataset, batches: EpochBatches) -> BatchLoader:
        threads, on_gpu = self.data.workers, self._on_gpu()
        if threads is None:
            threads = default_threads(on_gpu, self._beside())
        return BatchLoader(dataset, batches, threads, on_gpu)

    def _classes(self, dataset: PartDataset) -> np.ndarray:
        if self.data.sampler == "sets":
            named = dataset.part.records.table["set"].to_numpy(str) if self._sets is None else self._sets
            sets = pd.factorize(named)[0]
            return sets if dataset.windows is None else sets[dataset.windows["photograph"].to_numpy()]
        if dataset.windows is not None and (dataset.windows["label"] >= 0).all():
            return dataset.windows["label"].to_numpy()
        return dataset.grades[self.diseases[0]]

    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def _beside(self) -> int:
        """Processes that Lightning itself started on this machine; what another program started, that one counts."""
        if self.trainer is None:
            return 1
        environment = getattr(self.trainer.strategy, "cluster_environment", None)
        outside = environment is not None and environment.creates_processes_externally
        return 1 if outside else self.trainer.num_devices

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


def _warped_mask(mask: Tensor, warp: Tensor, crop: int) -> Tensor:
    shifted = apply_batch(mask.float() + 1, warp, crop, mode="nearest")
    return (torch.where(shifted == 0, torch.full_like(shifted, 256), shifted) - 1).to(torch.uint8)
