"""Run an experiment: every fold and seed, every stage, one evaluation, one report."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from retinalab.config import Experiment
from retinalab.data.module import FundusDataModule
from retinalab.data.parts import Parts
from retinalab.errors import RetinalabError
from retinalab.experiment import as_yaml
from retinalab.metrics.tables import TableKind, write_table
from retinalab.report import write_report
from retinalab.report.readers import READERS, read_readers
from retinalab.runner.check import check_lists, check_tasks, idle
from retinalab.runner.children import Child, children_of, chosen
from retinalab.runner.claim import check_alike, claim_together
from retinalab.runner.folder import RunFolder, write_json
from retinalab.runner.gather import joined, summarise
from retinalab.runner.make import added, make_stage
from retinalab.runner.modules import evaluated_parts, stage_modules
from retinalab.runner.pictures import pictures
from retinalab.runner.processes import agreed, everywhere, together
from retinalab.runner.provenance import concluded, fingerprints, provenance, with_leaks, with_training
from retinalab.runner.reuse import Source, read_sources, take_over, with_reused
from retinalab.runner.saliency import keep_saliency
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
        left: folds and seeds that are still to be trained before the result can be gathered.
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
        only: folds and seeds to train (``fold-3``, ``seed-1``, ``fold-3_seed-1``), while others are trained elsewhere:
            they lie where the whole run looks for them, and nothing is gathered. None: all that are left, then the
            result.
        gather: train nothing; make the result of what is trained.
        reuse: folders of runs whose equal stages are taken over (:mod:`retinalab.runner.reuse`).

    Raises:
        RetinalabError: anything wrong with the data, the folder or the tasks' options; folds or seeds that another
            process is training.
    """
    first = next(iter(experiment.stages))
    with together(experiment.stages[first].trainer, first):
        return _run(experiment, only, gather, reuse)


def _run(experiment: Experiment, only: Sequence[str], gather: bool, reuse: Sequence[Path]) -> Result:
    began = time.monotonic()
    children = children_of(experiment)
    wanted = chosen(children, only) if only else ()
    sources, modules = everywhere(lambda: _checked(experiment, children[0], only, gather, reuse))
    parts = {name: module.parts for name, module in modules.items()}
    check_alike(parts)
    with claim_together(experiment, fingerprints(parts), children, wanted, gather) as folder:
        if folder.first:
            _begin(experiment, folder, parts, gather)
        with _tracked(experiment, folder, bool(only)):
            for child in children:
                if child.name in folder.mine and not gather:
                    own = modules if child == children[0] else None
                    _run_child(experiment, child, folder, own, sources)
            if not folder.first:
                return Result(folder.path, {}, pd.DataFrame(), first=False)
            left = folder.left(children, tuple(experiment.stages))
            if not only and not left:
                return _conclude(experiment, children, folder, parts, time.monotonic() - began)
        folder.amend(
            lambda known: {**known, "seconds": round(known.get("seconds", 0) + time.monotonic() - began, 1)}
        )
        if not only:
            raise RetinalabError(
                f"{folder.path} lacks {', '.join(left)}, on which another process works. Gather the result when it is "
                "done: the same command with --gather."
            )
        return Result(folder.path, {}, pd.DataFrame(), left)


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
            "--only trains single folds and seeds, --gather trains none. Give one of the two."
        )
    if experiment.logger == "wandb":
        from retinalab.runner.wandb import require_wandb

        require_wandb()


def _begin(experiment: Experiment, folder: RunFolder, parts: Mapping[str, Parts], gather: bool) -> None:
    """Say where the run lies, and write what is known before training."""
    doing = "gathering" if gather else "resuming" if folder.resumed else "run folder"
    _log.info("%s %s", doing, folder.path)
    for name in idle(experiment):
        _log.warning(_IDLE, name, name)
    if not (folder.path / "provenance.json").is_file():
        (folder.path / "experiment.yaml").write_text(as_yaml(experiment), encoding="utf-8")
        folder.describe(lambda: provenance(experiment, dict(parts)))
    if experiment.test.readers is not None:
        shutil.copyfile(experiment.test.readers, folder.path / READERS)


