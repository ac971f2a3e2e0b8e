"""Run an experiment: every fold and seed, every stage, one evaluation, one report."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from retinalab.config import Experiment
from retinalab.data.module import FundusDataModule
from retinalab.data.parts import Parts
from retinalab.experiment import as_yaml
from retinalab.metrics.tables import TableKind, write_table
from retinalab.report import write_report
from retinalab.report.readers import READERS, read_readers
from retinalab.runner.check import check_lists, check_tasks, idle
from retinalab.runner.folder import RunFolder, claim, write_json
from retinalab.runner.gather import joined, summarise
from retinalab.runner.make import added, make_stage
from retinalab.runner.modules import evaluated_parts, stage_modules
from retinalab.runner.pictures import pictures
from retinalab.runner.provenance import fingerprints, provenance, with_leaks
from retinalab.runner.stage import run_stage

__all__ = ["Result", "run"]

_log = logging.getLogger(__name__)

_IDLE = "stage %r is not evaluated, nor is any stage that comes from it; leave it out with %s=null"


@dataclass(frozen=True)
class Result:
    """What a run left.

    Attributes:
        folder: its results folder.
        metrics: as ``metrics.json``.
        predictions: as ``predictions.parquet``.
    """

    folder: Path
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame


@dataclass(frozen=True)
class _Child:
    """One fold and seed of an experiment."""

    fold: int | None
    seed: int
    name: str

    def folder(self, top: Path) -> Path:
        return top / self.name if self.name else top


def run(experiment: Experiment) -> Result:
    """Run an experiment, or go on with an unfinished identical run.

    Every stage's network is built and its photographs are read, split and prepared before the run folder is made, so
    that bad input leaves nothing behind.

    Raises:
        RetinalabError: anything wrong with the data, the folder or the tasks' options.
    """
    began = time.monotonic()
    if experiment.logger == "wandb":
        from retinalab.runner.wandb import require_wandb

        require_wandb()
    check_lists(experiment)
    check_tasks(experiment)
    children = _children(experiment)
    modules = stage_modules(experiment, children[0].fold, children[0].seed)
    parts = {name: module.parts for name, module in modules.items()}
    evaluated = parts[experiment.evaluated[-1]]
    if experiment.test.readers is not None:
        read_readers(experiment.test.readers, experiment.protocol.scales, evaluated.tests)
    with claim(experiment, fingerprints(parts)) as folder:
        if folder.first:
            _log.info("%s %s", "resuming" if folder.resumed else "run folder", folder.path)
            for name in idle(experiment):
                _log.warning(_IDLE, name, name)
        if folder.first and not (folder.path / "provenance.json").is_file():
            (folder.path / "experiment.yaml").write_text(as_yaml(experiment), encoding="utf-8")
            write_json(folder.path / "provenance.json", provenance(experiment, parts))
        if folder.first and experiment.test.readers is not None:
            shutil.copyfile(experiment.test.readers, folder.path / READERS)
        with _tracked(experiment, folder.path):
            for child in children:
                _run_child(experiment, child, folder, modules if child == children[0] else None)
            if not folder.first:
                return Result(folder.path, {}, pd.DataFrame())
            return _conclude(experiment, children, folder, parts, time.monotonic() - began)


def _tracked(experiment: Experiment, folder: Path) -> AbstractContextManager[None]:
    if experiment.logger != "wandb":
        return nullcontext()
    from retinalab.runner.wandb import wandb_run

    return wandb_run(experiment, folder)


def _children(experiment: Experiment) -> list[_Child]:
    folds: list[int | None] = [None] if experiment.folds == 1 else list(range(experiment.folds))
    if experiment.fold is not None:
        folds = [experiment.fold]
    seeds = range(experiment.seed, experiment.seed + experiment.seeds)
    children = []
    for fold in folds:
        for seed in seeds:
            names = [f"fold-{fold}"] * (len(folds) > 1) + [f"seed-{seed}"] * (experiment.seeds > 1)
            children.append(_Child(fold, seed, "_".join(names)))
    return children


def _run_child(
    experiment: Experiment, child: _Child, folder: RunFolder, modules: Mapping[str, FundusDataModule] | None
) -> None:
    place = child.folder(folder.path)
    labels = {name: f"{child.name}/{name}" if child.name else name for name in experiment.stages}
    pending = [name for name, label in labels.items() if label not in folder.state()["stages"]]
    if pending and modules is None:
        modules = stage_modules(experiment, child.fold, child.seed)
    for name in pending:
        assert modules is not None
        module, label = modules[name], labels[name]
        if folder.first:
            _log.info("%s: %d train, %d val, %d test photographs", label, *_sizes(module.parts))
            place.mkdir(exist_ok=True)
            _note_split(module.parts, name, place, folder.path)
        if experiment.stages[name].kind == "make_data":
            make_stage(experiment, name, module, place, child.seed, evaluated_parts(experiment, modules))
        else:
            stage = experiment.stages[name]
            module.add(added(experiment, name, place), stage.alternate, stage.combined == "equal")
            run_stage(experiment, name, module, place, child.fold, child.seed)
        if folder.first:
            folder.done(label)


def _note_split(parts: Parts, stage: str, place: Path, top: Path) -> None:
    """Write who is in which part and who stood in two; leaks of any fold label the whole result."""
    parts.split.frame().to_csv(place / f"split-{stage}.csv", index=False)
    if len(parts.overlaps):
        parts.overlaps.to_csv(place / f"overlap-{stage}.csv", index=False)
    if parts.split.leaks:
        known = json.loads((top / "provenance.json").read_text(encoding="utf-8"))
        write_json(top / "provenance.json", with_leaks(known, stage, parts.split.leaks))


def _sizes(parts: Parts) -> tuple[int, int, int]:
    return len(parts.train), len(parts.val), sum(len(part) for part in parts.tests.values())


def _conclude(
    experiment: Experiment,
    children: list[_Child],
    folder: RunFolder,
    parts: Mapping[str, Parts],
    seconds: float,
) -> Result:
    tables: dict[str, pd.DataFrame] = {}
    for kind in get_args(TableKind):
        each = [
            joined(child.folder(folder.path) / "tables", experiment.evaluated, kind) for child in children
        ]
        found = [table for table in each if table is not None]
        if found:
            tables[kind] = pd.concat(found, ignore_index=True)
            write_table(tables[kind], folder.path / f"{kind}.parquet", kind)
    evaluated = parts[experiment.evaluated[-1]]
    metrics = summarise(experiment, tables, parts, folder.path)
    write_json(folder.path / "metrics.json", metrics)
    _close_provenance(folder.path, seconds)
    report = write_report(folder.path, pictures(evaluated))
    if experiment.logger == "wandb":
        from retinalab.runner.wandb import log_result

        log_result(metrics, tables, report, experiment.protocol.scales)
    folder.finish()
    predictions = tables.get("predictions", pd.DataFrame())
    return Result(folder.path, metrics, predictions)


def _close_provenance(folder: Path, seconds: float) -> None:
    path = folder / "provenance.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    total = known.get("seconds", 0) + seconds
    write_json(
        path,
        {
            **known,
            "seconds": round(total, 1),
            "finished": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
        },
    )
