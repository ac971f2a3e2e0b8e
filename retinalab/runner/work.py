"""Do the jobs of one fold and seed: its stages trained, made or taken over, then each test set predicted."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from retinalab.config import Experiment, StartFrom
from retinalab.data.module import FundusDataModule
from retinalab.data.parts import Part, Parts
from retinalab.runner.batch_size import with_fitting_batch
from retinalab.runner.children import Child
from retinalab.runner.evaluation import VALIDATION
from retinalab.runner.folder import RunFolder
from retinalab.runner.jobs import Job, sets_tested, step_of_test, steps_of
from retinalab.runner.learned import met, with_origin
from retinalab.runner.make import added, make_stage
from retinalab.runner.modules import evaluated_parts, stage_modules
from retinalab.runner.origin import find_origin
from retinalab.runner.processes import agreed, everywhere
from retinalab.runner.provenance import fingerprints, with_leaks, with_share
from retinalab.runner.reuse import Source, take_over, with_reused
from retinalab.runner.stage import predict_set, run_stage

__all__ = ["do_jobs"]

_log = logging.getLogger(__name__)


def do_jobs(
    experiment: Experiment,
    jobs: Sequence[Job],
    folder: RunFolder,
    modules: Mapping[str, FundusDataModule] | None,
    sources: Sequence[Source],
) -> None:
    """Do what is left of jobs of one fold and seed, each step noted in the run's state as soon as it is done.

    Args:
        experiment: what is run.
        jobs: of one fold and seed, the training before the tests.
        folder: of the run.
        modules: stage -> its photographs; None: they are read where something is left.
        sources: runs whose equal stages are taken over.
    """
    for job in jobs:
        known = folder.state()["stages"]
        if all(step in known for step in job.steps):
            continue
        if modules is None:
            modules = everywhere(partial(stage_modules, experiment, job.child.fold, job.child.seed))
        if folder.first:
            folder.amend(partial(with_share, job=job.name if job.test else job.child.name))
        if job.test:
            _test(experiment, job, folder, modules, known)
        else:
            _train(experiment, job.child, folder, modules, known, sources)


def _train(
    experiment: Experiment,
    child: Child,
    folder: RunFolder,
    modules: Mapping[str, FundusDataModule],
    known: Sequence[str],
    sources: Sequence[Source],
) -> None:
    place = child.folder(folder.path)
    apart = sets_tested(experiment)
    for name in [one for one in experiment.stages if child.label(one) not in known]:
        module, stage = modules[name], experiment.stages[name]
        if agreed(partial(_begin_stage, experiment, child, folder, name, module.parts, sources))[0]:
            continue
        if folder.first and stage.start_from is not None and stage.start_from.run is not None:
            _note_origin(stage.start_from, child.label(name), folder, evaluated_parts(experiment, modules))
        if stage.kind == "make_data":
            make_stage(experiment, name, module, place, child.seed, evaluated_parts(experiment, modules))
        else:
            module.add(added(experiment, name, place), stage.alternate, stage.combined == "equal")
            only = VALIDATION if name in apart else None
            fitting = with_fitting_batch(experiment, name, module, folder)
            run_stage(fitting, name, module, place, child.fold, child.seed, only)
        if folder.first:
            folder.done(child.label(name))


def _test(
    experiment: Experiment,
    job: Job,
    folder: RunFolder,
    modules: Mapping[str, FundusDataModule],
    known: Sequence[str],
) -> None:
    """Test each evaluated stage that is tested on the job's data set."""
    for stage in experiment.evaluated:
        step = step_of_test(job.child, stage, job.test)
        if step in job.steps and step not in known:
            if folder.first:
                _log.info("%s: %d photographs", step, len(modules[stage].parts.tests[job.test]))
            place = job.child.folder(folder.path)
            fitting = with_fitting_batch(experiment, stage, modules[stage], folder, begins=False)
            predict_set(fitting, stage, modules[stage], place, job.child.fold, job.child.seed, job.test)
            if folder.first:
                folder.done(step)


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
        folder.done(*steps_of(experiment, child, name))
    return found is not None


def _note_split(parts: Parts, stage: str, place: Path, folder: RunFolder) -> None:
    """Write who is in which part and who stood in two; leaks of any fold label the whole result."""
    parts.split.frame().to_csv(place / f"split-{stage}.csv", index=False)
    if len(parts.overlaps):
        parts.overlaps.to_csv(place / f"overlap-{stage}.csv", index=False)
    if parts.split.leaks:
        folder.amend(lambda known: with_leaks(known, stage, parts.split.leaks))


def _note_origin(start: StartFrom, label: str, folder: RunFolder, tests: Mapping[str, Part]) -> None:
    """Write whose weights a stage begins with; what of the test part that network has learned from is a warning."""
    origin = find_origin(start)
    found = met(origin, tests)
    folder.amend(lambda known: with_origin(known, label, start, found, origin))
    if not origin.finished:
        _log.warning("%s: %s has not finished, and may come to another checkpoint", label, origin.place)
    if found.photographs:
        _log.warning("%s: leaky: of %s, %s", label, origin.place, found)
    else:
        _log.info("%s: of %s, %s", label, origin.place, found)


def _sizes(parts: Parts) -> tuple[int, int, int]:
    return len(parts.train), len(parts.val), sum(len(part) for part in parts.tests.values())
