"""The base task: one step for training, validation and test; what it gives is what the tables are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from retinalab.config import ALL, Stage, TaskConfig
from retinalab.data.batch import Batch
from retinalab.data.sampler import is_spare
from retinalab.errors import RetinalabError
from retinalab.protocol import SCALES, Scale
from retinalab.tasks.class_weights import weigh
from retinalab.tasks.explainable import Explainable
from retinalab.tasks.layers import backbones_of, layer_rates, named_modules, with_rates
from retinalab.tasks.outputs import Outputs
from retinalab.tasks.validation import ValidationFigures

__all__ = ["Task"]


class Task(Explainable):
    """Base of every task: a plugin gives ``config_class``, :meth:`build_network`, :meth:`outputs` and the optimiser.

    Args:
        config: the task's options, as a model or as the mapping that a checkpoint holds.
        scales: disease -> name of its grade scale, in the order of the outputs.
        seed: of the run; what is drawn in a training step follows from (seed, step, stream).
        channels_last: memory order of photographs and weights.
        windows: number of classes of windows, where they are what is classified.
        stream: of random numbers; 0: those of the seed alone.
    """

    config_class: ClassVar[type[TaskConfig]] = TaskConfig
    side: ClassVar[int | None] = None
    """Side of the input in pixels where the network takes no other."""
    max_steps: int = -1
    """Optimiser steps after which the training ends; -1 where it ends with an epoch."""
    monitor: ClassVar[str] = "val/loss"
    monitor_mode: ClassVar[str] = "min"
    weighs_grades: ClassVar[bool] = False
    """Whether :meth:`outputs` weighs grades by :meth:`class_weight`."""

    def __init__(
        self,
        config: TaskConfig | Mapping[str, Any],
        scales: Mapping[str, str],
        seed: int = 0,
        channels_last: bool = True,
        windows: int = 0,
        stream: int = 0,
    ) -> None:
        super().__init__()
        self.config: Any = (
            config if isinstance(config, TaskConfig) else self.config_class.model_validate(config)
        )
        self.scales: dict[str, Scale] = {disease: SCALES[name] for disease, name in scales.items()}
        self.seed = seed
        self.channels_last = channels_last
        self.windows = windows
        self.stream = stream
        self.save_hyperparameters(
            {
                "config": self.config.model_dump(mode="json"),
                "scales": dict(scales),
                "seed": seed,
                "channels_last": channels_last,
                "windows": windows,
                "stream": stream,
            }
        )
        self.network = self.build_network()
        if channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)
        self.network.train()  # Lightning keeps the modes that it finds, and a network may hold parts of its own fixed
        self.frozen = named_modules(self.network, self.config.freeze, self.backbones(), self.config.name)
        self._weighings = self._weighed()
        self.val_figures = ValidationFigures(self.scales)
        self._holding = False

    def chosen_by(self) -> tuple[str, str]:
        """The metric that chooses the checkpoint where the trainer section names none, and ``max`` or ``min``."""
        return self.monitor, self.monitor_mode

    def build_network(self) -> nn.Module:
        """The network, from ``self.config`` and ``self.scales``."""
        raise NotImplementedError

    def outputs(self, batch: Batch) -> Outputs:
        """Run the network on a batch and compute its loss."""
        raise NotImplementedError

    def backbones(self) -> tuple[str, ...]:
        """Names of the network's modules that are its backbone: what ``freeze`` and ``layer_decay`` speak of."""
        return backbones_of(self.network)

    def class_weight(self, disease: str) -> Tensor | None:
        """``(C,)`` weight of each grade in the loss; None where all weigh alike."""
        return self.get_buffer(_weights_of(disease)) if disease in self._weighings else None

    def rated(self, parameters: Iterable[nn.Parameter] | Iterable[Mapping[str, Any]], rate: float) -> Any:
        """What an optimiser is given: parameters or groups of them, with the rates that ``layer_decay`` asks for.

        Args:
            parameters: or groups, mappings with ``params``.
            rate: of what follows the backbone, and of groups without an ``lr`` of their own.
        """
        given: list[Any] = list(parameters)
        if self.config.layer_decay == 1:
            return given
        groups = given if given and isinstance(given[0], Mapping) else [{"params": given}]
        names = layer_rates(self.network, self.backbones(), self.config.layer_decay)
        if not names:
            raise RetinalabError(
                f"Task {self.config.name!r} has no backbone whose blocks task.layer_decay could be of. Leave it out."
            )
        factors = {id(one): names.get(name, 1.0) for name, one in self.network.named_parameters()}
        return with_rates(groups, rate, factors)

    def setup(self, stage: str) -> None:
        """Before training: freeze what is frozen, and weigh grades by the training photographs."""
        if stage != "fit":
            return
        self._hold(True)
        for disease, how in self._weighings.items():
            if not isinstance(how, tuple):
                trainer: Any = self.trainer
                table = trainer.datamodule.parts.train.records.table
                size = self.scales[disease].size
                counts = [int((table[disease] == grade).sum()) for grade in range(size)]
                self.get_buffer(_weights_of(disease)).copy_(weigh(how, counts))

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """What is frozen for some epochs only takes part in every pass, as several processes expect, and stays."""
        if self._holding and self.config.freeze_epochs is not None:
            for module in map(self.network.get_submodule, self.frozen):
                for parameter in module.parameters():
                    parameter.grad = None

    def check_stage(self, stage: Stage, given: Collection[str]) -> None:
        """Refuse, before any stage is trained, what the network cannot take; the default takes everything.

        The weights are on torch's meta device then, where :meth:`try_blank` shows at no cost whether shapes fit.

        Args:
            stage: the stage that the task is built for.
            given: names of the weights that an earlier stage's will fill.

        Raises:
            RetinalabError: what does not fit, and the option that mends it.
        """

    def try_blank(self, side: int) -> None:
        """Run the network once on a blank photograph, on the device where its weights are.

        A network that cannot be run on the meta device, since it looks at values, is let pass.

        Args:
            side: of the input, pixels.

        Raises:
            RetinalabError: the network cannot take that side.
        """
        try:
            with torch.no_grad():
                self(torch.zeros(1, 3, side, side, device=self.device))
        except (AssertionError, RuntimeError, ValueError) as error:
            if self.device.type == "meta" and (
                isinstance(error, NotImplementedError) or "meta" in str(error)
            ):
                return
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            raise RetinalabError(
                f"Task {self.config.name!r} cannot take photographs of {side}x{side} pixels ({reason}). Set data.size "
                "(or data.crop, data.windows.size) to a side that it can."
            ) from error

    def forward(self, images: Tensor) -> Any:
        """The network's own output for ``(B, 3, H, W)`` float32 normalised photographs."""
        return self.network(self._ordered(images))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One training step."""
        return self._step(batch, "train").loss

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One validation step; metrics accumulate over the epoch."""
        counted = not is_spare(self.trainer.val_dataloaders, batch_idx)
        given = self._step(batch, "val", counted)
        self.val_figures.update(batch, given, slice(None) if counted else slice(0))
        return given.loss

    def test_step(  # type: ignore[override]  # the collector, not Lightning, reads what it returns
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> Outputs:
        """One step on evaluated photographs; what it returns goes to the tables."""
        return self.outputs(batch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Let what a step draws (dropout) follow from seed, step, process and stream: a resumed run draws the same.

        What is frozen for some epochs thaws here, where a resumed run passes too.
        """
        epochs = self.config.freeze_epochs
        if self._holding and epochs is not None and self.current_epoch >= epochs:
            self._hold(False)
        key = [self.seed, self.current_epoch, batch_idx, self.global_rank]
        key += [self.stream] if self.stream else []
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def on_validation_epoch_end(self) -> None:
        """Log what accumulated over the validation photographs."""
        for name, value in self.val_figures.compute().items():
            on_bar = name.endswith(("/kappa", "joint/accuracy"))
            self.log(f"val/{name}", value, prog_bar=on_bar, sync_dist=True)
        self.val_figures.reset()

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training (Lightning's own estimate is wrong after a resume)."""
        trainer: Any = self.trainer
        if self.max_steps > 0:
            return self.max_steps
        epochs, even = int(trainer.max_epochs or 1), self._epoch_steps(0)
        odd = self._epoch_steps(1) if trainer.reload_dataloaders_every_n_epochs else even
        return max(1, even * (epochs - epochs // 2) + odd * (epochs // 2))

    def _epoch_steps(self, epoch: int) -> int:
        trainer: Any = self.trainer
        batches = int(trainer.datamodule.training_batches(epoch))
        limit = trainer.limit_train_batches
        if isinstance(limit, int):
            batches = min(batches, limit)
        elif limit is not None:
            batches = int(batches * limit)
        return -(-batches // int(trainer.accumulate_grad_batches))

    def _step(self, batch: Batch, part: str, counted: bool = True) -> Outputs:
        given = self.outputs(batch)
        # of whole numbers Lightning takes the mean over processes as a whole number: 2 of 2 and 3
        size: Any = float(batch["image"].shape[0] if counted else 0)
        on_bar = part == "train"
        self.log(
            f"{part}/loss",
            given.loss,
            on_step=False,
            on_epoch=True,
            prog_bar=on_bar,
            batch_size=size,
            sync_dist=True,
        )
        for name, value in given.parts.items():
            self.log(f"{part}/{name}", value, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return given

    def _hold(self, holding: bool) -> None:
        """Freeze, or thaw; frozen modules are in evaluation, so that their running statistics stay too."""
        self._holding = holding and bool(self.frozen)
        for module in map(self.network.get_submodule, self.frozen):
            module.train(not holding)
            if self.config.freeze_epochs is None:
                module.requires_grad_(not holding)

    def _weighed(self) -> dict[str, Any]:
        """Disease -> how its grades are weighed, with a buffer for the weights of each.

        Raises:
            RetinalabError: a task that weighs no grades, a disease that it does not grade, or too few or many weights.
        """
        given: Mapping[str, Any] = self.config.class_weights or {}
        if given and not self.weighs_grades:
            raise RetinalabError(
                f"Task {self.config.name!r} weighs no grades in its loss. Leave out task.class_weights."
            )
        asked = dict.fromkeys(self.scales, given[ALL]) if ALL in given else dict(given)
        for disease, how in asked.items():
            size = self.scales[disease].size if disease in self.scales else None
            if size is None or (isinstance(how, tuple) and len(how) != size):
                expected = ", ".join(f"{name} with {scale.size}" for name, scale in self.scales.items())
                many = f"{len(how)} weights" if isinstance(how, tuple) else "weights"
                raise RetinalabError(
                    f"class_weights gives {many} for {disease!r}; the protocol grades {expected}. Give one weight per "
                    "grade."
                )
            values = torch.tensor(how) if isinstance(how, tuple) else torch.ones(size)
            self.register_buffer(_weights_of(disease), values, persistent=False)
        return asked

    def _ordered(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images


def _weights_of(disease: str) -> str:
    return f"class_weights_{disease}"
