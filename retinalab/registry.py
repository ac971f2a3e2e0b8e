"""Installed papers and their tasks, found through entry points; nothing here imports torch.

Group ``retinalab.papers``: name -> :class:`Paper`, a light description. Group ``retinalab.tasks``: name -> a
LightningModule,
imported only when an experiment uses it.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retinalab.errors import RetinalabError, unknown

if TYPE_CHECKING:
    from retinalab.config import TaskConfig

__all__ = ["Broken", "Paper", "experiment_file", "installed_papers", "paper", "task_class", "task_config"]

PAPERS = "retinalab.papers"
TASKS = "retinalab.tasks"


@dataclass(frozen=True)
class Paper:
    """What a plugin says of itself.

    Attributes:
        name: the folder, the entry point and the W&B group.
        title: of the publication.
        citation: authors, journal, year.
        url: of the publication.
        tasks: task name -> ``"module:Class"`` of its configuration (a :class:`retinalab.config.TaskConfig`).
        experiments: folder of its experiment files.
    """

    name: str
    title: str
    citation: str
    url: str
    experiments: Path
    tasks: Mapping[str, str] = field(default_factory=dict)

    def experiment_names(self) -> tuple[str, ...]:
        """Names of the experiment files, without suffix; sweeps and claims are none."""
        files = self.experiments.glob("*.yaml") if self.experiments.is_dir() else ()
        return tuple(sorted(f.stem for f in files if f.stem not in ("sweep", "claims")))


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be imported, and why."""

    name: str
    distribution: str
    cause: str


def installed_papers() -> dict[str, Paper | Broken]:
    """Every installed paper by name; one that fails to import is :class:`Broken` and hides no other.

    Raises:
        RetinalabError: two distributions register one name.
    """
    return {name: _load_paper(point) for name, point in sorted(_points(PAPERS).items())}


def paper(name: str) -> Paper:
    """The paper of that name.

    Raises:
        RetinalabError: it is not installed, or cannot be imported.
    """
    points = _points(PAPERS)
    if name not in points:
        raise unknown(
            "paper",
            name,
            points,
            "Install one with: pip install ./plugins/<paper> beside the core",
            "Installed",
        )
    found = _load_paper(points[name])
    if isinstance(found, Broken):
        raise RetinalabError(
            f"Paper {name!r} of {found.distribution} cannot be imported: {found.cause}. Reinstall that "
            f"plugin, or remove it."
        )
    return found


def experiment_file(of: Paper, name: str) -> Path:
    """Path of an experiment of a paper, by name (``_`` and ``-`` are one) or by a path to a YAML file."""
    if name.endswith((".yaml", ".yml")):
        given = Path(name)
        if not given.is_file():
            beside = [str(one) for one in sorted(given.parent.glob("*.y*ml"))]
            near = difflib.get_close_matches(str(given), beside, n=1, cutoff=0.5)
            raise RetinalabError(
                f"Experiment file {name} does not exist. {f'Did you mean {near[0]!r}? ' if near else ''}"
                f"Give a path, or one of: {_listed(of)}."
            )
        return given
    path = of.experiments / f"{name.replace('_', '-')}.yaml"
    if path.stem not in of.experiment_names():
        raise unknown("experiment", name, of.experiment_names(), f"See: retinalab show {of.name}")
    return path


def task_config(name: str) -> type[TaskConfig]:
    """The configuration class of a task, found through the papers' descriptions.

    Raises:
        RetinalabError: no such task, two papers that offer it, or options that cannot be imported (with the cause).
    """
    papers = [found for found in installed_papers().values() if isinstance(found, Paper)]
    offering = [found for found in papers if name in found.tasks]
    if not offering:
        raise unknown(
            "task", name, [task for found in papers for task in found.tasks], "See: retinalab papers"
        )
    if len(offering) > 1:
        raise RetinalabError(
            f"Papers {' and '.join(found.name for found in offering)} both offer a task {name!r}. Uninstall "
            f"one of them."
        )
    target = offering[0].tasks[name]
    try:
        loaded: type[TaskConfig] = _attribute(target)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise RetinalabError(
            f"Options of task {name!r} ({target}) cannot be imported: {type(error).__name__}: {error}. "
            f"Reinstall that plugin."
        ) from error
    return loaded


def task_class(name: str) -> Any:
    """The LightningModule of a task; importing it imports torch.

    Raises:
        RetinalabError: no such task, two of that name, or its module fails to import (with the cause).
    """
    points = _points(TASKS)
    if name not in points:
        raise unknown("task", name, points, "See: retinalab papers")
    try:
        return points[name].load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise RetinalabError(
            f"Task {name!r} of {_distribution(points[name])} cannot be imported: {type(error).__name__}: {error}. "
            "Reinstall that plugin."
        ) from error


def _points(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in _registered(group, _places()):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise RetinalabError(
                f"Two plugins register {point.name!r} in {group}: {_distribution(other)} ({other.value}) and "
                f"{_distribution(point)} ({point.value}). Uninstall one of them."
            )
        found[point.name] = point
    return found


@lru_cache(maxsize=8)
def _registered(group: str, _: object) -> tuple[EntryPoint, ...]:
    """Reading what every installed distribution registers takes as long as all else of an experiment's validation."""
    return tuple(entry_points(group=group))


def _places() -> tuple[object, ...]:
    """What changes as soon as a distribution is installed, upgraded or removed, or the import path is changed."""
    return tuple(map(id, sys.meta_path)), tuple(
        (path, _changed(path)) for path in map(os.path.abspath, sys.path)
    )


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _load_paper(point: EntryPoint) -> Paper | Broken:
    try:
        loaded = point.load()
    except Exception as error:  # noqa: BLE001 - a foreign module may fail in any way; the others go on working
        return Broken(point.name, _distribution(point), f"{type(error).__name__}: {error}")
    if not isinstance(loaded, Paper):
        return Broken(point.name, _distribution(point), f"{point.value} is no retinalab.registry.Paper")
    return loaded


def _attribute(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _listed(of: Paper) -> str:
    return ", ".join(of.experiment_names()) or "none"
