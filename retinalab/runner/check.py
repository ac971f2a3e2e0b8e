"""What would fail only after an earlier stage was trained, found before anything is read, trained or written."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from retinalab.config import Experiment, Stage
from retinalab.data.sets import open_set
from retinalab.errors import RetinalabError
from retinalab.registry import task_class
from retinalab.runner.processes import check_devices
from retinalab.runner.stage import build_task
from retinalab.runner.weights import compared, fitting
from retinalab.tasks.maker import Maker

__all__ = ["ancestors", "check_lists", "check_tasks", "idle"]


def check_lists(experiment: Experiment) -> None:
    """Read what every stage's data set lists, without its files: an absent folder is known before weights are fetched.

    Raises:
        RetinalabError: a folder or a list that is absent or cannot be read.
    """
    known: list[tuple[object, ...]] = []
    for stage in experiment.stages.values():
        data = stage.data
        root = data.root or experiment.roots.get(data.set)
        wanted = (data.set, root, data.options)
        if wanted not in known:
            known.append(wanted)
            source = open_set(data.set, root, data.options, strict=data.strict)
            if not source.drawn:
                source.records(check=False)


def check_tasks(experiment: Experiment) -> None:
    """Build every stage's task once, as its training will, and keep only the shapes of its weights.

    Weights of a hub come into its cache here, so that they are fetched once; a network that the hub cannot give, or a
    file that does not fit, is known before the first stage is trained. Makers are shown the network that they will
    look through. Every stage's devices are looked for.

    Raises:
        RetinalabError: devices that there are not, options that give no network, weights of an earlier stage that do
            not fit, photographs and a beginning that the task refuses
            (:meth:`~retinalab.tasks.base.Task.check_stage`), or what a maker refuses
            (:meth:`~retinalab.tasks.maker.Maker.check`), with the stage's name.
    """
    check_devices({name: stage.trainer for name, stage in experiment.stages.items()})
    weights: dict[str, Mapping[str, Tensor]] = {}
    makers: list[object] = []
    for name, stage in experiment.stages.items():
        try:
            _check_kind(stage)
            if stage.kind == "make_data":
                _check_maker(experiment, name, makers)
                continue
            task = build_task(experiment, name, experiment.seed).to("meta").eval()
            weights[name] = task.state_dict()
            start = stage.start_from
            given: Collection[str] = ()
            if start is not None and start.run is not None:
                there = compared(task, start)
                given = fitting(weights[name], there.stored, start, there.anew)
            elif start is not None:
                given = fitting(weights[name], weights[start.stage], start)
            task.check_stage(stage, frozenset(given))
        except RetinalabError as error:
            raise RetinalabError(*(f"Stage {name!r}: {line}" for line in str(error).splitlines())) from error


def _check_kind(stage: Stage) -> None:
    """A task that is trained does not make photographs, and the other way round."""
    makes = issubclass(task_class(stage.task.name), Maker)
    if makes and stage.kind == "train":
        raise RetinalabError(
            f"Task {stage.task.name!r} is not trained: it makes photographs. Set kind=make_data."
        )
    if not makes and stage.kind == "make_data":
        raise RetinalabError(
            f"Task {stage.task.name!r} is trained, it makes no photographs. Leave out kind=make_data, or name a task "
            "that does."
        )


def _check_maker(experiment: Experiment, name: str, known: list[object]) -> None:
    """Show a maker its network and the stages that add what it makes; rounds that are alike are judged once."""
    stage, every = experiment.stages[name], tuple(experiment.protocol.diseases)
    assert stage.start_from is not None  # the configuration demands it
    looked = experiment.stages[stage.start_from.stage]
    for field in ("normalise", "background"):
        ours, theirs = getattr(stage.data, field), getattr(looked.data, field)
        if ours != theirs:
            raise RetinalabError(
                f"data.{field} is {ours!r}, and {theirs!r} in stage {stage.start_from.stage!r}, whose network looks at "
                "the photographs. Make the two the same."
            )
    adding = {
        other: learner.model_copy(update={"diseases": learner.diseases or every})
        for other, learner in experiment.stages.items()
        if name in learner.adds
    }
    learners = [(one.diseases, one.data) for one in adding.values()]
    judged = (stage.task, stage.data, looked.task, looked.diseases, learners)
    if judged in known:
        return
    known.append(judged)
    scales = {disease: experiment.protocol.diseases[disease] for disease in stage.diseases or every}
    maker: Maker = task_class(stage.task.name)(stage.task, scales, (experiment.seed,))
    maker.check(build_task(experiment, stage.start_from.stage, experiment.seed).eval(), stage, adding)


def ancestors(experiment: Experiment, name: str) -> list[str]:
    """The stages whose weights or photographs a stage descends from, the nearest first."""
    found: list[str] = []
    left = _nearest(experiment, name)
    while left:
        one = left.pop(0)
        if one not in found:
            found.append(one)
            left.extend(_nearest(experiment, one))
    return found


def _nearest(experiment: Experiment, name: str) -> list[str]:
    stage = experiment.stages[name]
    return [*([stage.before] if stage.before is not None else []), *stage.adds]


def idle(experiment: Experiment) -> list[str]:
    """Stages that are not evaluated, and whose weights and photographs no evaluated stage comes from."""
    used = {one for name in experiment.evaluated for one in (name, *ancestors(experiment, name))}
    return [name for name in experiment.stages if name not in used]