def _tracked(experiment: Experiment, folder: RunFolder, only: bool) -> AbstractContextManager[None]:
    if experiment.logger != "wandb":
        return nullcontext()
    from retinalab.runner.wandb import wandb_run

    return wandb_run(experiment, folder.path, folder.mine if only else ())


def _run_child(
    experiment: Experiment,
    child: Child,
    folder: RunFolder,
    modules: Mapping[str, FundusDataModule] | None,
    sources: Sequence[Source],
) -> None:
    place = child.folder(folder.path)
    known = folder.state()["stages"]
    pending = [name for name in experiment.stages if child.label(name) not in known]
    if pending and folder.first:
        folder.amend(lambda known: with_training(known, child.name))
    if pending and modules is None:
        modules = everywhere(lambda: stage_modules(experiment, child.fold, child.seed))
    for name in pending:
        assert modules is not None
        module, label = modules[name], child.label(name)
        if agreed(partial(_begin_stage, experiment, child, folder, name, module.parts, sources))[0]:
            continue
        if experiment.stages[name].kind == "make_data":
            make_stage(experiment, name, module, place, child.seed, evaluated_parts(experiment, modules))
        else:
            stage = experiment.stages[name]
            module.add(added(experiment, name, place), stage.alternate, stage.combined == "equal")
            run_stage(experiment, name, module, place, child.fold, child.seed)
        if folder.first:
            folder.done(label)


def _begin_stage(
    experiment: Experiment,
    child: Child,
    folder: RunFolder,
    name: str,
    parts: Parts,
    sources: Sequence[Source],
) -> bool:
    """Note what a stage begins with; whether it need not be trained, since another run's was taken over."""
    if not folder.first:
        return False
    _log.info("%s: %d train, %d val, %d test photographs", child.label(name), *_sizes(parts))
    place = child.folder(folder.path)
    place.mkdir(exist_ok=True)
    _note_split(parts, name, place, folder)
    return _taken_over(experiment, child, folder, name, parts, sources)


def _taken_over(
    experiment: Experiment,
    child: Child,
    folder: RunFolder,
    name: str,
    parts: Parts,
    sources: Sequence[Source],
) -> bool:
    """Whether another run's stage could be taken in the place of this one; then it is done, and said so."""
    data, split = fingerprints({name: parts})[name], parts.split.frame()
    found = take_over(sources, experiment, child, name, child.folder(folder.path), data, split)
    if found is not None:
        folder.amend(lambda known: with_reused(known, child.label(name), found))
        folder.done(child.label(name))
    return found is not None


def _note_split(parts: Parts, stage: str, place: Path, folder: RunFolder) -> None:
    """Write who is in which part and who stood in two; leaks of any fold label the whole result."""
    parts.split.frame().to_csv(place / f"split-{stage}.csv", index=False)
    if len(parts.overlaps):
        parts.overlaps.to_csv(place / f"overlap-{stage}.csv", index=False)
    if parts.split.leaks:
        folder.amend(lambda known: with_leaks(known, stage, parts.split.leaks))


def _sizes(parts: Parts) -> tuple[int, int, int]:
    return len(parts.train), len(parts.val), sum(len(part) for part in parts.tests.values())


def _conclude(
    experiment: Experiment,
    children: Sequence[Child],
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
    keep_saliency(experiment, children, folder.path, parts, tables.get("maps"))
    folder.amend(lambda known: concluded(known, seconds))
    report = write_report(folder.path, pictures(evaluated))
    if experiment.logger == "wandb":
        from retinalab.runner.wandb import log_result

        log_result(metrics, tables, report, experiment.protocol.scales)
    folder.finish()
    predictions = tables.get("predictions", pd.DataFrame())
    return Result(folder.path, metrics, predictions)
