"""How a stage is trained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from retinalab.config.base import Model

__all__ = ["EarlyStopping", "TrainerConfig", "WeightAveraging"]


class EarlyStopping(Model):
    """Stop when the monitored metric no longer improves."""

    patience: int = Field(10, ge=1, description="validations without improvement")
    min_delta: float = Field(0.0, ge=0)


class WeightAveraging(Model):
    """Stochastic weight averaging."""

    learning_rate: float = Field(gt=0)
    epoch_start: float = Field(0.8, gt=0, description="share of the epochs, or an epoch number if above 1")


class TrainerConfig(Model):
    """Lightning's Trainer; anything it takes beyond these goes through ``extra``."""

    max_epochs: int = Field(10, ge=1)
    max_steps: int = Field(-1, ge=-1)
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
    gradient_clip_val: float | None = Field(None, gt=0)
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    check_val_every_n_epoch: int | None = Field(
        1, ge=1, description="null: val_check_interval counts batches across epochs"
    )
    val_check_interval: int | float | None = Field(None, gt=0, description="share of an epoch, or batches")
    limit_train_batches: int | float | None = Field(None, gt=0)
    limit_val_batches: int | float | None = Field(None, ge=0)
    log_every_n_steps: int = Field(10, ge=1)
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
    deterministic: bool | Literal["warn"] = "warn"
    extra: dict[str, Any] = Field(default_factory=dict, description="further arguments of lightning.Trainer")
