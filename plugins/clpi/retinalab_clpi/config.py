"""The options of CLPI and of the networks in its tables; the paper's values are the defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from retinalab.config import TaskConfig

__all__ = ["ClpiConfig", "ClpiOptions", "LesionPatchConfig"]


class ClpiOptions(TaskConfig):
    """What the two stages share: widths, backbone and recipe.

    Reference: section IV-B: 100 epochs, batches of 32, warm-up from 0 to 5e-2 over 5 epochs, then a cosine.

    Differs from the paper: it names no optimiser; here it is SGD with momentum 0.9 and weight decay 1e-4.
    """

    widths: Literal["paper", "code", "small"] = Field(
        "paper",
        description="of the generator: Table II's, those of the released code, or a quarter of Table II's",
    )
    backbone: str = Field("densenet121", min_length=1, description="any timm network of the grading module")
    weights: str = Field(
        "none", min_length=1, description="of the backbone: none, timm (its hub), or the path of a file"
    )
    stem: Literal["spread", "random"] = Field(
        "spread",
        description="what stored weights give the 12-channel first convolution: each colour's in all four blocks, "
        "divided by 5, which is what the blocks sum to; or nothing",
    )
    optimiser: Literal["sgd", "adam"] = Field("sgd", description="the paper names none")
    learning_rate: float = Field(5e-2, gt=0, description="after the warm-up")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps over which the rate rises from 0")


class ClpiConfig(ClpiOptions):
    """Grading of photographs.

    Reference: section III; Tables V, VI and VIII, Figure 6.
    """

    name: Literal["clpi"] = Field("clpi", description="the task, as registered")
    variant: Literal["clpi", "attention", "plain"] = Field(
        "clpi",
        description="clpi: the whole framework; attention: an ordinary classifier on the weighted photographs of a "
        "fixed generator; plain: an ordinary classifier on photographs",
    )
    gradient: Literal["shortcut", "all", "none"] = Field(
        "shortcut",
        description="how grades reach the generator: through the shortcut alone (the paper), through the attention "
        "too, or not at all (without end-to-end learning)",
    )
    generator_rate: float = Field(
        1.0,
        gt=0,
        le=1,
        description="learning rate of the generator while grades are learned, as a share of that of the rest",
    )
    statistics: Literal["update", "keep"] = Field(
        "update",
        description="of the generator's normalisation while grades are learned: update them with the photographs', or "
        "keep those of the patches, which no generator that has learned from none can",
    )
    shortcut: bool = Field(True, description="1 - P0 beside the last features; without it use gradient=all")

    @model_validator(mode="after")
    def _teaches_the_generator(self) -> ClpiConfig:
        if self.variant == "clpi" and not self.shortcut and self.gradient == "shortcut":
            raise ValueError(
                "shortcut=false leaves the grades no way to the generator under gradient=shortcut. Set gradient=all "
                "(the paper's 'without shortcut') or gradient=none."
            )
        return self

    def smoke(self) -> ClpiConfig:
        """The same method on a small backbone without stored weights."""
        return self.model_copy(update={"backbone": "resnet18", "weights": "none", "widths": "small"})


class LesionPatchConfig(ClpiOptions):
    """Classification of patches of 68×68 pixels: no lesion, exudate, haemorrhage, microaneurysm.

    Reference: section IV-A; Figure 6 and Table VI train the compared networks with the same patches first.
    """

    name: Literal["clpi-lesions"] = Field("clpi-lesions", description="the task, as registered")
    network: Literal["generator", "attention", "plain"] = Field(
        "generator",
        description="what learns: the lesion attention generator; an ordinary classifier on patches weighted by a "
        "generator; an ordinary classifier on patches",
    )
    patch_side: int = Field(
        68,
        ge=68,
        le=512,
        description="pixels to which an ordinary classifier's patches are enlarged; the generator's stay at 68. "
        "inception_v4, which reduces 68 pixels to nothing, needs 75 or more",
    )

    def smoke(self) -> LesionPatchConfig:
        """The same on a small backbone without stored weights."""
        return self.model_copy(update={"backbone": "resnet18", "weights": "none", "widths": "small"})
