"""Windows cut from photographs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from retinalab.config.base import Model

__all__ = ["WindowConfig"]


class WindowConfig(Model):
    """Windows cut from the working image instead of whole photographs (patches, crops and tiles alike)."""

    size: int = Field(68, ge=8, description="side in pixels of the working image")
    kind: Literal["grid", "lesions"] = Field(
        "grid",
        description="grid: tiles of every photograph; lesions: one per annotated lesion, labelled by it, and negatives",
    )
    stride: int | None = Field(
        None, ge=1, description="step of the grid in pixels; default: the size (no overlap)"
    )
    classes: tuple[str, ...] = Field(
        ("EX", "HE", "MA"),
        description="lesion classes 1, 2, ... of a lesion window, in the order of precedence; 0 is none",
    )
    negatives: int = Field(
        4,
        ge=0,
        description="windows without a lesion for each photograph of a set, whichever of them they are cut from",
    )
    negatives_from: Literal["auto", "healthy", "same"] = Field(
        "auto",
        description="photographs that windows without a lesion are cut from: healthy, those without retinopathy; "
        "same, all of them, where no lesion is marked; auto, healthy where a set has such photographs, else same",
    )
    discard: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="share of the training lesions whose annotation is lost; what is lost at one share is lost at "
        "every higher one",
    )
    published: dict[Literal["train", "val", "test"], dict[str, Annotated[int, Field(ge=0)]]] = Field(
        default_factory=dict,
        description="part -> class -> windows that the paper counts there; reported beside ours, part of no result",
    )

    @model_validator(mode="after")
    def _without_gaps(self) -> WindowConfig:
        if self.kind == "grid" and self.stride is not None and self.stride > self.size:
            raise ValueError(
                f"stride={self.stride} leaves pixels between windows of size={self.size} out; give at most the size"
            )
        return self

    @model_validator(mode="after")
    def _of_these_classes(self) -> WindowConfig:
        for part, counts in self.published.items():
            for name in counts:
                if name not in ("none", *self.classes):
                    raise ValueError(
                        f"published.{part} counts {name!r}; classes: {', '.join(('none', *self.classes))}"
                    )
        return self
