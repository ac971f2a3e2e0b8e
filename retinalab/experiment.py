"""From an experiment file and overrides to a validated :class:`~retinalab.config.Experiment`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from retinalab.config import Experiment, TaskConfig
from retinalab.documents import read_yaml
from retinalab.errors import RetinalabError
from retinalab.option_errors import option_error
from retinalab.overrides import merged, overridden
from retinalab.registry import experiment_file, paper, task_config
from retinalab.rounds import each_stage, expanded

__all__ = [
    "as_mapping",
    "as_yaml",
    "experiment_id",
    "load_experiment",
    "resolve",
    "resolve_model",
    "stage_id",
]

M = TypeVar("M", bound=BaseModel)

_ENVIRONMENT = ("accelerator", "devices", "num_nodes", "strategy", "compile", "check_loss_every_n_steps")


def load_experiment(of: str, name: str = "synthetic", overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment of a paper, lay overrides over it and validate the whole.

    Args:
        of: the paper, as ``retinalab papers`` lists it.
        name: the experiment, or a path to a YAML file.
        overrides: ``key.path=value`` texts; they win over the file, which wins over the paper's defaults.

    Raises:
        RetinalabError: unknown paper or experiment, unreadable YAML, or one line for each wrong key, type or range.
    """
    path = experiment_file(paper(of), name)
    raw = _read_yaml(path)
    raw.setdefault("name", path.stem)
    raw.setdefault("paper", of)
    return resolve(overridden(raw, overrides), source=path.name)


def resolve(raw: Mapping[str, Any], source: str = "experiment") -> Experiment:
    """Validate an experiment's mapping; each stage's data section is completed from the shared one.

    A stage that is null is left out.
    """
    faults: list[str] = []
    complete = dict(raw)
    shared = raw.get("data") or {}
    primary = _primary(raw)
    stages: dict[str, Any] = {}
    given = raw.get("stages")
    if isinstance(given, Mapping):
        given = expanded({name: stage for name, stage in given.items() if stage is not None}, faults)
        _refuse_left_out(raw, given, source)
    for name, stage in given.items() if isinstance(given, Mapping) else ():
        if not isinstance(stage, Mapping):
            faults.append(
                f"stages.{name}={stage!r}: a stage is a mapping of task, data, trainer, start_from; null leaves it out"
            )
            continue
        entry = dict(stage)
        entry["data"] = _data(entry.get("data") or {}, shared, primary)
        entry["task"] = _task(entry.get("task"), f"stages.{name}.task", faults)
        stages[name] = entry
    if isinstance(given, Mapping):
        complete["stages"] = stages
    try:
        experiment = Experiment.model_validate(complete)
    except ValidationError as error:
        known = {fault.partition("=")[0].partition(":")[0] for fault in faults}
        named = [*stages, *(raw.get("stages") or {})] if isinstance(given, Mapping) else []
        lines = (
            option_error(e, Experiment, (), named) for e in error.errors() if "task" not in e["loc"][2:3]
        )
        faults.extend(line for line in lines if line.partition("=")[0].partition(":")[0] not in known)
    if faults:
        raise RetinalabError(*(f"{source}: {fault}" for fault in dict.fromkeys(faults)))
    return experiment


def _refuse_left_out(raw: Mapping[str, Any], stages: Mapping[str, Any], source: str) -> None:
    """A stage that is null may not be named by another, nor be evaluated."""
    gone = [name for name, stage in raw["stages"].items() if stage is None]
    named: list[tuple[str, Any, str]] = []
    for name, stage in stages.items():
        start = stage.get("start_from") if isinstance(stage, Mapping) else None
        if isinstance(start, Mapping) and not start.get("run"):
            remedy = f"set stages.{name}.start_from=null (its weights are drawn at random then)"
            named.append((f"stages.{name}.start_from", start.get("stage"), remedy))
    test = raw.get("test")
    evaluated = test.get("stages") if isinstance(test, Mapping) else None
    if isinstance(evaluated, list | tuple):
        kept = ", ".join(one for one in evaluated if one not in gone) or next(reversed(list(stages)), "")
        named += [("test.stages", one, f"set test.stages=[{kept}]") for one in evaluated]
    faults = [
        f"{source}: {place} names {name!r}, which is left out (stages.{name}=null); {remedy}, or keep the stage"
        for place, name, remedy in named
        if name in gone
    ]
    if faults:
        raise RetinalabError(*faults)


def _primary(raw: Mapping[str, Any]) -> Any:
    """The data set that the shared data section speaks of: the one it names, else that of the last stage."""
    stages = raw.get("stages")
    written = [one for one in each_stage(stages) if one is not None] if isinstance(stages, Mapping) else []
    last = written[-1] if written else None
    sections = (raw.get("data"), last.get("data") if isinstance(last, Mapping) else None)
    named = [section.get("set") for section in sections if isinstance(section, Mapping)]
    return next((name for name in named if name), None)


