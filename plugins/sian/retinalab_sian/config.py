"""The options of L-Net, SiAN and the networks in their tables; the paper's values are the defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from retinalab.config import TaskConfig

__all__ = [
    "Attention",
    "Fusion",
    "LNetConfig",
    "LesionName",
    "LesionNetwork",
    "Shrink",
    "SianConfig",
    "SianOptions",
]

LesionNetwork = Literal[
    "l-net-32s",
    "l-net-16s",
    "l-net-8s",
    "l-net-4s",
    "l-net-2s",
    "fcn-32s",
    "fcn-16s",
    "fcn-8s",
    "patch-fcn-32s",
    "u-net",
    "deeplabv3plus",
    "danet",
    "classifier",
    "abn",
]
LesionName = Literal["MA", "HE", "EX", "SE", "VH", "PH", "NV", "FP"]
Attention = Literal["conv", "max"]
Fusion = Literal["features", "image"]
Shrink = Literal["mean", "max"]
_CLASSIFIERS = ("classifier", "abn")


class SianOptions(TaskConfig):
    """What both stages share: backbone, loss of lesions and recipe.

    Reference: section 4.1: SGD at 1e-3 with momentum 0.95 and weight decay 1e-4; the rate is divided by 10 after four
    validations without improvement. The stop after ten is the trainer section's ``early_stopping``, the validation
    after every 1,000 batches its ``val_check_interval``.
    """

    backbone: str = Field(
        "inception_v3",
        min_length=1,
        description="any timm network that reduces 32 times; inception_v3 is padded, so that every reduction halves",
    )
    weights: str = Field(
        "none", min_length=1, description="of the backbone: none, timm (its hub), or the path of a file"
    )
    segmentation_weight: float = Field(
        0.8, ge=0, le=1, description="λ of the dual loss: weight of its segmentation term"
    )
    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="the paper's is sgd")
    learning_rate: float = Field(1e-3, gt=0, description="at the beginning")
    momentum: float = Field(0.95, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(1e-4, ge=0)
    schedule: Literal["plateau", "cosine"] = Field(
        "plateau",
        description="plateau: divided by factor after patience validations without improvement; cosine: to 0 over the "
        "whole training, after a warm-up",
    )
    patience: int = Field(4, ge=1, description="validations without improvement before the rate falls")
    factor: float = Field(10.0, gt=1, description="by which the rate is divided")
    warmup: float = Field(
        0.05, ge=0, lt=1, description="of cosine: share of the steps over which the rate rises from 0"
    )


class LNetConfig(SianOptions):
    """Lesion segmentation, and lesion classification by the maps' maxima or by a classifier.

    Reference: sections 3.1, 4.2.1 and 4.2.2; Tables 3, 4 and 5.
    """

    name: Literal["l-net"] = Field("l-net", description="the task, as registered")
    network: LesionNetwork = Field(
        "l-net-16s",
        description="L-Net of any length, or what it is compared with; classifier and abn only name lesions",
    )
    loss: Literal["dual", "dice", "weighted-cross-entropy", "focal"] = Field(
        "dual",
        description="dual: Dice, then with its image-level twin; the paper's baselines are trained with dice. "
        "classifier and abn learn by image-level Dice whatever stands here",
    )
    dual_after: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of the steps after which dual takes over from dice; null: when the rate first falls",
    )
    focal_alpha: float = Field(0.8, ge=0, le=1)
    focal_gamma: float = Field(2.0, ge=0)
    positive_weight: float | None = Field(
        None, gt=0, description="of lesion pixels in weighted cross-entropy; null: balanced in each batch"
    )
    prior: float = Field(0.01, gt=0, lt=1, description="probability of a lesion that the maps begin with")

    @model_validator(mode="after")
    def _reachable(self) -> LNetConfig:
        if self.schedule == "cosine" and self.loss == "dual" and self.dual_after is None:
            raise ValueError(
                "schedule=cosine never falls by a step, at which loss=dual would take over; set dual_after, such as 0.5"
            )
        return self

    @property
    def segments(self) -> bool:
        """Whether the network maps lesions, rather than only naming them."""
        return self.network not in _CLASSIFIERS

    def smoke(self) -> LNetConfig:
        """The same method on a small backbone without stored weights."""
        return self.model_copy(update={"backbone": "resnet18", "weights": "none"})


class SianConfig(SianOptions):
    """Grading of photographs with the lesion maps of a side branch.

    Reference: sections 3.2 and 4.2.3; Tables 6 and 7, Figure 5.
    """

    name: Literal["sian"] = Field("sian", description="the task, as registered")
    variant: Literal["sian", "concat", "plain", "abn"] = Field(
        "sian",
        description="sian: side-attention; concat: the lesion vector beside the pooled features; plain: the main "
        "branch alone; abn: attention branch network",
    )
    lesions: LesionNetwork = Field(
        "l-net-16s", description="network of the side branch, as the earlier stage trained it"
    )
    attention: Attention = Field(
        "conv", description="weights: learned (equation 7), or the largest of the eight maps (equation 6)"
    )
    fusion: Fusion = Field("features", description="what is weighted: the last features, or the input")
    width: int = Field(256, ge=1, description="hidden channels of the learned weights")
    shrink: Shrink = Field("mean", description="how the maps come down to the size of the features")
    train_side: bool = Field(
        False, description="whether the side branch learns too, rather than staying fixed"
    )
    lesion_weight: float = Field(
        1.0,
        ge=0,
        description="of the dual loss beside the grades' where the side branch learns; 0: grades alone",
    )

    taught: tuple[LesionName, ...] | None = Field(
        None,
        description="lesions that the earlier stage learned, whose maps the report shows; null: those that this "
        "stage's training photographs annotate, or all where they annotate none",
    )

    @model_validator(mode="after")
    def _with_maps(self) -> SianConfig:
        if self.variant == "sian" and self.lesions in _CLASSIFIERS:
            raise ValueError(
                f"variant=sian needs lesion maps, which lesions={self.lesions} does not give; choose one such as "
                "l-net-16s, or variant=concat"
            )
        if self.train_side and self.lesions == "abn":
            raise ValueError(
                "train_side=true would leave the attention branch of lesions=abn without its own loss; set "
                "train_side=false, or lesions=classifier"
            )
        return self

    @property
    def maps_lesions(self) -> bool:
        """Whether the side branch gives lesion maps, rather than only names."""
        return self.lesions not in _CLASSIFIERS

    def smoke(self) -> SianConfig:
        """The same method on a small backbone without stored weights."""
        return self.model_copy(update={"backbone": "resnet18", "weights": "none"})
