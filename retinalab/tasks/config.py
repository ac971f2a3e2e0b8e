"""Options of the plain baselines."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from retinalab.config import TaskConfig

__all__ = ["BaselineConfig", "SegmentationConfig"]


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


class SegmentationConfig(TaskConfig):
    """Any network of segmentation-models-pytorch, with one map per lesion."""

    name: Literal["baseline-segmentation"] = "baseline-segmentation"
    architecture: str = Field("unet", description="any of segmentation-models-pytorch: unet, fpn, ...")
    encoder: str = Field("resnet18", description="any of its encoders, or tu-<any timm model>")
    weights: str = Field(
        "none",
        description="of the encoder; none; hub: the library's own, from its hub; or the path of a weights file",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of the architecture, such as decoder_channels"
    )
    prior: float = Field(0.01, gt=0, lt=1, description="probability of a lesion that the maps begin with")
    dice_weight: float = Field(1.0, ge=0, description="weight of batch Dice beside the cross-entropy")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps over which the rate rises from 0")
