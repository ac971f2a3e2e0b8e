"""How a stage is trained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from retinalab.config.base import Model

__all__ = ["EarlyStopping", "TrainerConfig", "WeightAveraging"]

_SHARDING = ("fsdp", "deepspeed_stage_3")
"""What the names of strategies begin with that leave each device a part of the weights."""


class EarlyStopping(Model):
    """Stop when the monitored metric no longer improves."""

    patience: int = Field(10, ge=1, description="validations without improvement")
    min_delta: float = Field(0.0, ge=0)


class WeightAveraging(Model):
    """Averages of weights, which are what is validated, chosen and tested from the first of them on."""

    kind: Literal["swa", "ema"] = Field(
        "swa",
        description="swa: mean over the ends of epochs, with batch normalisation measured anew; ema: exponential, over "
        "steps",
    )
    learning_rate: float | None = Field(
        None, gt=0, description="constant, from epoch_start on; null: as the task's schedule says"
    )
    epoch_start: float | None = Field(
        None,
        ge=0,
        description="share of the epochs, or an epoch number if above 1; null: 0.8 for swa, 0 for ema",
    )
    decay: float = Field(0.999, gt=0, lt=1, description="of ema, after a ramp of (1 + n) / (10 + n)")

    @property
    def start(self) -> float:
        """``epoch_start``, or what stands for it."""
        if self.epoch_start is None:
            return 0.8 if self.kind == "swa" else 0.0
        return self.epoch_start


class TrainerConfig(Model):
    """Lightning's Trainer; anything it takes beyond these goes through ``extra``."""

    max_epochs: int = Field(10, ge=1, description="epochs; without effect where max_steps is given")
    max_steps: int = Field(
        -1,
        ge=-1,
        description="optimiser steps, through as many epochs as they take; where they end within an epoch, it is "
        "validated there. -1: as max_epochs says",
    )
    accelerator: Literal["auto", "cpu", "gpu", "tpu", "mps"] = "auto"
    devices: int | str | tuple[int, ...] = Field("auto", description="how many, or which")
    num_nodes: int = Field(1, ge=1)
    strategy: str = Field("auto", description="ddp, fsdp, ...: a name that Lightning knows")
    precision: str = Field(
        "auto",
        description="auto: bf16-mixed where the GPU or processor computes it fast, else 32-true",
    )
    sync_batchnorm: bool = False
    accumulate_grad_batches: int = Field(1, ge=1)
    auto_batch_size: bool = Field(
        False,
        description="take as much of data.batch_size at once as fits the device, found by a few steps before the stage "
        "begins, and accumulate the rest: as many photographs a step, fewer of them in batch normalisation",
    )
    gradient_clip_val: float | None = Field(None, gt=0)
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    check_val_every_n_epoch: int | None = Field(
        1, ge=1, description="null: val_check_interval counts batches across epochs"
    )
    val_check_interval: int | float | None = Field(None, gt=0, description="share of an epoch, or batches")
    limit_train_batches: int | float | None = Field(None, gt=0)
    limit_val_batches: int | float | None = Field(None, ge=0)
    log_every_n_steps: int = Field(10, ge=1)
    check_loss_every_n_steps: int = Field(
        50,
        ge=1,
        description="batches between two looks whether every loss was finite; training stops where not",
    )
    monitor: str | None = Field(
        None, description="metric that chooses the checkpoint; default: the task's own"
    )
    mode: Literal["max", "min"] = "max"
    checkpoint_every_n_steps: int | None = Field(
        None, ge=1, description="besides one at the end of each epoch"
    )
    early_stopping: EarlyStopping | None = None
    weight_averaging: WeightAveraging | None = None
    channels_last: bool = Field(True, description="memory order of the photographs and weights")
    compile: bool | Literal["auto"] = Field(
        "auto",
        description="translate the network to faster kernels, which takes minutes; auto: not, true: for long trainings "
        "on a GPU",
    )
    deterministic: bool | Literal["warn"] = "warn"
    extra: dict[str, Any] = Field(default_factory=dict, description="further arguments of lightning.Trainer")

    @model_validator(mode="after")
    def _fits_together(self) -> TrainerConfig:
        if self.max_steps == 0:
            raise ValueError(
                "max_steps is 0, which trains nothing; give at least 1, or -1 to train by max_epochs"
            )
        late = self.weight_averaging is not None and (
            self.weight_averaging.kind == "swa" or self.weight_averaging.start > 0
        )
        if late and self.early_stopping is not None:
            raise ValueError(
                "early_stopping may end the training before weight_averaging has begun; leave one of them out"
            )
        if late and self.max_steps > 0:
            raise ValueError(
                "weight_averaging counts epochs, which max_steps leaves open; train by max_epochs, or without it"
            )
        if self.weight_averaging is not None and self.strategy.startswith(_SHARDING):
            raise ValueError(
                f"weight_averaging needs the whole weights on every device, and strategy={self.strategy} leaves a part "
                "on each; set strategy=ddp, or leave weight_averaging out"
            )
        named = [name for name in self.extra if name in TrainerConfig.model_fields]
        if named:
            raise ValueError(f"extra gives {named[0]!r}, an option of the trainer itself; set it there")
        return self
