"""What a run will take, before it is begun: photographs, steps, time, memory and room on the disk.

Nothing is prepared, trained or kept. Photographs that are prepared already are read; noise of their size stands in for
those that are not. Epochs are counted to the last: early stopping ends a training before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retinalab.config import Experiment, Stage, TrainerConfig
from retinalab.data.cache import Cache
from retinalab.data.codec import Codec
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.data.parts import load_parts
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepared_before
from retinalab.data.sets import PhotographSet
from retinalab.data.space import Needed
from retinalab.data.stand_in import StandIn, stand_in
from retinalab.records import Records
from retinalab.runner.batch_size import fitted, with_batch
from retinalab.runner.children import children_of
from retinalab.runner.modules import settled, stage_module
from retinalab.runner.trainer import check_trainer
from retinalab.runner.trial import Trial, try_steps

__all__ = ["Estimate", "Room", "StageEstimate", "estimate", "training_batches"]


@dataclass(frozen=True)
class Room:
    """What prepared photographs of one data set take.

    Attributes:
        needed: how many photographs of which side.
        codec: how they are, or would be, written.
        folder: where prepared photographs lie.
        prepared: whether they are there already.
    """

    needed: Needed
    codec: Codec
    folder: Path
    prepared: bool


@dataclass(frozen=True)
class StageEstimate:
    """What one training of a stage takes.

    Attributes:
        stage: its name.
        batch: that goes through the network at once, and how many of them make a step.
        photographs: trained on, validated on and tested.
        batches: training batches of an epoch on each process, in an even and an odd epoch.
        steps: optimiser steps of the whole training.
        epochs: how many, the last perhaps not whole.
        validations: of the whole training.
        evaluation: validation batches of one validation, and batches of the closing test.
        trial: what a few steps took.
        unknown: why there is no estimate; "" where there is one.
        more: what is trained on beside the photographs that are counted; "" where nothing is.
    """

    stage: str
    batch: tuple[int, int] = (0, 0)
    photographs: tuple[int, int, int] = (0, 0, 0)
    batches: tuple[int, int] = (0, 0)
    steps: int = 0
    epochs: int = 0
    validations: float = 0
    evaluation: tuple[int, int] = (0, 0)
    trial: Trial | None = None
    unknown: str = ""
    more: str = ""

    @property
    def seconds(self) -> float:
        """Of training, validating and testing the stage once."""
        if self.trial is None:
            return 0.0
        validated = self.validations * self.evaluation[0] + self.evaluation[1]
        return self.steps * self.trial.step + validated * self.trial.validation


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        stages: in the order of the experiment.
        runs: trainings of every stage: folds times seeds.
        rooms: data set and side -> the room that its prepared photographs take.
    """

    stages: tuple[StageEstimate, ...]
    runs: int
    rooms: Mapping[str, Room]

    @property
    def seconds(self) -> float:
        """Of all trainings, one after the other."""
        return self.runs * sum(one.seconds for one in self.stages)

    @property
    def memory(self) -> int:
        """Bytes at the peak of the stage that takes the most."""
        return max((one.trial.memory for one in self.stages if one.trial is not None), default=0)


def estimate(experiment: Experiment) -> Estimate:
    """Count photographs and steps of every stage, and take a few real steps of each.

    Raises:
        RetinalabError: what a run would refuse, too little memory among it.
    """
    children = children_of(experiment)
    rooms: dict[str, Room] = {}
    modules: dict[str, FundusDataModule] = {}
    unknown: dict[str, str] = {}
    for name, stage in experiment.stages.items():
        if stage.kind == "make_data":
            unknown[name] = "makes photographs, as many as its plan asks for"
            continue
        module = stage_module(experiment, name, children[0].fold, children[0].seed)
        if _use(module, rooms):
            modules[name] = module
        else:
            unknown[name] = "its windows are counted in prepared photographs"
    settled(experiment, modules)
    found = [
        StageEstimate(name, unknown=unknown[name])
        if name in unknown
        else _of_stage(experiment, name, modules[name])
        for name in experiment.stages
    ]
    return Estimate(tuple(found), len(children), rooms)


