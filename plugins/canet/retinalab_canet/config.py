"""The options of CANet and of the networks in its tables; the paper's values are the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, field_validator, model_validator

from retinalab.config import ClassWeights, TaskConfig

__all__ = ["CanetConfig", "Variant"]

Variant = Literal["canet", "joint", "joint-complex", "joint-complex-v2", "multi-task", "mtmr"]
File = Annotated[Path, PlainSerializer(str, return_type=str)]

VARIANT_DROPOUT: dict[str, float] = {"canet": 0.3, "multi-task": 0.5, "mtmr": 0.5}


class CanetConfig(TaskConfig):
    """CANet: a shared backbone, disease-specific and disease-dependent attention, cross-entropy on both.

    Reference: section III and Tables IV-VI; for what the paper leaves open, the authors' public code.

    Differs from the paper: the defaults follow the authors' code where the two disagree. The paper's text is
    ``dependent_attention=paper spatial_norm=false mlp_bias=false weight_decay=0``.
    """

    name: Literal["canet"] = Field("canet", description="the task, as registered")
    variant: Variant = Field(
        "canet",
        description="canet; joint: shared backbone, one linear layer per disease (individual training: one "
        "disease); joint-complex, joint-complex-v2: convolutions in between; multi-task: the paper's [9]; "
        "mtmr: its [11]",
    )
    backbone: str = Field("resnet50", min_length=1, description="any timm network that yields a feature map")
    weights: str = Field(
        "none",
        min_length=1,
        description="of the backbone: none, timm (its hub), or the path of a .pth or .safetensors file",
    )
    checkpoint: File | None = Field(
        None,
        description="a checkpoint of the authors' CANet under their parameter names: the network's weights",
    )
    dependence: str | tuple[str, ...] = Field(
        "both",
        description="canet: whose features help whom. both or all: every ordered pair; none: d-S only; "
        "dr2dme, dme2dr, or a list of such pairs",
    )
    specific_weight: float = Field(
        0.25, ge=0, description="canet: lambda of equation 7, weight of the disease-specific losses"
    )
    dropout: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="probability; unless set: 0.3 canet, 0.5 multi-task and mtmr, 0 the joint networks",
    )
    dropout_place: Literal["features", "pooled"] = Field(
        "features",
        description="canet, joint*: single values of the backbone's feature map, or of the pooled vectors",
    )
    features: int = Field(1024, ge=1, description="canet: length of each disease's feature vector G")
    reduction: int = Field(
        16, ge=1, description="canet: r, by which the attention's hidden layers are narrower (Table I)"
    )
    dependent_attention: Literal["code", "paper"] = Field(
        "code",
        description="canet: code: sigmoid(2 MLP(G)), what the authors' code computes; paper: equation 5",
    )
    spatial_norm: bool = Field(
        True, description="canet: batch normalisation after the spatial attention's convolution (code)"
    )
    spatial_bias: bool = Field(False, description="canet: bias of that convolution")
    mlp_bias: bool = Field(
        True, description="canet: biases in the attention's hidden layers (code; equations 1 and 5: none)"
    )
    learning_rate: float = Field(3e-4, gt=0, description="Adam, at the first iteration")
    weight_decay: float = Field(1e-4, ge=0, description="Adam's L2 penalty (code; the paper names none)")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="cosine: per iteration, to 0 at the last one"
    )
    class_weights: ClassWeights = Field(
        None,
        description="of the grades in both cross-entropies: balanced, effective, {effective: beta}, one number for "
        "each grade, or a mapping of disease to any of these; default: all equal",
    )

    @model_validator(mode="before")
    @classmethod
    def _dropout_of_variant(cls, values: Any) -> Any:
        if isinstance(values, dict) and "dropout" not in values:
            return {**values, "dropout": VARIANT_DROPOUT.get(values.get("variant", "canet"), 0.0)}
        return values

    @field_validator("dependence")
    @classmethod
    def _pairs(cls, dependence: str | tuple[str, ...]) -> str | tuple[str, ...]:
        words = (dependence,) if isinstance(dependence, str) else dependence
        for word in words:
            source, _, target = word.replace("->", "2").partition("2")
            if not (source and target) and dependence not in ("all", "both", "none"):
                raise ValueError(
                    f"{word!r} is no pair of diseases; choices: all, both, none, a pair such as dr2dme, "
                    "or a list of pairs"
                )
        return dependence

    def smoke(self) -> CanetConfig:
        """The same method on a small backbone without stored weights."""
        return self.model_copy(update={"backbone": "resnet18", "weights": "none", "checkpoint": None})
