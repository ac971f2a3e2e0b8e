"""The options of the network that ELLG trains; the o_O solution's values are the defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from retinalab.config import TaskConfig

__all__ = ["EllgConfig", "Net"]

Net = Literal["A", "B"]

_SMOKE_SIDE = 64
_SMALLEST_REAL_SIDE = 128


class EllgConfig(TaskConfig):
    """Detection of diabetic retinopathy as regression of its severity, by the o_O network or any of timm's.

    Reference: sections 2.1 and 3.1; for what the paper leaves open, the public code of the o_O solution.

    Differs from the paper: it names no optimiser; stochastic gradient descent with Nesterov's momentum, its rate and
    the penalty on the weights are the o_O solution's. The rounds' rates are ``learning_rate=3e-5 milestones=[10, 20]``.
    """

    name: Literal["ellg"] = Field("ellg", description="the task, as registered")
    net: Net = Field("B", description="of the o_O solution: A, 5x5 and 3x3 kernels; B, 4x4 kernels")
    side: int = Field(
        448, ge=32, le=2048, description="of the o_O network's input, pixels, as data.crop or data.size says"
    )
    blocks: int | None = Field(
        None, ge=1, le=5, description="of the o_O network; null: 3 below 224 pixels, 4 below 448, then 5"
    )
    biases: Literal["untied", "tied"] = Field(
        "untied", description="of its convolutions: one for each place of a map, or one for each map"
    )
    slope: float = Field(0.01, ge=0, lt=1, description="of its leaky rectifiers below 0")
    width: int = Field(
        32, ge=1, description="channels of its first block; each further block has twice as many"
    )
    hidden: int = Field(1024, ge=2, multiple_of=2, description="features of its hidden layers, before maxout")
    dropout: float = Field(
        0.5, ge=0, lt=1, description="before each hidden layer, or on a backbone's pooled features"
    )
    backbone: str | None = Field(
        None,
        min_length=1,
        description="any timm network in the place of the o_O network; null: the o_O network",
    )
    weights: str = Field(
        "none",
        min_length=1,
        description="of the backbone: none, timm (its hub), or the path of a .pth or .safetensors file",
    )
    output: Literal["severity", "classes"] = Field(
        "severity",
        description="severity: one number, mean squared error against the grade, rounded at half grades; classes: "
        "softmax cross-entropy",
    )
    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="sgd: with Nesterov's momentum")
    learning_rate: float = Field(3e-3, gt=0, description="at the beginning")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    l2: float = Field(
        5e-4,
        ge=0,
        description="of SGD: weight of the sum of squared weights, not biases, in the loss; of AdamW: twice this is "
        "the decoupled decay",
    )
    schedule: Literal["steps", "cosine"] = Field(
        "steps", description="steps: divided by factor at milestones; cosine: to 0 over the whole training"
    )
    milestones: tuple[int, ...] = Field(
        (150, 220), description="of steps: epochs after which the learning rate is divided"
    )
    factor: float = Field(10.0, gt=1, description="of steps: by which it is divided")

    @field_validator("milestones")
    @classmethod
    def _rising(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        if any(one < 1 for one in milestones) or list(milestones) != sorted(set(milestones)):
            raise ValueError(f"milestones are epochs from 1, each once and rising, got {list(milestones)}")
        return milestones

    def smoke(self) -> EllgConfig:
        """The same network on the smaller input of such a run, or a small backbone without stored weights."""
        small = {"backbone": self.backbone and "resnet18", "weights": "none", "hidden": 64, "width": 8}
        if self.side >= _SMALLEST_REAL_SIDE:
            return self.model_copy(update={**small, "side": _SMOKE_SIDE, "blocks": 3})
        return self.model_copy(update=small)
