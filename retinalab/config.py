"""What an experiment file may say: frozen models, unknown keys forbidden, limits and units beside each field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapSerializer,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from retinalab.protocol import Protocol

__all__ = [
    "AugmentConfig",
    "BackgroundConfig",
    "BalanceConfig",
    "DataConfig",
    "EarlyStopping",
    "Experiment",
    "MixConfig",
    "Model",
    "NormaliseConfig",
    "PrincipalColours",
    "Stage",
    "StartFrom",
    "TaskConfig",
    "TestConfig",
    "TrainerConfig",
    "WeightAveraging",
    "WindowConfig",
]

Range = tuple[float, float]
Colour = tuple[float, float, float]
Folder = Annotated[Path, PlainSerializer(str, return_type=str)]


def _folder_name(name: str) -> str:
    if not name.strip() or name.startswith(".") or any(sign in name for sign in "/\\\0\n"):
        raise ValueError("names a folder of the results: no slash, no dot at its beginning, not empty")
    return name


PlainName = Annotated[str, AfterValidator(_folder_name)]
SetName = Annotated[str, AfterValidator(lambda name: name.replace("-", "_"))]


class Model(BaseModel):
    """Base of every configuration: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskConfig(Model):
    """Base of a task's own options; a plugin derives from it and keeps the paper's values as defaults."""

    name: str = Field(description="the task, as registered in the entry-point group retinalab.tasks")

    def smoke(self) -> TaskConfig:
        """The same options reduced for a run of two steps; the default changes nothing."""
        return self


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


def _as_mapping(value: Any) -> Any:
    return {"sets": value} if isinstance(value, list | tuple) else value


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


