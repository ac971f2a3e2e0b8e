"""The recipe of both stages: a rate that falls when validation no longer improves, kept whole across a resume."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from retinalab.records import LESIONS
from retinalab.tasks.base import Task
from retinalab.tasks.optim import cosine, fused
from retinalab_sian.config import SianOptions

__all__ = ["RecipeTask"]

_STATE = "plateau"


class RecipeTask(Task):
    """A task whose learning rate is divided after a number of validations without improvement.

    Validations count, not epochs: there may be several in an epoch, or one in several epochs. Lightning saves no such
    scheduler, hence the state stands in the checkpoint under a name of its own.

    Reference: section 4.1.
    """

    _plateau: ReduceLROnPlateau | None = None
    _restored: dict[str, Any] | None = None

    @property
    def fallen(self) -> bool:
        """Whether the learning rate has been divided at least once."""
        config: SianOptions = self.config
        plateau = self._plateau
        if plateau is None:
            return False
        rate = max(group["lr"] for group in plateau.optimizer.param_groups)
        return bool(rate < config.learning_rate * (1 - 1e-9))

    def taught(self) -> tuple[str, ...]:
        """Lesions that the stage's training photographs annotate; all eight where they annotate none."""
        module: Any = None if self._trainer is None else getattr(self.trainer, "datamodule", None)
        if module is None:
            return LESIONS
        table = module.parts.train.records.table
        return tuple(x for x in LESIONS if table[f"annotated_{x}"].any()) or LESIONS

    def configure_optimizers(self) -> Any:
        """SGD or Adam with decoupled weight decay; the rate by plateau or by cosine."""
        config: SianOptions = self.config
        learning = self.rated((one for one in self.parameters() if one.requires_grad), config.learning_rate)
        optimiser: torch.optim.Optimizer
        if config.optimiser == "sgd":
            optimiser = torch.optim.SGD(
                learning,
                config.learning_rate,
                config.momentum,
                weight_decay=config.weight_decay,
                fused=fused(self),
            )
        else:
            optimiser = torch.optim.AdamW(
                learning, config.learning_rate, weight_decay=config.weight_decay, fused=fused(self)
            )
        if config.schedule == "cosine":
            total = self.total_steps
            warmup = int(config.warmup * total)
            schedule = LambdaLR(optimiser, lambda step: cosine(step, total, warmup))
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
        mode: Literal["min", "max"] = "max" if self.chosen_by()[1] == "max" else "min"
        self._plateau = ReduceLROnPlateau(
            optimiser, mode, factor=1 / config.factor, patience=config.patience - 1, threshold=0.0
        )
        if self._restored is not None:
            self._plateau.load_state_dict(self._restored)
        return optimiser

    def on_validation_end(self) -> None:
        """Count the validation; an undefined figure is no improvement."""
        trainer: Any = self.trainer
        if self._plateau is None or trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        figure = trainer.callback_metrics.get(self.chosen_by()[0])
        value = math.nan if figure is None else float(figure)
        worst = -math.inf if self.chosen_by()[1] == "max" else math.inf
        self._plateau.step(worst if math.isnan(value) else value)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep how many validations have passed without improvement."""
        if self._plateau is not None:
            checkpoint[_STATE] = self._plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on counting where the checkpoint stood; the rate itself is the optimiser's."""
        self._restored = checkpoint.get(_STATE)
        if self._plateau is not None and self._restored is not None:
            self._plateau.load_state_dict(self._restored)
