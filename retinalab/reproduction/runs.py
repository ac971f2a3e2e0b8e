"""Runs that may measure what a paper printed: folders that runs left, and figures that were kept of them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

import retinalab
from retinalab.config import Experiment
from retinalab.documents import read_json, read_yaml
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment, resolve
from retinalab.reproduction.stale import changed_since, stale_label
from retinalab.schema import check_run_schemas, figures_of

__all__ = ["MeasuredRun", "kept_runs", "runs_below"]


@dataclass(frozen=True)
class MeasuredRun:
    """A finished run and its figures.

    Attributes:
        name: its folder, or the file that its figures are kept in.
        experiment: as it was run; of figures kept without it by the experiment files as they are, from the command.
        metrics: ``part[@set]/target/name`` -> value, low, high, n, n_groups, sd_seeds.
        command: that began it.
        commit: of the code that it ran with.
        labels: what must be said beside every figure, such as that photographs were drawn.
        kept: whether only its figures are at hand.
        finished: when, as ISO text; "" where not known.
        seeds: how many were trained.
        changed: what has changed since, so far as is known; it is among the labels.
    """

    name: str
    experiment: Experiment
    metrics: Mapping[str, Mapping[str, Any]]
    command: str = ""
    commit: str = ""
    labels: tuple[str, ...] = ()
    kept: bool = False
    finished: str = ""
    seeds: int = 1
    changed: tuple[str, ...] = ()

    def measures(self, metric: str) -> bool:
        """Whether the figure is there and defined."""
        value = self.metrics.get(metric, {}).get("value")
        return isinstance(value, int | float) and math.isfinite(value)

    def same_figures(self, other: MeasuredRun) -> bool:
        """Whether the other's figures are all among these, which tells a kept run from the folder it was kept of."""
        values = {key: one.get("value") for key, one in other.metrics.items()}
        return bool(values) and all(self.metrics.get(key, {}).get("value") == v for key, v in values.items())


def runs_below(
    folders: Iterable[Path], paper: str, roots: Mapping[str, Path] | None = None
) -> tuple[list[MeasuredRun], list[str]]:
    """Finished runs of a paper below folders of runs, and what could not be read, each with its cause.

    Args:
        folders: such as ``runs``; a folder that does not exist holds none.
        paper: whose runs.
        roots: data set -> its folder, to tell whether its photographs or labels have changed since.
    """
    runs: list[MeasuredRun] = []
    faults: list[str] = []
    seen: set[Path] = set()
    for folder in folders:
        for file in sorted(folder.glob(f"{paper}/*/*/experiment.yaml")):
            place = file.parent.resolve()
            if place in seen or not (place / "metrics.json").is_file():
                continue
            seen.add(place)
            try:
                runs.append(_run_of(file.parent.parent / place.name, place, roots))
            except (RetinalabError, OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
                faults.append(f"{file.parent} is left out: {str(error).splitlines()[0]}")
    return runs, faults


def kept_runs(
    folder: Path | None, paper: str, roots: Mapping[str, Path] | None = None
) -> tuple[list[MeasuredRun], list[str]]:
    """Kept figures of a paper's runs: files with the command that made them, its figures and the code's commit.

    Args:
        folder: of ``*.json``; None: there are none.
        paper: whose runs.
        roots: data set -> its folder, to tell whether its photographs or labels have changed since.
    """
    runs: list[MeasuredRun] = []
    faults: list[str] = []
    for file in sorted(folder.glob("*.json")) if folder is not None else ():
        try:
            kept = read_json(file)
            words = shlex.split(kept["command"])
            if words[1:3] == ["exp", paper]:
                runs.append(_kept(file, kept, words[3:], roots))
        except (RetinalabError, OSError, ValueError, KeyError, TypeError) as error:
            faults.append(f"{file} is left out: {str(error).splitlines()[0]}")
    return runs, faults


def _run_of(shown: Path, place: Path, roots: Mapping[str, Path] | None) -> MeasuredRun:
    provenance: Mapping[str, Any] = {}
    if (place / "provenance.json").is_file():
        provenance = read_json(place / "provenance.json")
        check_run_schemas(provenance, place / "provenance.json", retinalab.__version__)
    experiment = resolve(read_yaml(place / "experiment.yaml"))
    metrics = figures_of(read_json(place / "metrics.json"), place / "metrics.json", retinalab.__version__)
    changed = changed_since(experiment, provenance, roots)
    return _measured(str(shown), experiment, metrics, provenance, changed, experiment.seeds)


def _kept(
    file: Path, kept: Mapping[str, Any], words: Sequence[str], roots: Mapping[str, Path] | None
) -> MeasuredRun:
    overrides = [word for word in words if "=" in word]
    names = [word for word in words if "=" not in word and not word.startswith("-")]
    name, paper = f"{file.parent.name}/{file.name}", shlex.split(kept["command"])[2]
    today = load_experiment(paper, names[0] if names else "synthetic", overrides)
    experiment = resolve(kept["experiment"]) if kept.get("experiment") else today
    changed = changed_since(experiment, kept, roots, today)
    run = _measured(name, experiment, kept["metrics"], kept, changed, len(kept.get("seeds") or [0]))
    return replace(run, kept=True)


def _measured(
    name: str,
    experiment: Experiment,
    metrics: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
    changed: tuple[str, ...],
    seeds: int,
) -> MeasuredRun:
    return MeasuredRun(
        name=name,
        experiment=experiment,
        metrics=metrics,
        command=str(facts.get("command") or ""),
        commit=str(facts.get("commit") or ""),
        labels=(*map(str, facts.get("labels") or ()), *[stale_label(changed)] * bool(changed)),
        finished=str(facts.get("finished") or ""),
        seeds=seeds,
        changed=changed,
    )
