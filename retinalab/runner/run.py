"""Run an experiment: every fold and seed, every stage, one evaluation, one report."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pandas as pd

import retinalab
from retinalab.config import Experiment
from retinalab.data.enlarged import ENLARGED
from retinalab.data.module import FundusDataModule
from retinalab.data.parts import Parts
from retinalab.errors import RetinalabError
from retinalab.experiment import as_yaml
from retinalab.metrics.tables import TableKind, write_table
from retinalab.report import write_report
from retinalab.report.readers import READERS, read_readers
from retinalab.runner.check import check_lists, check_tasks, idle
from retinalab.runner.children import Child, children_of
from retinalab.runner.claim import check_alike, claim_together
from retinalab.runner.evaluation import join_tables
from retinalab.runner.folder import RunFolder, write_json
from retinalab.runner.gather import joined, summarise
from retinalab.runner.jobs import chosen, jobs_of, listed, sets_tested
from retinalab.runner.modules import stage_modules
from retinalab.runner.origin import settled
from retinalab.runner.pictures import pictures
from retinalab.runner.processes import everywhere, together
from retinalab.runner.provenance import concluded, fingerprints, provenance
from retinalab.runner.reuse import Source, read_sources
from retinalab.runner.saliency import keep_saliency
from retinalab.runner.trainer import require_tensorboard
from retinalab.runner.work import do_jobs
from retinalab.schema import with_schema

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
        left: folds, seeds and tests that are still to be done before the result can be gathered.
        first: whether this process leads; the others that Lightning started beside it know no figures.
    """

    folder: Path
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame
    left: tuple[str, ...] = ()
    first: bool = True


def run(
    experiment: Experiment, only: Sequence[str] = (), gather: bool = False, reuse: Sequence[Path] = ()
) -> Result:
    """Run an experiment, or go on with an unfinished identical run.

    Every stage's network is built and its photographs are read, split and prepared before the run folder is made, so
    that bad input leaves nothing behind. Processes that another program started (torchrun, srun) share the work; the
    first writes.

    Args:
        experiment: what is run.
        only: what to do while others do the rest (:mod:`retinalab.runner.jobs`): folds and seeds (``fold-3``,
            ``seed-1``, ``fold-3_seed-1``), and where several sets are tested the training alone (``fold-3_train``)
            or a test (``test@messidor2``, ``fold-3_test@messidor2``). It lies where the whole run looks for it, and
            nothing is gathered. None: all that is left, then the result.
        gather: train and test nothing; make the result of what is done.
        reuse: folders of runs whose equal stages are taken over (:mod:`retinalab.runner.reuse`).

    Raises:
        RetinalabError: anything wrong with the data, the folder or the tasks' options; a test of what is not trained;
            what another process is doing.
    """
    first = next(iter(experiment.stages))
    experiment = settled(experiment)
    with together(experiment.stages[first].trainer, first):
        return _run(experiment, only, gather, reuse)


def _run(experiment: Experiment, only: Sequence[str], gather: bool, reuse: Sequence[Path]) -> Result:
    began = time.monotonic()
    children, jobs = children_of(experiment), jobs_of(experiment)
    wanted = chosen(jobs, only) if only else ()
    sources, modules = everywhere(lambda: _checked(experiment, children[0], only, gather, reuse))
    parts = {name: module.parts for name, module in modules.items()}
    check_alike(parts)
    with claim_together(experiment, fingerprints(parts), wanted, gather) as folder:
        if folder.first:
            started = datetime.now(UTC) - timedelta(seconds=time.monotonic() - began)
            _begin(experiment, folder, parts, gather, started)
        with _tracked(experiment, folder, bool(only)):
            for child in () if gather else children:
                mine = [job for job in jobs if job.child == child and job.name in folder.mine]
                do_jobs(experiment, mine, folder, modules if child == children[0] else None, sources)
                began = _counted(folder, began) if mine else began
            if not folder.first:
                return Result(folder.path, {}, pd.DataFrame(), first=False)
            left = listed(folder.left(jobs), jobs)
            if not only and not left:
                return _conclude(experiment, children, folder, parts, time.monotonic() - began)
        _counted(folder, began)
        if not only:
            raise RetinalabError(
                f"{folder.path} lacks {', '.join(left)}, on which another process works. Gather the result when it is "
                "done: the same command, which does first what may be left."
            )
        return Result(folder.path, {}, pd.DataFrame(), left)


