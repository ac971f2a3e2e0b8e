"""A training whose loss is no longer finite stops, says where it went wrong, and leaves only checkpoints of numbers."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
import torch.distributed as distributed
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from retinalab.data.module import FundusDataModule
from retinalab.errors import RetinalabError
from retinalab.runner.trainer import checkpoint_to_resume

__all__ = ["DivergenceGuard", "finite_weights"]

_NAMED = 4
"""Photographs that the message names; the file names all."""


class _Seen(NamedTuple):
    """A batch that was trained on.

    Attributes:
        step: optimiser steps taken before it.
        epoch: from 0. batch: of the epoch, from 0.
        rows: of the training photographs or windows, where they came to lie.
        loss: scalar, detached.
    """

    step: int
    epoch: int
    batch: int
    rows: Tensor
    loss: Tensor


class DivergenceGuard(Callback):
    """Looks every so many steps, and before anything is saved, whether any loss since was not finite.

    Between two looks nothing is copied to the host. What is saved is looked at itself too: a last step may take weights
    to infinity before a loss shows it.

    Args:
        module: the training photographs, which are named.
        folder: of the run, or of one fold and seed of it.
        stage: its name.
        every: batches from one look to the next.
    """

    def __init__(self, module: FundusDataModule, folder: Path, stage: str, every: int) -> None:
        self.module = module
        self.folder = folder
        self.stage = stage
        self.every = every
        self._seen: deque[_Seen] = deque(maxlen=every)
        self._flag: Tensor | None = None
        self._step = 0

    @property
    def file(self) -> Path:
        """Where the photographs of the last batches are listed once a loss was not finite."""
        return self.folder / f"diverged-{self.stage}.csv"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget what an earlier attempt left."""
        self._seen.clear()
        self._flag = None
        if trainer.is_global_zero:
            self.file.unlink(missing_ok=True)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note how many steps precede the batch's own."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the batch; look, if it is time."""
        loss: Tensor = outputs["loss"].detach()
        bad = loss.isfinite().logical_not_()
        self._flag = bad if self._flag is None else self._flag.logical_or_(bad)
        self._seen.append(_Seen(self._step, trainer.current_epoch, batch_idx, batch["index"], loss))
        if (trainer.fit_loop.total_batch_idx + 1) % self.every == 0:
            self._look(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before a validation that would say nothing."""
        self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before the epoch's checkpoint is chosen."""
        self._look(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save no weights that are not finite, nor any after a loss that was not.

        Raises:
            RetinalabError: either.
        """
        self._look(trainer)
        if self._any(~finite_weights(pl_module)):
            raise RetinalabError(
                f"Stage {self.stage!r} diverged: after step {trainer.global_step} its weights are no longer finite, "
                f"though every loss was. {self._remedy()}"
            )

    def _look(self, trainer: Trainer) -> None:
        flag, self._flag = self._flag, None
        if self._any(flag if flag is not None else torch.zeros((), dtype=torch.bool)):
            raise self._diverged(trainer)

    def _any(self, flag: Tensor) -> bool:
        """Whether it is so on any process: the one copy to the host."""
        if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
            count = flag.to(torch.int32)
            if distributed.get_backend() == "nccl" and count.device.type == "cpu":
                count = count.cuda()
            distributed.all_reduce(count)
            return bool(count.item())
        return bool(flag.item())

    def _diverged(self, trainer: Trainer) -> RetinalabError:
        mine = [
            (one.step, one.epoch, one.batch, one.rows.cpu().numpy(), float(one.loss)) for one in self._seen
        ]
        shares: list[Any] = [mine]
        if trainer.world_size > 1:
            shares = [None] * trainer.world_size
            distributed.all_gather_object(shares, mine)
        table = self._table(shares)
        if trainer.is_global_zero:
            table.to_csv(self.file, index=False)
        first = table[~table["loss"].map(_is_finite)].iloc[0]
        shown = table[(table["epoch"] == first["epoch"]) & (table["batch"] == first["batch"])]
        names = list(dict.fromkeys(shown["image"]))
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return RetinalabError(
            f"Stage {self.stage!r} diverged: its loss was {first['loss']} at step {first['step'] + 1} (epoch "
            f"{first['epoch']}, batch {first['batch']}), on {', '.join(names[:_NAMED])}{more}; the photographs of the "
            f"last {table.groupby(['epoch', 'batch']).ngroups} batches are in {self.file}. {self._remedy()}"
        )

    def _table(self, shares: list[Any]) -> pd.DataFrame:
        """A row for each photograph or window of the last batches, in the order of training."""
        part = self.module.parts.train
        windows = self.module.dataset(part, training=True).windows
        records = part.records.table
        rows = []
        for process, share in enumerate(shares):
            for step, epoch, batch, index, loss in share:
                photographs = index if windows is None else windows["photograph"].to_numpy()[index]
                named = records.iloc[photographs][["image", "set"]].reset_index(drop=True)
                rows.append(named.assign(step=step, epoch=epoch, batch=batch, process=process, loss=loss))
        columns = ["step", "epoch", "batch", "process", "loss", "image", "set"]
        order = ["epoch", "batch", "process"]
        every = pd.concat(rows, ignore_index=True).sort_values(order, kind="stable", ignore_index=True)
        table: pd.DataFrame = every[columns]
        return table

    def _remedy(self) -> str:
        kept = checkpoint_to_resume(self.folder, self.stage)
        best = self.folder / "checkpoints" / self.stage / "best.ckpt"
        good = kept or (best if best.is_file() else None)
        last = (
            f"The last good checkpoint is {good}" if good is not None else "No checkpoint had been saved yet"
        )
        return (
            f"{last}. Lower stages.{self.stage}.task.learning_rate, or set stages.{self.stage}.trainer."
            "gradient_clip_val=1 or precision=32-true; look at those photographs if they recur."
        )


def finite_weights(module: LightningModule) -> Tensor:
    """Whether every weight and every running statistic is a finite number: a bool on their device.

    Shape:
        - Returns: ``()``, bool.
    """
    running = (one for name, one in module.named_buffers() if ".running_" in name)
    values = [one.detach() for one in (*module.parameters(), *running) if one.is_floating_point()]
    if not values:
        return torch.ones((), dtype=torch.bool)
    return torch.stack([one.isfinite().all() for one in values]).all()


def _is_finite(loss: float) -> bool:
    return abs(loss) != float("inf") and loss == loss
