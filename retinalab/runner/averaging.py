"""Averages of weights over a training: of its last epochs, or exponentially over its steps; they are what is tested."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.callbacks import WeightAveraging as Averaging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from retinalab.config import Experiment, WeightAveraging

__all__ = ["AveragedWeights", "averaging_notes", "refreshed_statistics"]

_RAMP = 10


class AveragedWeights(Averaging):
    """Keeps an average of the weights; from its first value on, validation, checkpoints and tests are of the average.

    ``swa``: the mean over the epochs' ends from ``epoch_start`` on. No network that was trained has the statistics of
    its batch normalisation: before each validation they are taken anew, over one pass of the training photographs.

    ``ema``: after each optimiser step, m ← d m + (1 - d) w with d = min(decay, (1 + n) / (10 + n)) at the n-th average;
    the ramp lets a short training forget its first steps. Running statistics are averaged likewise.

    The checkpoint that is tested is chosen among averages: what was best before there was one is forgotten.

    Reference: Izmailov et al., Averaging weights leads to wider optima, UAI 2018, algorithm 1; Polyak and Juditsky,
    1992, for the exponential form as TensorFlow's ``ExponentialMovingAverage`` has it.

    Args:
        options: the section of the configuration.
        epochs: of the training, of which ``epoch_start`` may be a share.
    """

    def __init__(self, options: WeightAveraging, epochs: int) -> None:
        self.options = options
        self.first = first_epoch(options, epochs)
        self._learning: frozenset[str] = frozenset()
        if options.kind == "ema":
            super().__init__(use_buffers=True, avg_fn=_exponential(options.decay))
        else:
            super().__init__(use_buffers=False)

    @property
    def begun(self) -> bool:
        """Whether there is an average yet."""
        return self._average_model is not None and int(self._average_model.n_averaged) > 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the average where the network will be."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note which statistics move: a resumed training may begin with a validation."""
        self._learning = _learning(pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """From the first averaged epoch on, a constant rate where one is asked for; groups keep their proportions."""
        if self.options.learning_rate is None or trainer.current_epoch < self.first:
            return
        for optimiser in trainer.optimizers:
            begun = [group.get("initial_lr", group["lr"]) for group in optimiser.param_groups]
            for group, rate in zip(optimiser.param_groups, begun, strict=True):
                group.setdefault("initial_lr", rate)
                group["lr"] = self.options.learning_rate * rate / max(begun)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the weights: of a step, or of an epoch's end, ahead of the validation that follows."""
        if trainer.current_epoch < self.first or self._average_model is None:
            return
        stepped = trainer.global_step > self._latest_update_step
        if self.options.kind == "ema" and stepped:
            self._count(trainer, pl_module)
        elif trainer.is_last_batch and trainer.current_epoch > self._latest_update_epoch:
            self._count(trainer, pl_module)
            self._latest_update_epoch = trainer.current_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing: epochs' ends were counted before their validation."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the network."""
        if self.begun:
            super().on_train_end(trainer, pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average in the network's place."""
        if not self.begun:
            return
        super().on_validation_epoch_start(trainer, pl_module)
        if self.options.kind == "swa":
            refreshed_statistics(trainer, pl_module, self._learning)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the network back."""
        if self.begun:
            super().on_validation_epoch_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Which step and epoch were counted last."""
        return {
            "latest_update_step": self._latest_update_step,
            "latest_update_epoch": self._latest_update_epoch,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting from there."""
        self._latest_update_step = state_dict["latest_update_step"]
        self._latest_update_epoch = state_dict["latest_update_epoch"]

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """The average as the checkpoint's weights, and those in training beside them."""
        if self.begun:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """A training that goes on takes back both; a test takes the average, which are the checkpoint's weights."""
        if trainer.state.fn == TrainerFn.FITTING and "averaging_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def _count(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self._average_model is not None
        self._learning = _learning(pl_module)
        if not self.begun:
            _forget_best(trainer)
        self._average_model.update_parameters(pl_module)
        self._latest_update_step = trainer.global_step


def first_epoch(options: WeightAveraging, epochs: int) -> int:
    """The epoch, counted from 0, from which weights are averaged; there is one at least.

    Example:
        >>> first_epoch(WeightAveraging(epoch_start=0.8), 10), first_epoch(WeightAveraging(epoch_start=3), 10)
        (8, 3)
    """
    start = options.start
    return min(int(epochs * start) if start <= 1 else int(start), epochs - 1)


def refreshed_statistics(trainer: Trainer, task: LightningModule, learning: Collection[str]) -> None:
    """Take the statistics of batch normalisation anew: their mean over one pass of the epoch's training batches.

    Only these layers are in training for it, so that nothing is drawn; what is frozen keeps its own.

    Args:
        trainer: of which the batches are.
        task: whose network is measured.
        learning: names of its layers whose statistics move in training.
    """
    layers = [one for name, one in task.named_modules() if isinstance(one, _BatchNorm) and name in learning]
    layers = [one for one in layers if one.track_running_stats]
    if not layers:
        return
    datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
    loader = datamodule.train_dataloader()
    loader.batch_sampler.skip = 0
    with _measuring(layers), torch.no_grad(), trainer.precision_plugin.val_step_context():
        for batch in islice(loader, int(trainer.num_training_batches)):
            moved = move_data_to_device(batch, task.device)
            task(datamodule.on_after_batch_transfer(moved, 0)["image"])
    for layer in layers:
        for value in (layer.running_mean, layer.running_var):
            if value is not None:
                value.copy_(trainer.strategy.reduce(value, reduce_op="mean"))


def averaging_notes(experiment: Experiment) -> list[str]:
    """What the result's notes say of the stages whose weights are averaged."""
    notes = []
    for name, stage in experiment.stages.items():
        options = stage.trainer.weight_averaging
        if options is None or stage.kind != "train":
            continue
        start = first_epoch(options, stage.trainer.max_epochs) + 1
        how = (
            f"the mean over the ends of its epochs from the {start}. on, with batch normalisation's statistics taken "
            "anew over the training photographs"
            if options.kind == "swa"
            else f"an exponential average over its steps from epoch {start} on (decay {options.decay:g})"
        )
        notes.append(f"weights are averaged: validated, chosen and tested of stage {name} is {how}")
    return notes


@contextmanager
def _measuring(layers: Sequence[_BatchNorm]) -> Iterator[None]:
    """Layers that sum up what they see, each batch alike."""
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()


def _learning(task: LightningModule) -> frozenset[str]:
    return frozenset(
        name for name, one in task.named_modules() if isinstance(one, _BatchNorm) and one.training
    )


def _exponential(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    def averaged(mean: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        n = int(count)
        if not mean.is_floating_point():
            return current
        return torch.lerp(current, mean, min(decay, (1 + n) / (_RAMP + n)))

    return averaged


def _forget_best(trainer: Trainer) -> None:
    """Let what is best be chosen anew, among averages."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor is not None:
            callback.best_k_models, callback.kth_best_model_path = {}, ""
            callback.best_model_score, callback.best_model_path = None, ""
            callback.kth_value = torch.tensor(-torch.inf if callback.mode == "max" else torch.inf)