def _counted(folder: RunFolder, began: float) -> float:
    """Add the seconds since ``began`` to the run's: a kill loses those of one fold or seed. Returns the time now."""
    now = time.monotonic()
    if folder.first:
        folder.amend(lambda known: {**known, "seconds": round(known.get("seconds", 0) + now - began, 1)})
    return now


def _checked(
    experiment: Experiment, child: Child, only: Sequence[str], gather: bool, reuse: Sequence[Path]
) -> tuple[list[Source], dict[str, FundusDataModule]]:
    """The runs to take stages from, and the photographs of every stage; what would fail later is refused."""
    _check_asked(experiment, only, gather)
    sources = read_sources(reuse)
    check_lists(experiment)
    if not gather:
        check_tasks(experiment)
    modules = stage_modules(experiment, child.fold, child.seed)
    if experiment.test.readers is not None:
        evaluated = modules[experiment.evaluated[-1]].parts
        read_readers(experiment.test.readers, experiment.protocol.scales, evaluated.tests)
    return sources, modules


def _check_asked(experiment: Experiment, only: Sequence[str], gather: bool) -> None:
    if only and gather:
        raise RetinalabError(
            "--only does single folds, seeds or tests, --gather does none. Give one of the two."
        )
    if experiment.logger == "tensorboard":
        require_tensorboard()
    if experiment.logger == "wandb":
        from retinalab.runner.wandb import require_wandb

        require_wandb()


def _begin(
    experiment: Experiment, folder: RunFolder, parts: Mapping[str, Parts], gather: bool, started: datetime
) -> None:
    """Say where the run lies, and write what is known before training."""
    doing = "gathering" if gather else "resuming" if folder.resumed else "run folder"
    _log.info("%s %s", doing, folder.path)
    for name in idle(experiment):
        _log.warning(_IDLE, name, name)
    for note in dict.fromkeys(note for found in parts.values() for note in found.notes if ENLARGED in note):
        _log.warning("%s", note)
    if not (folder.path / "provenance.json").is_file():
        (folder.path / "experiment.yaml").write_text(as_yaml(experiment), encoding="utf-8")
        folder.describe(lambda: provenance(experiment, dict(parts), started))
    elif folder.resumed and not gather:
        folder.amend(lambda known: {**known, "resumed": known.get("resumed", 0) + 1})
    if experiment.test.readers is not None:
        shutil.copyfile(experiment.test.readers, folder.path / READERS)


def _tracked(experiment: Experiment, folder: RunFolder, only: bool) -> AbstractContextManager[None]:
    if experiment.logger != "wandb":
        return nullcontext()
    from retinalab.runner.wandb import wandb_run

    return wandb_run(experiment, folder.path, folder.mine if only else ())


def _conclude(
    experiment: Experiment,
    children: Sequence[Child],
    folder: RunFolder,
    parts: Mapping[str, Parts],
    seconds: float,
) -> Result:
    for stage, sets in sets_tested(experiment).items():
        for child in children:
            join_tables(child.folder(folder.path) / "tables" / stage, sets)
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
    write_json(folder.path / "metrics.json", with_schema(metrics, retinalab.__version__))
    keep_saliency(experiment, children, folder.path, parts, tables.get("maps"))
    folder.amend(lambda known: concluded(known, seconds))
    report = write_report(folder.path, pictures(evaluated))
    if experiment.logger == "wandb":
        from retinalab.runner.wandb import log_result

        log_result(metrics, tables, report, experiment.protocol.scales)
    folder.finish()
    predictions = tables.get("predictions", pd.DataFrame())
    return Result(folder.path, metrics, predictions)
