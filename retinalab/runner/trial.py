"""A few real steps of a stage's training, of which nothing is kept: what they take in time and memory."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from retinalab.config import Experiment, TrainerConfig
from retinalab.data.module import FundusDataModule
from retinalab.runner.memory import is_out_of_memory, out_of_memory
from retinalab.runner.peak import forget_peak, peak_memory
from retinalab.runner.stage import build_task, closed
from retinalab.runner.trainer import quiet, trial_trainer

__all__ = ["BATCHES", "Trial", "try_steps"]

BATCHES = 4
"""That are trained on: the first warms up, and of those that two make one step both steps are taken."""


@dataclass(frozen=True)
class Trial:
    """What some steps took.

    Attributes:
        device: that they were taken on.
        batches: how many were trained on.
        step: seconds of an optimiser step, with the batches that it accumulates.
        validation: seconds of a validation batch; 0 where there is none.
        memory: bytes at the peak (:func:`~retinalab.runner.peak.peak_memory`).
    """

    device: torch.device
    batches: int
    step: float
    validation: float
    memory: int


def try_steps(experiment: Experiment, name: str, module: FundusDataModule, validate: bool = True) -> Trial:
    """Train a stage's network for a few batches from new weights, on one device of those that a run would use.

    Everything is as in the run: the network, loss and optimiser, precision, augmentation and the reading of
    photographs. No checkpoint, log or table is written, and no earlier stage's weights are needed.

    Args:
        experiment: the whole experiment.
        name: of the stage.
        module: its photographs, or what stands in for them.
        validate: whether two validation batches follow.

    Raises:
        RetinalabError: the device has too little memory, or what a run would refuse.
    """
    stage = experiment.stages[name]
    accumulated = min(2, stage.trainer.accumulate_grad_batches)
    task = build_task(experiment, name, experiment.seed)
    clock = _Clock()
    with quiet():
        trainer = trial_trainer(_shortened(stage.trainer, accumulated, validate), name, [clock])
        device = trainer.strategy.root_device
        forget_peak(device)
        try:
            with closed(trainer):
                trainer.fit(task, datamodule=module)
        except (MisconfigurationException, RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise out_of_memory(error, name, stage) from error
            raise
        finally:
            module.trainer = None
    memory = peak_memory(device)
    each = clock.between(clock.trained)
    return Trial(
        device,
        len(clock.trained),
        each * stage.trainer.accumulate_grad_batches,
        clock.between(clock.validated),
        memory,
    )


def _shortened(config: TrainerConfig, accumulated: int, validate: bool) -> TrainerConfig:
    """One epoch of a few batches on the first of the devices."""
    devices = config.devices[:1] if isinstance(config.devices, tuple) else 1
    return config.model_copy(
        update={
            "max_epochs": 1,
            "max_steps": -1,
            "devices": devices,
            "num_nodes": 1,
            "strategy": "auto",
            "sync_batchnorm": False,
            "accumulate_grad_batches": accumulated,
            "limit_train_batches": BATCHES,
            "limit_val_batches": 2 if validate else 0,
            "check_val_every_n_epoch": 1,
            "val_check_interval": None,
        }
    )


class _Clock(Callback):
    """Notes when each batch was done; a GPU has finished it then."""

    def __init__(self) -> None:
        self.trained: list[float] = []
        self.validated: list[float] = []
        self._began = 0.0

    def between(self, times: list[float]) -> float:
        """Median seconds from the end of one batch to the end of the next; from the beginning, of a single one."""
        if not times:
            return 0.0
        if len(times) == 1:
            return times[0] - self._began
        return statistics.median(after - before for before, after in pairwise(times))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The time before the first batch."""
        self._began = self._now(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A training batch is done."""
        self.trained.append(self._now(trainer))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """A validation batch is done."""
        self.validated.append(self._now(trainer))

    @staticmethod
    def _now(trainer: Trainer) -> float:
        device = trainer.strategy.root_device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.monotonic()
