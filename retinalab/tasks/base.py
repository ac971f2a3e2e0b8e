"""The base task: one step for training, validation and test; what it gives is what the tables are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from lightning import LightningModule
from torch import Tensor, nn

from retinalab.config import Stage, TaskConfig
from retinalab.data.batch import Batch
from retinalab.data.sampler import is_spare
from retinalab.errors import RetinalabError, unknown
from retinalab.metrics.online import GradingMetrics, JointAccuracy, LesionPixelF1, LesionPresenceF1
from retinalab.protocol import SCALES, Scale
from retinalab.tasks.cam import CamLayers
from retinalab.tasks.outputs import Outputs

__all__ = ["Task"]


class Task(LightningModule):
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
        self.val_grades = GradingMetrics(self.scales)
        self.val_lesions = LesionPixelF1()
        self.val_present = LesionPresenceF1()
        self.val_windows = JointAccuracy()
        self._seen: set[str] = set()

    def chosen_by(self) -> tuple[str, str]:
        """The metric that chooses the checkpoint where the trainer section names none, and ``max`` or ``min``."""
        return self.monitor, self.monitor_mode

    def build_network(self) -> nn.Module:
        """The network, from ``self.config`` and ``self.scales``."""
        raise NotImplementedError

    def outputs(self, batch: Batch) -> Outputs:
        """Run the network on a batch and compute its loss."""
        raise NotImplementedError

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

    def cam_layers(self, disease: str) -> CamLayers:
        """What a plain class activation map of a disease is made of, where the network has one.

        Raises:
            RetinalabError: it has none.
        """
        raise RetinalabError(
            f"Task {self.config.name!r} has no plain class activation map: its network does not end in global average "
            f"pooling and one linear layer for {disease}. Leave out --cam."
        )

    def feature_maps(self) -> dict[str, nn.Module]:
        """The layers that a saliency map may be of, from low to high: name -> module that gives ``(B, C, h, w)``.

        Raises:
            RetinalabError: the network has none that its grades are read from.
        """
        raise RetinalabError(
            f"Task {self.config.name!r} names no feature maps that its grades are read from, so that it has no "
            "saliency map by layers. Explain a task that grades photographs, such as baseline."
        )

    def logits(self, given: Any) -> Mapping[str, Tensor]:
        """The answer before any softmax, out of what :meth:`forward` gave: disease -> ``(B, K)``; (B, 1) of a severity.

        A task whose network gives more than this mapping overrides it.
        """
        answer: Mapping[str, Tensor] = given
        return answer

    def score(self, given: Any, disease: str, grades: Tensor | None = None) -> Tensor:
        """What a saliency map explains: the logit of one grade of each photograph, or its severity.

        Args:
            given: what :meth:`forward` gave of the photographs.
            disease: of the task's scales.
            grades: the grade that is explained; the predicted one where None. A severity has no choice of grades.

        Shape:
            - ``grades``: ``(B,)`` int64. Returns: ``(B,)``, differentiable.

        Raises:
            RetinalabError: unknown disease, or grades that the scale does not have.
        """
        if disease not in self.scales:
            raise unknown("disease", disease, self.scales)
        logits = self.logits(given)[disease]
        if logits.shape[1] == 1:
            return logits[:, 0]
        wanted = logits.argmax(1) if grades is None else grades.to(logits.device)
        if wanted.shape != logits.shape[:1] or bool(((wanted < 0) | (wanted >= logits.shape[1])).any()):
            raise RetinalabError(
                f"Grades {wanted.tolist()} of {disease!r} cannot be explained for {logits.shape[0]} photographs. Give "
                f"one grade of 0-{logits.shape[1] - 1} for each, or none for the predicted ones."
            )
        return logits.gather(1, wanted[:, None])[:, 0]

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
        self._accumulate(batch, given, slice(None) if counted else slice(0))
        return given.loss

    def test_step(  # type: ignore[override]  # the collector, not Lightning, reads what it returns
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> Outputs:
        """One step on evaluated photographs; what it returns goes to the tables."""
        return self.outputs(batch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Let what a step draws (dropout) follow from seed, step, process and stream: a resumed run draws the same."""
        key = [self.seed, self.current_epoch, batch_idx, self.global_rank]
        key += [self.stream] if self.stream else []
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def on_validation_epoch_end(self) -> None:
        """Log what accumulated over the validation photographs."""
        figures: dict[str, Tensor] = {}
        if "grades" in self._seen:
            figures.update(self.val_grades.compute())
        for kind, metric in (("lesions", self.val_lesions), ("present", self.val_present)):
            if kind in self._seen:
                figures.update({f"lesion/{name}": value for name, value in metric.compute().items()})
        if "windows" in self._seen:
            figures["windows/accuracy"] = self.val_windows.compute()
        for name, value in figures.items():
            on_bar = name.endswith(("/kappa", "joint/accuracy"))
            self.log(f"val/{name}", value, prog_bar=on_bar, sync_dist=True)
        for seen in (self.val_grades, self.val_lesions, self.val_present, self.val_windows):
            seen.reset()

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

    def _accumulate(self, batch: Batch, given: Outputs, counted: slice) -> None:
        """Count a batch, or none of a spare one: every process must take part in the sums over all of them."""
        if given.grades or given.severity:
            self._seen.add("grades")
            predicted = {d: given.predicted(d, scale.size)[counted] for d, scale in self.scales.items()}
            self.val_grades.update(predicted, {d: known[counted] for d, known in batch["grades"].items()})
        if given.lesions is not None and "mask" in batch:
            self._seen.add("lesions")
            self.val_lesions.update(given.lesions[counted], batch["mask"][counted])
        if given.present is not None:
            self._seen.add("present")
            self.val_present.update(given.present[counted], batch["present"][counted])
        if given.windows is not None:
            self._seen.add("windows")
            self.val_windows.update([given.windows.argmax(1)[counted]], [batch["label"][counted]])

    def _ordered(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images
