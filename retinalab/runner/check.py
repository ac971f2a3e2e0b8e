"""What would fail only after an earlier stage was trained, found before anything is read, trained or written."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from retinalab.config import Experiment
from retinalab.data.sets import open_set
from retinalab.errors import RetinalabError
from retinalab.runner.stage import build_task
from retinalab.runner.weights import fitting

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
    file that does not fit, is known before the first stage is trained.

    Raises:
        RetinalabError: options that give no network, weights of an earlier stage that do not fit, or photographs and
            a beginning that the task refuses (:meth:`~retinalab.tasks.base.Task.check_stage`), with the stage's name.
    """
    weights: dict[str, Mapping[str, Tensor]] = {}
    for name, stage in experiment.stages.items():
        if stage.kind != "train":
            continue
        try:
            task = build_task(experiment, name, experiment.seed).to("meta").eval()
            weights[name] = task.state_dict()
            start = stage.start_from
            given = () if start is None else fitting(weights[name], weights[start.stage], start)
            task.check_stage(stage, frozenset(given))
        except RetinalabError as error:
            raise RetinalabError(*(f"Stage {name!r}: {line}" for line in str(error).splitlines())) from error


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
    return [*([stage.start_from.stage] if stage.start_from else []), *stage.adds]


def idle(experiment: Experiment) -> list[str]:
    """Stages that are not evaluated, and whose weights and photographs no evaluated stage comes from."""
    used = {one for name in experiment.evaluated for one in (name, *ancestors(experiment, name))}
    return [name for name in experiment.stages if name not in used]
