"""Makers: what a stage of kind ``make_data`` runs: photographs from a network and those that it learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning.fabric.utilities import move_data_to_device

from retinalab.config import DataConfig, Stage, TaskConfig
from retinalab.data.batch import Batch
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.tasks.base import Task
from retinalab.transforms.draw import evaluation_warp

__all__ = ["Made", "Maker", "Originals", "Plan", "Strip"]


@dataclass(frozen=True)
class Plan:
    """Which photographs will be made.

    Attributes:
        rows: one for each, in order; its columns are the maker's own but ``shown``, which the stage adds: whether the
            report shall show how this one was made. Empty: nothing can be made.
        notes: for the log and the report, such as why nothing can be made.
    """

    rows: pd.DataFrame
    notes: tuple[str, ...] = ()


class Strip(NamedTuple):
    """How one photograph was made, in pictures.

    Attributes:
        number: in the plan.
        pictures: caption and ``(S, S, 3)`` uint8 RGB of each, from the source to the result.
    """

    number: int
    pictures: tuple[tuple[str, np.ndarray], ...]


@dataclass(frozen=True)
class Made:
    """Photographs that were made.

    Attributes:
        images: ``(B, S, S, 3)`` uint8 RGB, at the working size.
        rows: one for each: a column for each disease, its grade; ``target``, the training photograph that it was made
            from; ``left_out`` bool, not to be trained on; ``source``, where there is one, the training photograph that
            what was changed came from: the review counts how many different ones there are, and takes its patient and
            the target's as one. Any other column says how it was made. The stage adds ``changed``, how many pixels
            were, and, of some drawn photographs, where.
        changed: ``(B, S, S)`` bool, the pixels in which it differs from that photograph.
        strips: of those that shall be shown.
    """

    images: np.ndarray
    rows: pd.DataFrame
    changed: np.ndarray
    strips: tuple[Strip, ...] = ()


@dataclass(frozen=True)
class Originals:
    """The training photographs that photographs are made from.

    Attributes:
        part: their records and where they lie prepared.
        module: prepares batches as for evaluation.
        device: that the network is on.
    """

    part: Part
    module: FundusDataModule
    device: torch.device

    @property
    def data(self) -> DataConfig:
        """How photographs reach the network."""
        return self.module.data

    @property
    def extent(self) -> float:
        """Side of the network's input, in the working image's centre, as a share of its side."""
        data = self.data
        warp = evaluation_warp(data.size, data.input_size, data.view)
        return float(warp[0, 0]) * data.input_size / data.size

    def images(self, positions: np.ndarray) -> np.ndarray:
        """``(B, S, S, 3)`` uint8 RGB, at the working size."""
        return np.asarray(self.part.cache.images(self.part.rows[positions]))

    def batch(self, positions: np.ndarray) -> Batch:
        """The same photographs as the network takes them, on its device."""
        dataset = self.module.dataset(self.part)
        batch = dataset.__getitems__([(0, int(row), int(row)) for row in positions])
        moved: Batch = move_data_to_device(batch, self.device)
        return self.module.on_after_batch_transfer(moved, 0)


class Maker:
    """Base of every maker: a plugin gives ``config_class``, :meth:`plan` and :meth:`make`.

    Both follow from what they are given alone: an interrupted stage makes the rest, several processes make a share
    each, and a repetition gives the same photographs bit for bit.

    Args:
        config: the maker's options.
        scales: disease -> name of its grade scale.
        key: numbers that everything drawn must follow from, besides a photograph's own number.
    """

    config_class: ClassVar[type[TaskConfig]] = TaskConfig
    remedy: ClassVar[str] = ""
    """What a user may change where photographs show nothing that was made; it follows the note that counts them."""

    def __init__(self, config: Any, scales: Mapping[str, str], key: tuple[int, ...]) -> None:
        self.config = config
        self.scales = dict(scales)
        self.key = key

    def check(self, task: Task, stage: Stage, adding: Mapping[str, Stage]) -> None:
        """Refuse, before any stage is trained, what this maker cannot make there; the default takes everything.

        Args:
            task: the network that will look, on the CPU and in evaluation mode; its weights are not trained yet.
            stage: the maker's own.
            adding: the stages that train on what it makes, by name; ``diseases`` of each are filled in.

        Raises:
            RetinalabError: what does not fit, and the option that mends it.
        """

    def plan(self, seen: pd.DataFrame) -> Plan:
        """Choose what will be made.

        Args:
            seen: a row for each training photograph, in order: ``image``, ``set``, ``patient``; ``part`` that the split
                puts it in; of each disease ``<d>`` reference (-1 unknown), ``<d>_grade`` predicted, and ``<d>_score``
                or ``<d>_p0`` ...
        """
        raise NotImplementedError

    def make(self, task: Task, originals: Originals, rows: pd.DataFrame) -> Made:
        """Make some of the planned photographs; the index of ``rows`` is their number in the plan."""
        raise NotImplementedError
