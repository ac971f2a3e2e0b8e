"""What one process can do of an experiment while others do the rest: train a fold or seed, test it on one data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retinalab.config import Experiment
from retinalab.errors import RetinalabError, unknown
from retinalab.runner.children import Child, children_of

__all__ = ["Job", "chosen", "jobs_of", "listed", "sets_tested", "step_of_test", "steps_of", "training_of"]

_TRAIN = "train"
_TEST = "test@"


@dataclass(frozen=True)
class Job:
    """One fold and seed trained, or tested on one data set.

    An experiment that is tested on one data set has one job for each fold and seed, which trains and tests it.

    Attributes:
        child: the fold and seed.
        name: that of the child, followed where several sets are tested by ``train`` or ``test@messidor2``.
        steps: what the run's state calls its steps, all of which are done where it is.
        test: the data set that it is tested on; "" for the training.
    """

    child: Child
    name: str
    steps: tuple[str, ...]
    test: str = ""

    @property
    def words(self) -> frozenset[str]:
        """Its name's words, by any of which it can be asked for."""
        own = self.name.removeprefix(self.child.name).removeprefix("_")
        return frozenset({*self.child.name.split("_"), own} - {""})


def sets_tested(experiment: Experiment) -> dict[str, tuple[str, ...]]:
    """Evaluated stage -> data sets that it is tested on one by one; none where the experiment is tested on one set."""
    sets: dict[str, tuple[str, ...]] = {}
    for name in experiment.evaluated:
        data = experiment.stages[name].data
        sets[name] = tuple(dict.fromkeys([data.set, *data.mix.sets, *experiment.test.sets]))
    several = len({one for each in sets.values() for one in each}) > 1
    return sets if several else {}


def step_of_test(child: Child, stage: str, name: str) -> str:
    """What the run's state calls the test of a stage on a data set."""
    return f"{child.label(stage)}@{name}"


def steps_of(experiment: Experiment, child: Child, stage: str) -> tuple[str, ...]:
    """Every step of one stage: its training, and its test on each of several data sets."""
    tests = (step_of_test(child, stage, name) for name in sets_tested(experiment).get(stage, ()))
    return (child.label(stage), *tests)


def jobs_of(experiment: Experiment) -> tuple[Job, ...]:
    """Every job, fold by fold and seed by seed; the training, then each data set that is tested."""
    tested = sets_tested(experiment)
    sets = dict.fromkeys(name for each in tested.values() for name in each)
    jobs = []
    for child in children_of(experiment):
        before = f"{child.name}_" if child.name else ""
        steps = tuple(child.label(stage) for stage in experiment.stages)
        jobs.append(Job(child, f"{before}{_TRAIN}" if sets else child.name, steps))
        for name in sets:
            mine = tuple(step_of_test(child, stage, name) for stage, each in tested.items() if name in each)
            jobs.append(Job(child, f"{before}{_TEST}{name}", mine, name))
    return tuple(jobs)


def training_of(test: Job) -> str:
    """Name of the job that trains what another tests."""
    return test.name.removesuffix(f"{_TEST}{test.test}") + _TRAIN


def chosen(jobs: Sequence[Job], only: Iterable[str]) -> tuple[Job, ...]:
    """Those that are named: ``fold-3`` with its seeds and tests, ``seed-1`` in all folds, ``test@messidor2`` of all.

    Names are joined by ``_``: ``fold-3_seed-1``, ``fold-3_train``, ``fold-3_test@messidor2``.

    Args:
        jobs: of the experiment.
        only: names; none: all of them.

    Raises:
        RetinalabError: a name of none of them, or an experiment that has but one.
    """
    wanted = [(name, _words(name)) for name in only]
    if wanted and len(jobs) == 1:
        raise RetinalabError(
            f"Only {wanted[0][0]!r} was asked for, and the experiment has one fold and one seed, tested on one data "
            "set. Give it several with folds=N protocol.split=folds, seeds=N or test.sets=[A, B], or leave that out."
        )
    for name, words in wanted:
        if not any(words <= job.words for job in jobs):
            kind = "fold, seed or test set" if any(job.test for job in jobs) else "fold or seed"
            raise unknown(kind, name, _choices(jobs))
    return tuple(job for job in jobs if not wanted or any(words <= job.words for _, words in wanted))


def listed(jobs: Sequence[Job], every: Sequence[Job]) -> tuple[str, ...]:
    """Names for some of the jobs, as few as can be: that of a fold or seed where all its jobs are among them."""
    names: dict[str, None] = {}
    for job in jobs:
        siblings = [one for one in every if one.child == job.child]
        whole = bool(job.child.name) and all(one in jobs for one in siblings)
        names[job.child.name if whole else job.name] = None
    return tuple(names)


def _words(name: str) -> frozenset[str]:
    """Words of a name as the command line takes it; that of a data set, which is the last, may hold ``_``."""
    before, at, tested = name.partition(_TEST)
    words = {*before.replace("=", "-").split("_")} - {""}
    return frozenset(words | ({f"{_TEST}{tested.replace('-', '_')}"} if at else set()))


def _choices(jobs: Sequence[Job]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for job in jobs for word in sorted(job.words)))
