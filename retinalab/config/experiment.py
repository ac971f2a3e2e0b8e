"""Stages, what is evaluated, and the experiment that they make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from retinalab.config.base import Folder, Model, PlainName, SetName, TaskConfig, as_sets
from retinalab.config.data import DataConfig
from retinalab.config.trainer import TrainerConfig
from retinalab.protocol import Protocol

__all__ = ["Experiment", "Stage", "StartFrom", "TestConfig"]


class StartFrom(Model):
    """Weights that a stage begins with: those of an earlier stage, or of another run; plain text names the run."""

    stage: str = Field(
        "", description="an earlier stage; of another run: one of its own, default the one tested last"
    )
    run: Folder | None = Field(
        None,
        description="folder of another run, of one of its folds or seeds, or one of its checkpoints. Heads of another "
        "number of grades, and parts of other diseases, start anew",
    )
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="of that run's checkpoint, which must be this one; noted when a run begins",
    )
    which: Literal["best", "last"] = "best"
    map: dict[str, str] = Field(
        default_factory=dict, description="prefix there -> prefix here; empty: as named"
    )
    strict: bool = Field(True, description="whether every weight must find its place and shape")

    @model_validator(mode="after")
    def _from_somewhere(self) -> StartFrom:
        if not self.stage and self.run is None:
            raise ValueError("name an earlier stage (stage), or another run's folder (run)")
        if self.sha256 is not None and self.run is None:
            raise ValueError("sha256 is of another run's checkpoint; name it with run")
        return self


def _as_start(given: Any) -> Any:
    return {"run": given} if isinstance(given, str | Path) else given


class Stage(Model):
    """A named step of an experiment: a task trained on data, or photographs made by a trained network."""

    kind: Literal["train", "make_data"] = Field(
        "train", description="make_data: the task makes photographs, which later stages may add to their own"
    )
    task: SerializeAsAny[TaskConfig]
    data: DataConfig
    trainer: TrainerConfig = TrainerConfig()
    start_from: Annotated[StartFrom | None, BeforeValidator(_as_start)] = None
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
    combined: Literal["whole", "equal"] = Field(
        "whole",
        description="an epoch with added photographs: whole, each of them once; equal, as long as one of the stage's "
        "own photographs alone, with another choice of all in each epoch",
    )
    stream: int = Field(
        0,
        ge=0,
        lt=2**32,
        description="of random numbers for order, augmentation and dropout; 0: those of the seed alone. Rounds number "
        "their own, so that none repeats another's draws",
    )

    @property
    def before(self) -> str | None:
        """The stage of the same experiment whose weights it begins with."""
        return self.start_from.stage if self.start_from is not None and self.start_from.run is None else None


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
    saliency: bool = Field(
        True,
        description="Grad-CAM++ of the photographs that the report shows, where a task grades and gives no maps of "
        "its own; false: none",
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
    test: Annotated[TestConfig, BeforeValidator(as_sets)] = TestConfig()
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
    if stage.before is not None and stage.before not in trained:
        raise ValueError(
            f"stages.{name}.start_from names {stage.before!r}; earlier stages that are trained: {trained}"
        )
    if stage.kind == "make_data":
        if stage.before is None:
            raise ValueError(
                f"stages.{name} makes photographs and needs start_from, an earlier stage whose network looks at them"
            )
        if stage.adds or stage.data.windows is not None:
            raise ValueError(
                f"stages.{name} makes photographs from whole ones: neither adds nor data.windows"
            )
        _refuse_training(name, stage)
    for maker in stage.adds:
        if maker not in makers:
            raise ValueError(
                f"stages.{name}.adds names {maker!r}; earlier stages that make photographs: {makers}"
            )
        _check_same(name, stage, maker, earlier[maker])
    if stage.adds and stage.data.windows is not None:
        raise ValueError(f"stages.{name}.adds: made photographs are whole; leave out data.windows")
    if stage.alternate and not stage.adds:
        raise ValueError(f"stages.{name}.alternate needs adds, the photographs of the epochs between")


def _refuse_training(name: str, stage: Stage) -> None:
    """What only a training can follow is refused where nothing is trained; it would be left out in silence."""
    given = {f"task.{option}": value for option, value in stage.task.of_training().items()}
    for option in ("weight_averaging", "early_stopping", "auto_batch_size"):
        value = getattr(stage.trainer, option)
        if value not in (None, False):
            given[f"trainer.{option}"] = value.model_dump(mode="json") if isinstance(value, Model) else value
    if given:
        option, value = next(iter(given.items()))
        raise ValueError(
            f"stages.{name}.{option}={value!r} has no effect: the stage makes photographs and trains nothing; set it "
            f"in a stage that is trained, such as stages.{stage.before}, or leave it out"
        )


def _check_same(name: str, stage: Stage, maker: str, there: Stage) -> None:
    for field in ("set", "root", "options", "size", "mix", "limit"):
        ours, theirs = getattr(stage.data, field), getattr(there.data, field)
        if ours != theirs:
            raise ValueError(
                f"stages.{name}.data.{field} is {ours!r}, stages.{maker}.data.{field} {theirs!r}: photographs are "
                "added to those that they were made from, at their size; make the two the same"
            )
