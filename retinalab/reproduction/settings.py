"""What an experiment computes, setting by setting, and in which settings two experiments differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from retinalab.config import Experiment
from retinalab.config.base import Model
from retinalab.experiment import as_mapping

__all__ = ["Difference", "differences", "needed_stages", "settings", "shown", "trained_by"]

_TOP = (
    "name",
    "paper",
    "data",
    "roots",
    "logger",
    "output",
    "seeds",
    "seed",
    "folds",
    "fold",
    "stages",
    "test",
)
_PLACES = ("workers", "cache", "root", "strict")
_LISTS = ("list",)
_ENVIRONMENT = (
    "accelerator",
    "devices",
    "num_nodes",
    "strategy",
    "log_every_n_steps",
    "check_loss_every_n_steps",
    "compile",
)


class Difference(Model):
    """A setting in which a run differs from the experiment of a published row.

    Attributes:
        key: as an override names it; ``data.size`` where every stage differs alike.
        published: the setting of the row's experiment.
        run: that of the run.
    """

    key: str
    published: Any
    run: Any

    def __str__(self) -> str:
        return f"{self.key} {shown(self.published)} → {shown(self.run)}"


def shown(value: Any) -> str:
    """A setting on one line.

    Example:
        >>> shown([0.8, 1.0]), shown(None), shown({"stage": "l-net", "strict": True})
        ('[0.8, 1.0]', 'none', '{stage: l-net, strict: true}')
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(one) for one in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else str(value)


def needed_stages(experiment: Experiment) -> tuple[str, ...]:
    """The stages that are evaluated, and those that these come from; what an idle stage learns changes no figure."""
    needed = set(experiment.evaluated)
    for name, stage in reversed(experiment.stages.items()):
        if name in needed:
            needed |= {*stage.adds} | ({stage.before} if stage.before is not None else set())
    return tuple(name for name in experiment.stages if name in needed)


def trained_by(experiment: Experiment) -> frozenset[tuple[str, str]]:
    """Kind and task of each stage that counts."""
    stages = (experiment.stages[name] for name in needed_stages(experiment))
    return frozenset((stage.kind, str(stage.task.name)) for stage in stages)


def settings(experiment: Experiment) -> dict[str, Any]:
    """Every setting that a figure depends on, by its dotted key.

    Left out are names and places (folders, loggers, loader processes, devices), seeds and folds, which
    :func:`differences` judges apart, the option that says where a data set's owners' list lies, stages that are not
    evaluated, and options that are idle (the weights of a sampler that is not in use).
    """
    mapping = as_mapping(experiment)
    test = {key: value for key, value in mapping["test"].items() if key != "readers"}
    test["stages"] = list(experiment.evaluated)
    for options in test["options"].values():
        _drop(options, _LISTS)
    chosen = {key: value for key, value in mapping.items() if key not in _TOP} | {"test": test}
    chosen["stages"] = {name: _stage(mapping["stages"][name]) for name in needed_stages(experiment)}
    return dict(_flat(chosen, ""))


def differences(
    published: Experiment,
    run: Experiment,
    ours: Mapping[str, Any] | None = None,
    theirs: Mapping[str, Any] | None = None,
) -> tuple[Difference, ...]:
    """In what a run differs from the experiment of a published row; nothing: it measures that row.

    More seeds and more folds of the same split are no difference; fewer, or one fold alone, are.

    Args:
        published: the row's experiment.
        run: the run's.
        ours: :func:`settings` of the first, where they are at hand.
        theirs: those of the second.
    """
    unequal = _unequal(published, run, ours or settings(published), theirs or settings(run))
    found = [Difference(key=key, published=one, run=other) for key, one, other in unequal]
    return (*_stages_apart(published, run), *_repeats(published, run), *_joined(found, published, run))


