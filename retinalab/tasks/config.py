"""Options of the plain baseline."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retinalab.config import TaskConfig

__all__ = ["BaselineConfig"]


class BaselineConfig(TaskConfig):
    """Any timm classifier with one linear head per disease."""

    name: Literal["baseline"] = "baseline"
    backbone: str = Field("resnet18", description="any timm model")
    weights: str = Field("none", description="none; timm: from its hub; or the path of a weights file")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the pooled features")
    output: Literal["classes", "severity"] = Field(
        "classes",
        description="classes: softmax cross-entropy; severity: one number, mean squared error, rounded to a grade",
    )
    presence_weight: float = Field(
        0.0,
        ge=0,
        description="weight of the loss of eight further outputs: which lesions are present; 0: none",
    )
    learning_rate: float = Field(3e-4, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
