"""When a training saves, ends and what its bar shows, where Lightning's own callbacks do otherwise."""

from __future__ import annotations

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar

__all__ = ["EndsAfter", "PlainBar", "SavedBetweenValidations", "UntilNoBetter"]


class SavedBetweenValidations(ModelCheckpoint):
    """Saves within an epoch, between steps, but not before a validation: resumed there, none would follow."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save, unless a validation follows."""
        every, done = trainer.val_check_batch, batch_idx + 1
        if trainer.check_val_every_n_epoch is None:
            done = trainer.fit_loop.total_batch_idx + 1
        follows = trainer.is_last_batch or trainer.should_stop
        follows = follows or (isinstance(every, int) and done % every == 0)
        begun = (batch_idx + 1) % trainer.accumulate_grad_batches  # gradients that no checkpoint holds
        if not follows and not begun:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class EndsAfter(Callback):
    """Ends the training after so many optimiser steps, with a validation.

    Lightning's own ``max_steps`` validates nothing where it ends within an epoch, and a run resumed between two epochs
    leaves out the next.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ask for a stop, before which there is a validation."""
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self.steps

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Train no further where the steps have been taken."""
        trainer.should_stop = trainer.should_stop or checkpoint["global_step"] >= self.steps


class UntilNoBetter(EarlyStopping):
    """Waits for a metric that is not defined yet; one that is no longer defined is no improvement.

    Lightning's own check of finiteness would end the training at the first validation without a figure.
    """

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the validation, unless nothing has been defined so far."""
        if self._begun(trainer):
            super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the epoch, likewise."""
        if self._begun(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def _begun(self, trainer: Trainer) -> bool:
        figure = trainer.callback_metrics.get(self.monitor)
        return figure is None or bool(torch.isfinite(figure)) or bool(torch.isfinite(self.best_score))


class PlainBar(TQDMProgressBar):
    """Lightning's bar without the logger's version."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """The metrics of the bar."""
        return {
            name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"
        }
