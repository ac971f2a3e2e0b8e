"""What lies below an output folder: runs with their state, folds and seeds done, main figure, size and date."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from retinalab.documents import read_json, read_yaml
from retinalab.errors import RetinalabError
from retinalab.runs.locks import held_below

__all__ = ["ListedRun", "State", "read_run", "runs_below", "size_below"]

State = Literal["finished", "unfinished", "running", "unreadable"]

_RUN = re.compile(r"[0-9a-f]{8}-[1-9]\d*")
_FIGURES = (
    r"test/dr/kappa",
    r"test/[^/]+/kappa",
    r"test/[^/]+/auc_referable",
    r"test/lesion/mean/f1",
    r"test/lesion/[^/]+/f1",
    r"test/.*/accuracy",
    r"test.*/kappa",
    r"test.*",
)
"""Of the figures of a run, the first that is defined of the first kind stands for it."""


@dataclass(frozen=True)
class ListedRun:
    """One run's folder, as far as its small files tell.

    Attributes:
        path: of the folder.
        state: running, where a process holds one of its locks; unreadable, where its files cannot be read.
        jobs: folds and seeds that it has.
        done: those that are trained.
        figure: its main figure's key and value; None without one.
        size: bytes of all its files.
        date: when it was finished, else begun, as ISO text; "" where not known.
        working: jobs that processes work on.
        experiment: as ``experiment.yaml`` has it; empty where it cannot be read.
        provenance: as ``provenance.json`` has it; empty where it cannot be read.
        steps: what its state calls done.
    """

    path: Path
    state: State
    jobs: int
    done: int
    figure: tuple[str, float] | None
    size: int
    date: str
    working: tuple[str, ...] = ()
    experiment: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """Paper and experiment, whose runs lie together."""
        return f"{self.path.parent.parent.name}/{self.path.parent.name}"

    def sources(self) -> set[Path]:
        """Runs that it takes stages over from, or was told to by ``--reuse``."""
        taken = [
            one.get("run")
            for one in _mapping(self.provenance.get("reused")).values()
            if isinstance(one, Mapping)
        ]
        try:
            words = shlex.split(str(self.provenance.get("command", "")))
        except ValueError:
            words = []
        for word, after in zip(words, [*words, ""][1:], strict=True):
            taken += [after] if word == "--reuse" else []
            taken += [word.removeprefix("--reuse=")] if word.startswith("--reuse=") else []
        return {Path(one).resolve() for one in taken if isinstance(one, str) and one}


def runs_below(output: Path) -> list[ListedRun]:
    """Every run below an output folder, by paper, experiment and number.

    Raises:
        RetinalabError: there is no such folder.
    """
    if not output.is_dir():
        raise RetinalabError(
            f"No folder {output} of runs: nothing was run from here yet, or output=PATH named another folder. "
            "Give that one: --output PATH."
        )
    folders = (path for path in output.glob("*/*/*") if _is_run(path))
    ordered = sorted(folders, key=lambda path: (path.parent, int(path.name.rpartition("-")[2]), path.name))
    return [read_run(path) for path in ordered]


def read_run(folder: Path) -> ListedRun:
    """One run's folder; its ``latest`` link will do.

    Raises:
        RetinalabError: it is none.
    """
    path = folder.resolve()
    if not _is_run(path):
        raise RetinalabError(
            f"{folder} is no run's folder. Give one that retinalab runs lists, such as runs/PAPER/EXPERIMENT/latest."
        )
    working = held_below(path)
    try:
        state, experiment, provenance, metrics = _documents(path)
    except (OSError, ValueError, yaml.YAMLError):
        return ListedRun(
            path, "running" if working else "unreadable", 0, 0, None, size_below(path), "", working
        )
    steps = tuple(str(step) for step in _sequence(state.get("stages")))
    finished = bool(state.get("finished"))
    children = list(_children(experiment))
    stages = list(_mapping(experiment.get("stages")))
    done = [
        child
        for child in children
        if all((f"{child}/{stage}" if child else stage) in steps for stage in stages)
    ]
    date = str(state.get("at") or provenance.get("finished") or provenance.get("started") or "")
    return ListedRun(
        path,
        "running" if working else "finished" if finished else "unfinished",
        len(children),
        len(children) if finished else len(done),
        _main_figure(metrics),
        size_below(path),
        date,
        working,
        experiment,
        provenance,
        steps,
    )


def size_below(folder: Path) -> int:
    """Bytes of the files in a folder; links are not followed, and what vanishes meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(os.path.join(place, name))
            except OSError:
                continue
            total += found.st_size
    return total


def _is_run(path: Path) -> bool:
    """Whether a folder bears a run's name and holds what every run begins with."""
    if path.is_symlink() or path.parent.is_symlink() or not _RUN.fullmatch(path.name) or not path.is_dir():
        return False
    return any(
        (path / name).is_file() for name in ("experiment.yaml", "provenance.json", "state.json", ".lock")
    )


def _documents(path: Path) -> tuple[Mapping[str, Any], ...]:
    """State, experiment, provenance and figures; one that is not there yet is empty."""
    found = []
    for name, read in (
        ("state.json", read_json),
        ("experiment.yaml", read_yaml),
        ("provenance.json", read_json),
        ("metrics.json", read_json),
    ):
        content = read(path / name) if (path / name).exists() else {}
        if not isinstance(content, Mapping):
            raise ValueError(f"{name} holds no mapping")
        found.append(content)
    return tuple(found)


def _children(experiment: Mapping[str, Any]) -> Iterator[str]:
    """Names of the folders of folds and seeds, as :mod:`retinalab.runner.children` gives them."""
    folds, seeds, first = (
        _number(experiment.get(name), least) for name, least in (("folds", 1), ("seeds", 1), ("seed", 0))
    )
    single = experiment.get("fold") is not None
    for fold in range(1 if single else folds):
        for seed in range(first, first + seeds):
            names = [f"fold-{fold}"] * (folds > 1 and not single) + [f"seed-{seed}"] * (seeds > 1)
            yield "_".join(names)


def _main_figure(metrics: Mapping[str, Any]) -> tuple[str, float] | None:
    values = {
        key: one["value"]
        for key, one in metrics.items()
        if isinstance(one, Mapping) and isinstance(one.get("value"), int | float)
    }
    for kind in _FIGURES:
        for key, value in values.items():
            if re.fullmatch(kind, key):
                return key, float(value)
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any, least: int) -> int:
    return value if isinstance(value, int) and value >= least else least
