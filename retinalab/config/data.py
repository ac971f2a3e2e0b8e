"""Which photographs a stage learns from, and how they reach the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from retinalab.config.augment import AugmentConfig
from retinalab.config.background import Background
from retinalab.config.base import Folder, Model, SetName, as_sets
from retinalab.config.windows import WindowConfig

__all__ = ["BalanceConfig", "DataConfig", "MixConfig", "NormaliseConfig"]


class MixConfig(Model):
    """Data sets that train beside the primary one; a plain list names them."""

    sets: tuple[SetName, ...] = Field(
        (),
        description="further data sets to train on, on the protocol's scales; their folders are in roots, their test "
        "parts are tested apart",
    )
    options: dict[SetName, dict[str, Any]] = Field(
        default_factory=dict, description="data set -> its own options"
    )

    @model_validator(mode="after")
    def _once(self) -> MixConfig:
        for name in self.sets:
            if self.sets.count(name) > 1:
                raise ValueError(f"names {name!r} twice; every set is mixed once")
        for name in self.options:
            if name not in self.sets:
                raise ValueError(f"options are given for {name!r}, which is not mixed; sets: {[*self.sets]}")
        return self


_Share = Annotated[float, Field(ge=0, le=1)]
_Spread = Annotated[float, Field(gt=0, le=1)]


class NormaliseConfig(Model):
    """Mean and deviation of the colours, by which photographs are standardised."""

    mean: tuple[_Share, _Share, _Share] = Field(description="of R, G and B in [0, 1]")
    deviation: tuple[_Spread, _Spread, _Spread] = Field(description="of R, G and B in [0, 1]")


_NORMALISED = ("imagenet", "unit", "none")


def _as_normalisation(given: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """A name or a mapping; the faults of a mapping are told of the mapping alone, not of the names beside it."""
    if isinstance(given, Mapping | NormaliseConfig):
        return NormaliseConfig.model_validate(given)
    if given not in _NORMALISED:
        raise PydanticKnownError("literal_error", {"expected": "'imagenet', 'unit', 'none' or a mapping"})
    return validate(given)


Normalise = Annotated[Literal["imagenet", "unit", "none"] | NormaliseConfig, WrapValidator(_as_normalisation)]


class BalanceConfig(Model):
    """Weights of the decaying sampler: w = decay^t · N / n + (1 - decay^t) · final, in epoch t."""

    decay: float = Field(0.975, ge=0, le=1, description="share of the balanced weights that stays, per epoch")
    final: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (1.0, 2.0, 2.0, 2.0, 2.0), min_length=1, description="weights of grades 0, 1, ... in the end"
    )
    past: int = Field(
        0,
        ge=0,
        description="epochs that count as past at the beginning, where a stage goes on from another; the same at the "
        "beginning of every round, which counts its own epochs only",
    )

    @model_validator(mode="after")
    def _some(self) -> BalanceConfig:
        if not any(self.final):
            raise ValueError("final weights must not all be 0")
        return self


class DataConfig(Model):
    """Which photographs, and how they reach the network."""

    set: SetName = Field("synthetic", description="data set; retinalab data sets lists them")
    root: Folder | None = Field(None, description="folder of the data set in its official layout")
    options: dict[str, Any] = Field(default_factory=dict, description="the data set's own options")
    mix: Annotated[MixConfig, BeforeValidator(as_sets)] = Field(
        MixConfig(), description="data sets that train beside this one"
    )
    cache: Folder | None = Field(
        None, description="folder of prepared photographs; default: the user's cache folder"
    )
    codec: Literal["auto", "raw", "delta", "jpeg"] = Field(
        "auto",
        description="how prepared photographs are written: raw: the fastest; delta: about a third of the bytes, every "
        "pixel kept; auto: as they are found, else raw where half of the memory and the disk hold them, else delta; "
        "jpeg: about a tenth, lossy (quality 95, 4:4:4), said so in the run",
    )
    size: int = Field(
        256,
        ge=16,
        le=4096,
        description="side in pixels of the cached working image, cropped to the field of view",
    )
    crop: int | None = Field(
        None, ge=16, le=4096, description="side in pixels of the network's input; default: the working size"
    )
    view: Literal["whole", "centre"] = Field(
        "whole", description="evaluation input: the whole working image resized, or its central crop"
    )
    normalise: Normalise = Field(
        "imagenet",
        description="imagenet mean and deviation; unit: [0, 1]; none: [0, 255]; or a mapping of mean and deviation",
    )
    background: Background = Field(
        None,
        description="subtract the local average colour: deviation of the Gaussian as a share of the side (Graham: "
        "1/60), or a mapping of kind, scale, gain, circle and outside; null: not at all",
    )
    masks: bool = Field(False, description="whether batches carry lesion masks")
    mask_coverage: float = Field(
        0.25,
        gt=0,
        le=1,
        description="a working pixel belongs to a lesion when the mask covers at least this share of it",
    )
    windows: WindowConfig | None = Field(
        None, description="train and test on windows instead of whole photographs"
    )
    augment: AugmentConfig = AugmentConfig()
    sampler: Literal["shuffle", "balanced", "decaying", "sets"] = Field(
        "shuffle",
        description="balanced: each grade of the first disease equally often, with replacement; decaying: so at first, "
        "then ever less, as balance says; sets: each data set of a mixture equally often, with replacement",
    )
    balance: BalanceConfig = Field(BalanceConfig(), description="of the decaying sampler")
    batch_size: int = Field(32, ge=1)
    drop_last: bool = Field(False, description="leave out a last, smaller training batch")
    workers: int | None = Field(
        None,
        ge=0,
        description="threads that make batches ahead; default: one for each processor beside a GPU, at most 8, and "
        "none where the processor trains; results do not depend on it",
    )
    unreadable: Literal["error", "exclude"] = Field(
        "error",
        description="a photograph that cannot be decoded or shows no field of view; exclude: left out, counted, listed",
    )
    overlap: Literal["refuse", "exclude"] = Field(
        "refuse",
        description="photographs on two sides, such as trained on and tested; exclude: the side that learns is left "
        "out with its patients, counted, listed; under as-published refuse labels the result as leaky instead",
    )
    limit: int | None = Field(
        None, ge=2, description="use at most so many photographs of each part of each data set"
    )
    strict: bool = Field(
        False, description="a difference from the published counts is an error, not a warning"
    )

    @field_validator("mix")
    @classmethod
    def _not_with_itself(cls, mix: MixConfig, info: ValidationInfo) -> MixConfig:
        if (primary := info.data.get("set")) in mix.sets:
            raise ValueError(f"{primary!r} is the primary set (data.set) already; name others")
        return mix

    @field_validator("sampler")
    @classmethod
    def _of_a_mixture(cls, sampler: str, info: ValidationInfo) -> str:
        if sampler == "sets" and "mix" in info.data and not info.data["mix"].sets:
            raise ValueError("it balances the sets of a mixture; name them in data.mix, or use shuffle")
        return sampler

    @property
    def input_size(self) -> int:
        """Side of the network's input in pixels."""
        return self.windows.size if self.windows else self.crop or self.size
