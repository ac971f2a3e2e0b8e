"""Random changes of training photographs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from retinalab.config.base import Model

__all__ = ["AugmentConfig", "PrincipalColours"]

Range = tuple[float, float]
Colour = tuple[float, float, float]


class PrincipalColours(Model):
    """Random change of colour along the principal components of standardised pixels.

    RGB + scale · Σ a_k · length_k · component_k, with three a drawn from a normal distribution: what is drawn after
    dividing by the pixels' deviation is an offset times that deviation before it. A plain number is the deviation of a.
    The defaults were computed from EyePACS by Antony and Brüggemann.
    """

    deviation: float = Field(ge=0, le=3, description="of the normal distribution; 0: none")
    components: tuple[Colour, Colour, Colour] = Field(
        (
            (-0.56543481, -0.5989477, -0.56694071),
            (0.71983482, -0.02304967, -0.6935729),
            (0.40240142, -0.80036049, 0.44423429),
        ),
        description="unit vectors in standardised RGB",
    )
    lengths: Colour = Field(
        (1.65513492, 0.48450358, 0.1565086),
        description="deviations of standardised pixels along the components",
    )
    scale: Colour = Field(
        (0.27662534, 0.20280295, 0.16876190),
        description="deviations of R, G and B by which the pixels were standardised, of 1",
    )


def _as_colours(given: Any) -> Any:
    if isinstance(given, int | float | str) and not isinstance(given, bool):
        return {"deviation": given}
    return given


class AugmentConfig(Model):
    """Random change of each training photograph, drawn once and applied as one warp and one colour map."""

    crop_area: Range | None = Field(
        None,
        description="share of the working image's area that a random crop keeps",
    )
    crop_aspect: Range = Field((0.75, 4 / 3), description="aspect ratio of that crop, drawn log-uniformly")
    zoom: Range = Field((1.0, 1.0), description="isotropic magnification; below 1 zooms out onto black")
    stretch: Range = Field(
        (1.0, 1.0), description="further magnification, drawn log-uniformly for each axis of the input apart"
    )
    rotation: float = Field(0.0, ge=0, le=180, description="degrees, drawn from [-rotation, rotation]")
    shift: float = Field(0.0, ge=0, le=0.5, description="share of the side, per axis")
    flip_horizontal: float = Field(0.0, ge=0, le=1, description="probability")
    flip_vertical: float = Field(0.0, ge=0, le=1, description="probability")
    brightness: float = Field(0.0, ge=0, lt=1, description="factor drawn from 1 ± brightness")
    contrast: float = Field(0.0, ge=0, lt=1, description="factor drawn from 1 ± contrast, about mid grey")
    saturation: float = Field(0.0, ge=0, le=1, description="factor drawn from 1 ± saturation")
    hue: float = Field(0.0, ge=0, le=0.5, description="turns of the colour circle, drawn from ± hue")
    principal: Annotated[PrincipalColours | None, BeforeValidator(_as_colours)] = Field(
        None,
        description="offset along the principal components of colour: a number, or a mapping of deviation, components, "
        "lengths and scale; null: none",
    )

    @model_validator(mode="after")
    def _ordered(self) -> AugmentConfig:
        for name in ("crop_area", "crop_aspect", "zoom", "stretch"):
            value = getattr(self, name)
            if value is not None and not 0 < value[0] <= value[1]:
                raise ValueError(f"{name} must be (low, high) with 0 < low <= high, got {value}")
        return self
