"""Sweep files of W&B, checked before an agent starts: every parameter path, value and metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from retinalab.config import Experiment
from retinalab.documents import read_yaml
from retinalab.errors import RetinalabError, unknown
from retinalab.experiment import load_experiment
from retinalab.metrics.grading import summary

__all__ = ["check_sweep", "values_of"]

_KEYS = (
    "name",
    "description",
    "project",
    "entity",
    "program",
    "command",
    "method",
    "metric",
    "parameters",
    "run_cap",
)
_LESS_IS_BETTER = ("loss", "mae", "unacceptable")
_MACROS = ("${args}", "${args_no_hyphens}")


def check_sweep(file: Path) -> None:
    """Hold a sweep file against the experiment that its command line starts; nothing is run.

    Args:
        file: as ``wandb sweep`` takes it.

    Raises:
        RetinalabError: a line for each key, path, value or metric that no run would know, with the nearest match.
    """
    config = _read(file)
    paper, name, fixed = _started(config, file)
    faults = [str(unknown("key", key, _KEYS)) for key in config if key not in _KEYS]
    experiment = load_experiment(paper, name, fixed)
    for path, parameter in (config.get("parameters") or {}).items():
        try:
            for value in values_of(parameter):
                load_experiment(paper, name, [*fixed, f"{path}={value}"])
        except RetinalabError as error:
            faults += [f"parameters.{path}: {line}" for line in str(error).splitlines()]
    faults += _faults_of_metric(config.get("metric"), experiment)
    if faults:
        raise RetinalabError(*(f"{file}: {fault}" for fault in faults))


def values_of(parameter: Mapping[str, Any]) -> list[Any]:
    """Every value that is listed, or both ends of a range.

    Example:
        >>> values_of({"values": [1, 2]}), values_of({"distribution": "uniform", "min": 0.0, "max": 0.5})
        ([1, 2], [0.0, 0.5])

    Raises:
        RetinalabError: neither is given.
    """
    if isinstance(parameter, Mapping) and parameter.get("values"):
        return list(parameter["values"])
    if isinstance(parameter, Mapping) and "value" in parameter:
        return [parameter["value"]]
    if isinstance(parameter, Mapping) and {"min", "max"} <= set(parameter):
        return [parameter["min"], parameter["max"]]
    raise RetinalabError(f"{parameter!r}: a parameter has values, value, or min and max. Give one of them.")


def _read(file: Path) -> dict[str, Any]:
    try:
        config = read_yaml(file)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "problem", None) or type(error).__name__
        raise RetinalabError(
            f"Sweep file {file} cannot be read: {reason}. Correct it and try again."
        ) from error
    if not isinstance(config, dict):
        raise RetinalabError(
            f"Sweep file {file} holds no mapping. It needs program, command, method and parameters."
        )
    return config


def _started(config: Mapping[str, Any], file: Path) -> tuple[str, str, list[str]]:
    """Paper, experiment and overrides of the command line."""
    words = [str(word) for word in config.get("command") or ()]
    plain = [word for word in words if not word.startswith(("${", "-"))]
    if plain[:1] != ["exp"] or not set(words) & set(_MACROS) or config.get("program") != "retinalab":
        raise RetinalabError(
            f"{file}: command {words} with program {config.get('program')!r} starts no experiment with the parameters. "
            'Write program: retinalab and command: ["${env}", "${program}", exp, PAPER, EXPERIMENT, logger=wandb, '
            '"${args_no_hyphens}"].'
        )
    names = [word for word in plain[1:] if "=" not in word]
    if not names:
        raise RetinalabError(f"{file}: command names no paper. Write exp, PAPER, EXPERIMENT.")
    fixed = [word for word in plain if "=" in word]
    if "logger=wandb" not in fixed:
        raise RetinalabError(f"{file}: command has no logger=wandb, so that W&B would see no metric. Add it.")
    return names[0], (names[1:] or ["synthetic"])[0], fixed


def _faults_of_metric(metric: Any, experiment: Experiment) -> Iterator[str]:
    """A metric is one of the validation's: of a disease, of all together, of lesions or windows, or the loss."""
    if not isinstance(metric, Mapping) or not isinstance(metric.get("name"), str):
        yield "metric: names no figure. Write metric: {name: val/dr/kappa, goal: maximize}."
        return
    name, goal = metric["name"], metric.get("goal")
    choices = _logged(experiment)
    if name not in choices:
        yield f"metric.name: {unknown('metric', name, choices)}"
        return
    wanted = "minimize" if name.rpartition("/")[2] in _LESS_IS_BETTER else "maximize"
    if goal != wanted:
        yield f"metric.goal={goal!r}: {name} is to be {wanted}d. Write goal: {wanted}."


def _logged(experiment: Experiment) -> list[str]:
    """What validation logs of grades, of lesions, and the loss."""
    scales = experiment.protocol.scales
    figures = [
        f"{disease}/{name}"
        for disease, scale in scales.items()
        for name in summary(np.eye(scale.size), scale)
    ]
    figures += ["joint/accuracy"] * (len(scales) > 1)
    tasks = [stage.data for stage in experiment.stages.values()]
    if any(data.masks for data in tasks):
        figures += ["lesion/mean/f1", "lesion/mean/image_f1"]
    return [f"val/{name}" for name in (*figures, "loss")]