class NormaliseConfig(Model):
    """Mean and deviation of the colours, by which photographs are standardised."""

    mean: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        min_length=3, max_length=3, description="of R, G and B in [0, 1]"
    )
    deviation: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        min_length=3, max_length=3, description="of R, G and B in [0, 1]"
    )


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
        0, ge=0, description="epochs that count as past at the beginning, where a stage goes on from another"
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
    mix: Annotated[MixConfig, BeforeValidator(_as_mapping)] = Field(
        MixConfig(), description="data sets that train beside this one"
    )
    cache: Folder | None = Field(
        None, description="folder of prepared photographs; default: the user's cache folder"
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
    workers: int = Field(0, ge=0, description="loader processes; results do not depend on it")
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


class EarlyStopping(Model):
    """Stop when the monitored metric no longer improves."""

    patience: int = Field(10, ge=1, description="validations without improvement")
    min_delta: float = Field(0.0, ge=0)


class WeightAveraging(Model):
    """Stochastic weight averaging."""

    learning_rate: float = Field(gt=0)
    epoch_start: float = Field(0.8, gt=0, description="share of the epochs, or an epoch number if above 1")


class TrainerConfig(Model):
    """Lightning's Trainer; anything it takes beyond these goes through ``extra``."""

    max_epochs: int = Field(10, ge=1)
    max_steps: int = Field(-1, ge=-1)
    accelerator: Literal["auto", "cpu", "gpu", "tpu", "mps"] = "auto"
    devices: int | str | tuple[int, ...] = Field("auto", description="how many, or which")
    num_nodes: int = Field(1, ge=1)
    strategy: str = Field("auto", description="ddp, fsdp, ...: a name that Lightning knows")
    precision: str = Field(
        "auto",
        description="auto: bf16-mixed where the GPU or processor computes it fast, else 32-true",
    )
    sync_batchnorm: bool = False
    accumulate_grad_batches: int = Field(1, ge=1)
    gradient_clip_val: float | None = Field(None, gt=0)
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    check_val_every_n_epoch: int | None = Field(
        1, ge=1, description="null: val_check_interval counts batches across epochs"
    )
    val_check_interval: int | float | None = Field(None, gt=0, description="share of an epoch, or batches")
    limit_train_batches: int | float | None = Field(None, gt=0)
    limit_val_batches: int | float | None = Field(None, ge=0)
    log_every_n_steps: int = Field(10, ge=1)
    monitor: str | None = Field(
        None, description="metric that chooses the checkpoint; default: the task's own"
    )
    mode: Literal["max", "min"] = "max"
    checkpoint_every_n_steps: int | None = Field(
        None, ge=1, description="besides one at the end of each epoch"
    )
    early_stopping: EarlyStopping | None = None
    weight_averaging: WeightAveraging | None = None
    channels_last: bool = Field(True, description="memory order of the photographs and weights")
    deterministic: bool | Literal["warn"] = "warn"
    extra: dict[str, Any] = Field(default_factory=dict, description="further arguments of lightning.Trainer")


class StartFrom(Model):
    """Weights that a stage begins with: those of an earlier stage."""

    stage: str
    which: Literal["best", "last"] = "best"
    map: dict[str, str] = Field(
        default_factory=dict, description="prefix there -> prefix here; empty: as named"
    )
    strict: bool = Field(True, description="whether every weight must find its place and shape")


class Stage(Model):
    """A named step of an experiment: a task trained on data, or photographs made by a trained network."""

    kind: Literal["train", "make_data"] = Field(
        "train", description="make_data: the task makes photographs, which later stages may add to their own"
    )
    task: SerializeAsAny[TaskConfig]
    data: DataConfig
    trainer: TrainerConfig = TrainerConfig()
    start_from: StartFrom | None = None
    diseases: tuple[str, ...] | None = Field(
        None,
        description="the protocol's diseases that this stage learns; default: all",
    )
    adds: tuple[str, ...] = Field(
        (), description="stages that made photographs; they are trained on besides the stage's own"
    )
    alternate: bool = Field(
        False, description="train on its own photographs alone in every other epoch, beginning with the first"
    )


class TestConfig(Model):
    """What is evaluated; a plain list means several data sets."""

    __test__ = False

    sets: tuple[SetName, ...] = Field(
        (), description="further data sets to test on; their folders are in roots"
    )
    options: dict[SetName, dict[str, Any]] = Field(
        default_factory=dict,
        description="data set -> its own options; with an option 'set' the entry is that set under a name of its own, "
        "such as the same world seen by another camera",
    )
    stages: tuple[str, ...] = Field(
        (), description="stages whose predictions are joined into one table; default: the last"
    )
    readers: Folder | None = Field(
        None,
        description="CSV of readers' operating points for the report's ROC: disease, reader, sensitivity, specificity, "
        "and where wanted set and target (referable or any)",
    )


class Experiment(Model):
    """A paper's method on data under a protocol: everything that a result depends on."""

    name: PlainName
    paper: PlainName
    protocol: Protocol = Protocol()
    data: dict[str, Any] = Field(default_factory=dict, description="data section shared by the stages")
    roots: dict[SetName, Folder] = Field(default_factory=dict, description="data set -> its folder")
    stages: dict[PlainName, Stage] = Field(min_length=1)
    folds: int = Field(1, ge=1, description="1: the protocol's held-out or official split")
    fold: int | None = Field(None, ge=0, description="one of the folds alone")
    seeds: int = Field(1, ge=1, description="how many training seeds, counted up from seed")
    seed: int = Field(0, ge=0, lt=2**31)
    test: Annotated[TestConfig, BeforeValidator(_as_mapping)] = TestConfig()
    logger: Literal["none", "csv", "tensorboard", "wandb"] = "none"
    output: Folder = Path("runs")

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if self.folds == 1 and self.protocol.split == "folds":
            raise ValueError(
                "protocol.split is 'folds' but folds is 1; set folds=5 or protocol.split=held-out"
            )
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist; folds is {self.folds}, counted from 0")
        if self.protocol.select_on == "test" and self.protocol.split != "as-published":
            raise ValueError(
                "protocol.select_on=test chooses on the test part; it needs protocol.split=as-published"
            )
        earlier: dict[str, Stage] = {}
        for name, stage in self.stages.items():
            _check_references(name, stage, earlier)
            for disease in stage.diseases or ():
                if disease not in self.protocol.diseases:
                    raise ValueError(
                        f"stages.{name}.diseases names {disease!r}; protocol: {list(self.protocol.diseases)}"
                    )
            earlier[name] = stage
        trained = [name for name, stage in self.stages.items() if stage.kind == "train"]
        if not trained:
            raise ValueError("stages: none is of kind 'train'; there is nothing to evaluate")
        for name in self.test.stages:
            if name not in trained:
                raise ValueError(f"test.stages names {name!r}; stages that are trained: {trained}")
        return self

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The stages whose predictions make the result."""
        return self.test.stages or (
            [name for name, stage in self.stages.items() if stage.kind == "train"][-1],
        )


def _check_references(name: str, stage: Stage, earlier: Mapping[str, Stage]) -> None:
    """What a stage names must stand before it, be of the right kind, and show the same photographs."""
    trained = [one for one, other in earlier.items() if other.kind == "train"]
    makers = [one for one, other in earlier.items() if other.kind == "make_data"]
    if stage.start_from and stage.start_from.stage not in trained:
        raise ValueError(
            f"stages.{name}.start_from names {stage.start_from.stage!r}; earlier stages that are trained: {trained}"
        )
    if stage.kind == "make_data":
        if stage.start_from is None:
            raise ValueError(
                f"stages.{name} makes photographs and needs start_from, whose network looks at them"
            )
        if stage.adds or stage.data.windows is not None:
            raise ValueError(
                f"stages.{name} makes photographs from whole ones: neither adds nor data.windows"
            )
        _check_same(
            name, stage, stage.start_from.stage, earlier[stage.start_from.stage], ("set", "root", "options")
        )
    for maker in stage.adds:
        if maker not in makers:
            raise ValueError(
                f"stages.{name}.adds names {maker!r}; earlier stages that make photographs: {makers}"
            )
        _check_same(name, stage, maker, earlier[maker], ("set", "root", "options", "size"))
    if stage.adds and stage.data.windows is not None:
        raise ValueError(f"stages.{name}.adds: made photographs are whole; leave out data.windows")
    if stage.alternate and not stage.adds:
        raise ValueError(f"stages.{name}.alternate needs adds, the photographs of the epochs between")


def _check_same(name: str, stage: Stage, other: str, there: Stage, fields: tuple[str, ...]) -> None:
    for field in (*fields, "mix", "limit"):
        ours, theirs = getattr(stage.data, field), getattr(there.data, field)
        if ours != theirs:
            raise ValueError(
                f"stages.{name}.data.{field} is {ours!r}, stages.{other}.data.{field} {theirs!r}: photographs are "
                "made from those that the network learned from, and added at their size; make the two the same"
            )
