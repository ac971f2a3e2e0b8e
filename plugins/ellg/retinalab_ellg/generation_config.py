"""The options of lesion generation; the paper's values are the defaults where it gives one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from retinalab.config import TaskConfig

__all__ = ["GenerationConfig"]

Range = tuple[float, float]

_IN_SMOKE = {"stage4": "stage3", "stage5": "stage3"}
"""The o_O network of a smoke run has three blocks."""


class GenerationConfig(TaskConfig):
    """How lesions are cut out of some training photographs and blended into others.

    The ablations are one option each: ``shift=false``, ``colour_transfer=false``, ``mixup=false``, ``gate=0`` and
    one name in ``layers``.

    Reference: sections 2.2, 2.3 and 3.1.

    Differs from the paper: it names neither the two layers, the range of the ratio, how many photographs are made, nor
    of which grade; each of these is an option.
    """

    name: Literal["ellg-lesions"] = Field("ellg-lesions", description="the maker, as registered")
    disease: str = Field("dr", description="whose grades are predicted, blended and balanced")
    saliency: Literal["cam", "grad-cam", "grad-cam++", "gmsm"] = Field(
        "gmsm", description="the map that lesions are cut out by"
    )
    layers: tuple[str, ...] | None = Field(
        None,
        description="feature maps of the network, low to high; null: those that the method takes by default",
    )
    gate: float = Field(
        1.0,
        ge=0,
        description="t of equation 2, below which a map counts as flat; 0: no gate but the ReLU's. Of gmsm alone",
    )
    threshold: Range = Field((0.5, 0.8), description="tau of equation 4 is drawn uniformly from this range")
    patches: int = Field(
        64,
        ge=1,
        le=4096,
        description="most patches of one photograph; the largest are kept, the rest counted",
    )
    shift: bool = Field(True, description="move each patch at random before it is pasted")
    tries: int = Field(
        100, ge=1, le=10_000, description="shifts tried for a patch until it overlaps no other"
    )
    unplaced: Literal["stay", "drop"] = Field(
        "stay",
        description="a patch that found no free place: stay, at its last place within the field, under the others (the "
        "paper's loop ends there); drop, it is left out",
    )
    colour_transfer: bool = Field(True, description="give the source the target's colours first")
    mixup: bool = Field(
        True, description="blend with a random ratio; without it lesions are pasted as they are"
    )
    ratio: Range = Field(
        (0.0, 1.0),
        description="r of equation 5 is drawn uniformly from this range; (0, 1) is mixup with alpha 1",
    )
    labels: Literal["grade", "severity"] = Field(
        "grade",
        description="what equation 6 averages: the two photographs' grades, or the severities that the network "
        "predicted for them",
    )
    blend_target: Literal["normal", "any"] = Field(
        "normal",
        description="what lesions are blended into: a photograph of grade 0 (section 2.1), or any (section 2.3)",
    )
    balance: Literal["label", "none"] = Field(
        "label",
        description="label: the rarest grades are filled first, up to the commonest, the ratio drawn from where "
        "equation 6 gives the wanted grade; none: sources are drawn alike, labels fall as they may",
    )
    number: int | None = Field(
        None, ge=1, description="photographs to make; null: the share below, where the balance needs as many"
    )
    share: float = Field(
        0.25, gt=0, le=10, description="photographs to make, as a share of the training photographs"
    )

    @model_validator(mode="after")
    def _ordered(self) -> GenerationConfig:
        for name in ("threshold", "ratio"):
            low, high = getattr(self, name)
            if not 0 <= low <= high <= 1:
                raise ValueError(f"{name} must be (low, high) with 0 <= low <= high <= 1, got {(low, high)}")
        if self.threshold[1] == 1:
            raise ValueError("threshold must end below 1: no value of a saliency map in [0, 1] lies above 1")
        if self.ratio[1] == 0:
            raise ValueError("ratio must reach above 0: at 0 no lesion is seen")
        if self.layers is not None and not self.layers:
            raise ValueError("layers must name a feature map or two; null takes the method's own")
        if self.layers is not None and len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers must name each feature map once, got {', '.join(self.layers)}")
        return self

    @model_validator(mode="after")
    def _effective(self) -> GenerationConfig:
        """An option that would change nothing is refused; its default may stand."""
        idle = (
            ("gate", self.saliency != "gmsm", f"saliency={self.saliency} has none; set saliency=gmsm"),
            ("layers", self.saliency == "cam", "a class activation map is of the features that are pooled"),
            ("ratio", not self.mixup, "mixup=false pastes lesions as they are; set mixup=true"),
            ("tries", not self.shift, "shift=false leaves patches in their places; set shift=true"),
            ("share", self.number is not None, "number says how many are made"),
            ("unplaced", not self.shift, "shift=false leaves patches in their places; set shift=true"),
        )
        for name, without, reason in idle:
            given, usual = getattr(self, name), type(self).model_fields[name].default
            if without and given != usual:
                raise ValueError(f"{name}={given} has no effect: {reason}, or leave {name} out")
        return self

    def smoke(self) -> GenerationConfig:
        """The same options; blocks that the smaller o_O network of such a run lacks become its last."""
        if self.layers is None:
            return self
        return self.model_copy(
            update={"layers": tuple(dict.fromkeys(_IN_SMOKE.get(name, name) for name in self.layers))}
        )

    @property
    def ratios(self) -> Range:
        """The range of r in force: (1, 1) without mixup."""
        return self.ratio if self.mixup else (1.0, 1.0)