def _data(own: Any, shared: Any, primary: Any) -> Any:
    """A stage's data section; the shared folder, options and mixture are those of the primary set and of no other."""
    if not isinstance(own, Mapping) or not isinstance(shared, Mapping):
        return own if own else shared
    foreign = own.get("set") not in (None, primary)
    of_the_primary = ("root", "options", "mix")
    return merged({k: v for k, v in shared.items() if not (foreign and k in of_the_primary)}, own)


def resolve_model(kind: type[M], raw: Mapping[str, Any], where: str) -> M:
    """Validate one section alone, with the same one-line errors."""
    try:
        return kind.model_validate(dict(raw))
    except ValidationError as error:
        raise RetinalabError(*(option_error(entry, kind, (where,)) for entry in error.errors())) from error


def as_mapping(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain JSON types; :func:`resolve` reads it back."""
    return experiment.model_dump(mode="json")


def as_yaml(experiment: Experiment) -> str:
    """The experiment as YAML, without the shared data section, which every stage now carries whole."""
    mapping = {key: value for key, value in as_mapping(experiment).items() if key != "data"}
    return yaml.safe_dump(mapping, sort_keys=False, allow_unicode=True, width=110)


def experiment_id(experiment: Experiment) -> str:
    """Eight hexadecimal digits that name what is computed, whatever workers, device, logger or folders are used."""
    return _digest(_computed(experiment))[:8]


def stage_id(experiment: Experiment, name: str) -> str:
    """Names what one stage computes: itself, the stages that it comes from, protocol, folds and test sets.

    Two experiments whose stages of one name have one identity compute the same in them, fold by fold and seed by seed,
    on the same photographs.
    """
    whole = _computed(experiment)
    stages = {one: whole["stages"][one] for one in _behind(experiment, name)}
    tested = {key: value for key, value in whole["test"].items() if key != "stages"}
    return _digest({"protocol": whole["protocol"], "folds": whole["folds"], "test": tested, "stages": stages})


def _behind(experiment: Experiment, name: str) -> list[str]:
    """The stage and all that it starts from or adds the photographs of."""
    stage = experiment.stages[name]
    named = [*stage.adds, *([stage.before] if stage.before is not None else [])]
    return sorted({name, *(one for before in named for one in _behind(experiment, before))})


def _computed(experiment: Experiment) -> dict[str, Any]:
    """What decides the result, without what changes nothing."""
    mapping = as_mapping(experiment)
    for key in ("data", "logger", "output", "roots"):
        mapping.pop(key)
    for key in ("readers", "saliency"):  # drawn beside the result, part of none
        mapping["test"].pop(key)
    for name, stage in mapping["stages"].items():
        for key in experiment.stages[name].task.unused():
            stage["task"].pop(key)
        start = stage["start_from"]
        if start is not None and (start["run"] is None or start["sha256"] is not None):
            start.pop("run")  # the checkpoint itself is what counts, wherever it lies
        if start is not None and start["sha256"] is None:
            start.pop("sha256")
        for key in ("workers", "cache", "root"):
            stage["data"].pop(key)
        if stage["data"]["codec"] != "jpeg":  # the others keep every pixel
            stage["data"].pop("codec")
        if not stage["trainer"]["auto_batch_size"]:
            stage["trainer"].pop("auto_batch_size")
        if not stage["data"]["mix"]["sets"]:
            stage["data"].pop("mix")
        if stage["data"]["overlap"] == "refuse":  # changes no result
            stage["data"].pop("overlap")
        if stage["data"]["windows"] is not None:
            stage["data"]["windows"].pop("published")
        if stage["data"]["sampler"] != "decaying":
            stage["data"].pop("balance")
        for key, plain in (("stretch", [1.0, 1.0]), ("principal", None)):
            if stage["data"]["augment"][key] == plain:
                stage["data"]["augment"].pop(key)
        if stage["combined"] == "whole" or not stage["adds"]:
            stage.pop("combined")
        for key in ("adds", "alternate", "stream"):
            if not stage[key]:
                stage.pop(key)
        for key in _ENVIRONMENT:
            stage["trainer"].pop(key)
    return mapping


def _digest(mapping: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(mapping, sort_keys=True).encode()).hexdigest()


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = read_yaml(path)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or type(error).__name__
        raise RetinalabError(
            f"Experiment file {path}{where} is not valid YAML: {reason}. Correct it and try again."
        ) from error
    if not isinstance(raw, dict):
        raise RetinalabError(f"Experiment file {path} holds no mapping. It needs paper, protocol and stages.")
    return raw


def _task(given: Any, where: str, faults: list[str]) -> TaskConfig | None:
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        faults.append(f"{where}: needs a mapping with the task's name, such as {{name: baseline}}")
        return None
    try:
        kind = task_config(given["name"])
        return kind.model_validate(dict(given))
    except ValidationError as error:
        faults.extend(option_error(entry, kind, tuple(where.split("."))) for entry in error.errors())
    except RetinalabError as error:
        faults.append(f"{where}.name={given['name']!r}: {error}")
    return None
