"""Stages that another run has finished: taken over instead of computed again, and said so.

Rows of an ablation often share their first stages: the lesion network before every way of attending to it, the
baseline before every way of generating. A stage is taken over only where it would come out the same: the same options
of it and of every stage behind it, protocol, folds and test sets (:func:`retinalab.experiment.stage_id`), the same
photographs and labels, the same split, fold and seed. The code may have changed since: provenance names both commits.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import retinalab
from retinalab.config import Experiment
from retinalab.documents import read_json, read_yaml
from retinalab.errors import RetinalabError
from retinalab.experiment import resolve, stage_id
from retinalab.runner.children import Child, children_of
from retinalab.runner.folder import RunFolder
from retinalab.runner.jobs import jobs_of, steps_of
from retinalab.schema import check_run_schemas

__all__ = ["Source", "read_sources", "take_over", "with_reused"]

_log = logging.getLogger(__name__)

_TOLD = "taken over, not computed here: "
_FOLDERS = ("checkpoints", "history", "tables", "made")


@dataclass(frozen=True)
class Source:
    """A run whose stages may be taken over.

    Attributes:
        path: its folder.
        experiment: what it computes.
        provenance: under which circumstances.
        done: steps of jobs that it has finished.
    """

    path: Path
    experiment: Experiment
    provenance: Mapping[str, Any]
    done: frozenset[str]


def read_sources(folders: Sequence[Path]) -> list[Source]:
    """Read the runs that ``--reuse`` names.

    Raises:
        RetinalabError: one is no run folder, or a later retinalab wrote it.
    """
    sources = []
    for folder in folders:
        try:
            raw = read_yaml(folder / "experiment.yaml")
            known = read_json(folder / "provenance.json")
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise RetinalabError(
                f"--reuse {folder}: no run can be read there ({type(error).__name__}). Give the folder of a run, such "
                "as runs/PAPER/EXPERIMENT/latest."
            ) from error
        if isinstance(known, Mapping):
            check_run_schemas(known, folder / "provenance.json", retinalab.__version__)
        state = RunFolder(folder, resumed=True).state()
        experiment = resolve(raw, source=str(folder / "experiment.yaml"))
        done = (
            (step for job in jobs_of(experiment) for step in job.steps)
            if state["finished"]
            else state["stages"]
        )
        sources.append(Source(folder.resolve(), experiment, known, frozenset(done)))
    return sources


def take_over(
    sources: Sequence[Source],
    experiment: Experiment,
    child: Child,
    name: str,
    place: Path,
    data: Mapping[str, str],
    split: pd.DataFrame,
) -> Source | None:
    """Copy a stage that one of the sources has finished; the log says of the others why not.

    Args:
        sources: from :func:`read_sources`, in the order in which they are asked.
        experiment: what is run.
        child: fold and seed.
        name: of the stage.
        place: folder of the child, into which checkpoints, history, tables and made photographs are copied.
        data: data set -> fingerprint of the stage's photographs and labels.
        split: who is in which part, as the run notes it.

    Returns:
        The run that the stage came from; None where it has to be computed.
    """
    for source in sources:
        theirs = _same_child(source, child)
        reason = (
            "it has other folds or seeds"
            if theirs is None
            else _difference(source, experiment, theirs, name, data, split)
        )
        if theirs is None or reason:
            _log.info("%s: not taken over from %s: %s", child.label(name), source.path, reason)
            continue
        _copy(theirs.folder(source.path), place, name)
        _log.info("%s: taken over from %s", child.label(name), source.path)
        return source
    return None


def with_reused(known: Mapping[str, Any], label: str, source: Source) -> dict[str, Any]:
    """The same provenance, which says where a stage came from, and by which code.

    Args:
        known: as in ``provenance.json``.
        label: what the run's state calls the stage.
        source: from :func:`take_over`.
    """
    entry = {"run": str(source.path), "commit": source.provenance.get("commit", "unknown")}
    reused = {**known.get("reused", {}), label: entry}
    notes = [one for one in known.get("notes", ()) if not one.startswith(_TOLD)]
    return {**known, "reused": reused, "notes": [*notes, f"{_TOLD}{_listed(reused)}"]}


def _same_child(source: Source, child: Child) -> Child | None:
    """The source's part of the same fold and seed."""
    same = [one for one in children_of(source.experiment) if (one.fold, one.seed) == (child.fold, child.seed)]
    return same[0] if same else None


def _difference(
    source: Source,
    experiment: Experiment,
    child: Child,
    name: str,
    data: Mapping[str, str],
    split: pd.DataFrame,
) -> str:
    """Why the source's stage is another one; "" where it is the same."""
    if name not in source.experiment.stages:
        return "it has no such stage"
    if not source.done >= set(steps_of(source.experiment, child, name)):
        return "it has not finished it"
    if stage_id(source.experiment, name) != stage_id(experiment, name):
        return "its options, those of a stage before it, the protocol, folds or test sets are others"
    seen = source.provenance.get("data", {}).get(name, {})
    if {one: part.get("fingerprint", "") for one, part in seen.items()} != dict(data):
        return "its photographs or labels are others"
    kept = child.folder(source.path) / f"split-{name}.csv"
    if not kept.is_file():
        return f"{kept.name} is missing"
    if kept.read_text(encoding="utf-8") != split.to_csv(index=False):
        return "its split is another"
    return ""


def _copy(source: Path, place: Path, name: str) -> None:
    for kind in _FOLDERS:
        if (source / kind / name).is_dir():
            shutil.rmtree(place / kind / name, ignore_errors=True)
            shutil.copytree(source / kind / name, place / kind / name)
    started = source / f"start-{name}.json"
    if started.is_file():
        shutil.copyfile(started, place / started.name)


def _listed(reused: Mapping[str, Mapping[str, str]]) -> str:
    """Stages by the run that they came from."""
    runs: dict[tuple[str, str], list[str]] = {}
    for label, entry in reused.items():
        runs.setdefault((entry["run"], entry["commit"]), []).append(label)
    return "; ".join(
        f"{', '.join(labels)} from {run} (code {commit})" for (run, commit), labels in runs.items()
    )