def training_batches(module: FundusDataModule, config: TrainerConfig, epoch: int = 0) -> int:
    """Batches of an epoch that are trained on, as Lightning limits them."""
    return _limited(module.training_batches(epoch), config.limit_train_batches)


@dataclass
class _Unprepared:
    """Opens what is prepared, lets noise stand in for the rest, and notes what there is."""

    rooms: dict[str, Room]
    absent: bool = False

    def __call__(self, source: PhotographSet, records: Records, preparation: Preparation) -> Cache | StandIn:
        count, size = len(records), preparation.size
        found = prepared_before(source, records, preparation)
        codec = preparation.written(count) if found is None else found.codec
        self.rooms[f"{records.table['set'].iloc[0]} at {size} px"] = Room(
            preparation.needed(count), codec, preparation.parent, found is not None
        )
        self.absent |= found is None
        return stand_in(count, size) if found is None else found


def _use(module: FundusDataModule, rooms: dict[str, Room]) -> bool:
    """Give a module its photographs, prepared or not; False where its windows cannot be counted before they are."""
    preparing = _Unprepared(rooms)
    parts = load_parts(
        module.data, module.protocol, module.roots, module.test, module.fold, module.folds, preparing
    )
    windows = module.data.windows
    if preparing.absent and windows is not None and windows.kind == "lesions":
        return False
    module.use(parts)
    return True


def _of_stage(experiment: Experiment, name: str, module: FundusDataModule) -> StageEstimate:
    if experiment.stages[name].trainer.auto_batch_size:
        batch = fitted(experiment, name, module)
        experiment = with_batch(experiment, name, batch)
        module.data, module.accumulated = experiment.stages[name].data, batch.accumulated
    stage, parts = experiment.stages[name], module.parts
    trainer = check_trainer(stage.trainer, name)
    world = trainer.num_devices * trainer.num_nodes
    even, odd = (-(-training_batches(module, stage.trainer, epoch) // world) for epoch in (0, 1))
    epochs, steps = _length(stage.trainer, even, odd)
    size = stage.data.batch_size
    validation = _limited(_batches(module, [parts.val], size, world), stage.trainer.limit_val_batches)
    tested = _batches(module, module.evaluation_parts(), size, world)
    return StageEstimate(
        name,
        (size, stage.trainer.accumulate_grad_batches),
        (len(parts.train), len(parts.val), sum(map(len, parts.tests.values()))),
        (even, odd),
        steps,
        epochs,
        _validations(stage, epochs, even),
        (validation, tested),
        try_steps(experiment, name, module),
        more=f"what {', '.join(stage.adds)} makes is trained on too, and not counted" if stage.adds else "",
    )


def _length(config: TrainerConfig, even: int, odd: int) -> tuple[int, int]:
    """Epochs and optimiser steps of a training."""
    each = [-(-batches // config.accumulate_grad_batches) for batches in (even, odd)]
    if config.max_steps > 0:
        both, rest = divmod(config.max_steps, sum(each))
        return 2 * both + (0 if not rest else 1 if rest <= each[0] else 2), config.max_steps
    epochs = config.max_epochs
    return epochs, each[0] * (epochs - epochs // 2) + each[1] * (epochs // 2)


def _validations(stage: Stage, epochs: int, batches: int) -> float:
    config = stage.trainer
    every, interval = config.check_val_every_n_epoch, config.val_check_interval
    if isinstance(interval, int):
        return epochs * batches / interval
    if interval is not None:
        return epochs / interval
    return epochs / (every or 1)


def _batches(module: FundusDataModule, parts: Sequence[Part], size: int, world: int) -> int:
    return sum(-(-len(module.dataset(part)) // (size * world)) for part in parts)


def _limited(batches: int, limit: float | None) -> int:
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)