def _unequal(
    published: Experiment, run: Experiment, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Key and both values; a section that one of the two lacks altogether is one difference."""
    stages = {*needed_stages(published), *needed_stages(run)}
    both = {*needed_stages(published)} & {*needed_stages(run)}
    for key in dict.fromkeys((*ours, *theirs)):
        if (key in ours and key in theirs and ours[key] == theirs[key]) or _within_a_leaf(key, ours, theirs):
            continue
        stage = _stage_of(key, stages)
        if stage is None or stage in both:
            yield key, _at(key, ours), _at(key, theirs)


def _within_a_leaf(key: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether the section that the key stands in is a single value of the other side."""
    parts = key.split(".")
    return any(".".join(parts[:k]) in side for k in range(1, len(parts)) for side in (ours, theirs))


def _at(key: str, side: Mapping[str, Any]) -> Any:
    if key in side:
        return side[key]
    return {k.removeprefix(f"{key}."): v for k, v in side.items() if k.startswith(f"{key}.")} or None


def _stages_apart(published: Experiment, run: Experiment) -> list[Difference]:
    ours, theirs = needed_stages(published), needed_stages(run)
    return [] if ours == theirs else [Difference(key="stages", published=list(ours), run=list(theirs))]


def _repeats(published: Experiment, run: Experiment) -> list[Difference]:
    found = []
    for key in ("seeds", "folds"):
        ours, theirs = getattr(published, key), getattr(run, key)
        if theirs < ours:
            found.append(Difference(key=key, published=ours, run=theirs))
    if run.fold is not None and run.fold != published.fold:
        found.append(Difference(key="fold", published=published.fold, run=run.fold))
    return found


def _joined(found: list[Difference], published: Experiment, run: Experiment) -> list[Difference]:
    """What every common stage differs in alike is said once; ``stages.`` is left out, as in an override."""
    common = [name for name in needed_stages(published) if name in needed_stages(run)]
    by_tail: dict[tuple[str, str, str], list[Difference]] = {}
    for one in found:
        stage = _stage_of(one.key, set(common))
        tail = one.key if stage is None else one.key.removeprefix(f"stages.{stage}.")
        by_tail.setdefault((tail, shown(one.published), shown(one.run)), []).append(one)
    joined: list[Difference] = []
    for (tail, _, _), alike in by_tail.items():
        whole = len(alike) == len(common) > 1 and tail.startswith(("data.", "trainer."))
        for one in alike[:1] if whole else alike:
            key = tail if whole else one.key.removeprefix("stages.")
            joined.append(one.model_copy(update={"key": key}))
    return sorted(joined, key=lambda one: _weight(one.key))


def _weight(key: str) -> tuple[int, ...]:
    """Photographs and protocol first, then the task, training, and how photographs are prepared."""
    order = ("data.set", "protocol.", "test.", "data.options", ".task.", "task.", "trainer.", "data.size")
    return (next((k for k, word in enumerate(order) if word in key), len(order)),)


def _stage_of(key: str, names: set[str]) -> str | None:
    """The stage that a key is about; names may hold dots."""
    if not key.startswith("stages."):
        return None
    rest = key.removeprefix("stages.")
    return next((name for name in sorted(names, key=len, reverse=True) if rest.startswith(f"{name}.")), None)


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    data = stage["data"]
    _drop(data, _PLACES)
    if data["codec"] != "jpeg":
        data.pop("codec")
    if not data["mix"]["sets"]:
        data.pop("mix")
    if data["sampler"] != "decaying":
        data.pop("balance")
    if not data["masks"]:
        data.pop("mask_coverage")
    if data["windows"] is not None:
        data["windows"].pop("published")
    if data["overlap"] == "refuse":
        data.pop("overlap")
    _drop(data["options"], _LISTS)
    if not stage["adds"]:
        _drop(stage, ("combined", "alternate", "adds"))
    if not stage["stream"]:
        stage.pop("stream")
    _drop(stage["trainer"], _ENVIRONMENT)
    return stage


def _drop(mapping: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        mapping.pop(key, None)


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, value
