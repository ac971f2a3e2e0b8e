"""Windows cut from photographs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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
