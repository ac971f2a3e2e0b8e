"""Subtraction of the local average colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, WrapSerializer, model_validator

from retinalab.config.base import Model

__all__ = ["Background", "BackgroundConfig"]


class BackgroundConfig(Model):
    """Subtraction of the local average colour; a plain number is the deviation of the Gaussian."""

    kind: Literal["gaussian", "median"] = Field(
        "gaussian",
        description="the average: a Gaussian over the field of view, or the median over a square; median alone means "
        "scale 0.05, circle 0.9, outside black",
    )
    scale: float = Field(
        1 / 60,
        gt=0,
        le=1,
        description="as a share of the side: deviation of the Gaussian, or half the square's side, at most 0.25",
    )
    gain: float = Field(4.0, gt=0, description="factor on the difference from the average")
    circle: float | None = Field(
        None,
        gt=0,
        le=1.5,
        description="radius of the circle that is kept, as a share of half the side; null: the field of view",
    )
    outside: Literal["mid", "black"] = Field("mid", description="what stands outside: mid grey or black")

    @model_validator(mode="before")
    @classmethod
    def _by_kind(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("kind") == "median":
            return {"scale": 0.05, "circle": 0.9, "outside": "black", **given}
        return given

    @model_validator(mode="after")
    def _within_reach(self) -> BackgroundConfig:
        if self.kind == "median" and self.scale > 0.25:
            raise ValueError(f"scale is at most 0.25 where kind is median, got {self.scale}")
        return self


def _as_background(given: Any) -> Any:
    if given is None or isinstance(given, Mapping | BackgroundConfig):
        return given
    if isinstance(given, int | float | str) and not isinstance(given, bool):
        try:
            return {"scale": float(given)}
        except ValueError:
            pass
    raise ValueError(
        "give a number (deviation of the Gaussian as a share of the side), a mapping such as {kind: median} (kind, "
        "scale, gain, circle, outside), or null"
    )


def _as_number(background: BackgroundConfig | None, dump: SerializerFunctionWrapHandler) -> Any:
    if background is not None and background == BackgroundConfig(scale=background.scale):
        return background.scale
    return dump(background)


Background = Annotated[BackgroundConfig | None, BeforeValidator(_as_background), WrapSerializer(_as_number)]
