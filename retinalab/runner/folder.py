"""Run folders: ``<output>/<paper>/<experiment>/<id>-<number>/``, finished or resumable.

One process at a time, or one for each fold, seed and test set: on one machine, or on several that see the folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import retinalab
from retinalab.config import Experiment
from retinalab.data.files import write_file
from retinalab.errors import RetinalabError
from retinalab.experiment import experiment_id
from retinalab.runner.jobs import Job, jobs_of, listed, training_of
from retinalab.schema import check_run_schemas

__all__ = ["RunFolder", "claim", "write_json"]

_INHERITED, _MINE = "RETINALAB_RUN", "RETINALAB_RUN_JOBS"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    Attributes:
        path: where everything lies.
        resumed: whether an earlier run began it.
        first: whether this process leads; the others that Lightning started beside it write nothing.
        mine: names of the jobs that this process does; no other does them meanwhile.
    """

    path: Path
    resumed: bool
    first: bool = True
    mine: tuple[str, ...] = ("",)

    def state(self) -> dict[str, Any]:
        """What has been done so far: ``stages`` (steps of jobs) and ``finished``."""
        file = self.path / "state.json"
        state: dict[str, Any] = (
            json.loads(file.read_text()) if file.is_file() else {"stages": [], "finished": False}
        )
        return state

    def done(self, *steps: str) -> None:
        """Note steps of a job as done."""
        with self._alone():
            state = self.state()
            write_json(self.path / "state.json", {**state, "stages": sorted({*state["stages"], *steps})})

    def left(self, jobs: Sequence[Job]) -> tuple[Job, ...]:
        """Those of which some step is not done; none of a finished run."""
        state = self.state()
        known = set(state["stages"])
        return () if state["finished"] else tuple(job for job in jobs if not set(job.steps) <= known)

    def describe(self, first: Callable[[], dict[str, Any]]) -> None:
        """Write ``provenance.json`` unless it is there."""
        with self._alone():
            if not (self.path / "provenance.json").is_file():
                write_json(self.path / "provenance.json", first())

    def amend(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Replace ``provenance.json`` by what ``change`` makes of it."""
        with self._alone():
            path = self.path / "provenance.json"
            write_json(path, change(json.loads(path.read_text(encoding="utf-8"))))

    def _alone(self) -> FileLock:
        """Held while a file is read and written again, which several processes do."""
        return FileLock(self.path / ".state.lock")

    def finish(self) -> None:
        """Point ``latest`` at the run and note it as finished, in this order: what is noted is not done again."""
        latest = self.path.parent / "latest"
        temporary = latest.with_name(".latest.tmp")
        with FileLock(self.path.parent / ".claim.lock"):
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(self.path.name)
            os.replace(temporary, latest)
        write_json(
            self.path / "state.json",
            {**self.state(), "finished": True, "at": datetime.now(UTC).isoformat("T", "seconds")},
        )


@contextmanager
def claim(
    experiment: Experiment,
    data: Mapping[str, Mapping[str, str]],
    only: Sequence[Job] = (),
    gather: bool = False,
) -> Iterator[RunFolder]:
    """The folder for this experiment: the unfinished identical run on the same data, else a fresh number; locked.

    A process that Lightning started beside the first one (several GPUs) joins the first one's folder. Where bad
    input ends the run before its first checkpoint, the folder goes again.

    Args:
        experiment: what is run.
        data: stage -> data set -> fingerprint.
        only: jobs that are asked for, beside which other processes may do the others; none: all of them, and no
            second process may ask for all.
        gather: nothing will be trained; the last run of the experiment will do, finished or not.

    Raises:
        RetinalabError: another process works on it, there is nothing to gather or to test, or the output folder cannot
            be written.
    """
    inherited = os.environ.get(_INHERITED)
    if inherited and int(os.environ.get("LOCAL_RANK", "0")) > 0:
        mine = tuple(os.environ.get(_MINE, "").split(","))
        yield RunFolder(Path(inherited), resumed=True, first=False, mine=mine)
        return
    jobs = jobs_of(experiment)
    parent = experiment.output / experiment.paper / experiment.name
    with ExitStack() as locks:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with FileLock(parent / ".claim.lock"):
                folder = _choose(parent, experiment_id(experiment), data, only, gather)
                if gather:
                    _check_complete(folder, jobs)
                try:
                    folder = _locked(folder, jobs, only, locks)
                except RetinalabError:
                    if not folder.resumed:
                        shutil.rmtree(folder.path, ignore_errors=True)
                    raise
                if folder.resumed and not _others(folder, jobs):
                    _sweep(folder.path)
        except OSError as error:
            raise RetinalabError(
                f"Cannot write to {parent}: {error.strerror or error}. Name another folder with output=PATH."
            ) from error
        os.environ[_INHERITED] = str(folder.path.resolve())
        os.environ[_MINE] = ",".join(folder.mine)
        try:
            yield folder
        except RetinalabError:
            with FileLock(parent / ".claim.lock"):
                if not any(folder.path.rglob("*.ckpt")) and not _others(folder, jobs):
                    shutil.rmtree(folder.path, ignore_errors=True)  # refused before anything was learned
            raise
        finally:
            os.environ.pop(_INHERITED, None)
            os.environ.pop(_MINE, None)


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name, then rename."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n"
    write_file(path, text.encode("utf-8"))


def _choose(
    parent: Path, key: str, data: Mapping[str, Mapping[str, str]], only: Sequence[Job], gather: bool
) -> RunFolder:
    names = [path.name.removeprefix(f"{key}-") for path in parent.glob(f"{key}-*") if path.is_dir()]
    last = max((int(name) for name in names if name.isdecimal()), default=0)
    path = parent / f"{key}-{last}"
    if gather:
        if not last:
            raise RetinalabError(
                f"Nothing to gather: {parent} holds no run of this experiment. Train its folds and seeds first, each "
                "with --only NAME, or leave out --gather."
            )
        if not _same_data(path, data):
            raise RetinalabError(
                f"{path} was trained on other photographs or labels than those given. Give the same, or leave out "
                "--gather to train anew."
            )
        return RunFolder(path, True)
    if last and not RunFolder(path, True).state()["finished"] and _same_data(path, data):
        return RunFolder(path, True)
    if only and all(job.test for job in only):
        raise RetinalabError(
            f"Nothing to test: {parent} holds no unfinished run of this experiment that is trained. Train it first "
            f"with --only {training_of(only[0])}, or leave out --only to train and test it."
        )
    fresh = parent / f"{key}-{last + 1}"
    fresh.mkdir()
    return RunFolder(fresh, False)


def _check_complete(folder: RunFolder, jobs: Sequence[Job]) -> None:
    left = listed(folder.left(jobs), jobs)
    if left and len(jobs) > 1:
        raise RetinalabError(
            f"{folder.path} cannot be gathered yet: {', '.join(left)} {'is' if len(left) == 1 else 'are'} not "
            f"{'done' if jobs[-1].test else 'trained'}. {'Do' if jobs[-1].test else 'Train'} each with --only NAME "
            f"(--only {left[0]}), or all of them here without --gather."
        )
    if left:
        raise RetinalabError(f"{folder.path} is not trained to its end. Go on with it without --gather.")


def _locked(folder: RunFolder, jobs: Sequence[Job], only: Sequence[Job], locks: ExitStack) -> RunFolder:
    """The folder with those jobs that are left, can be done and are done by no other process."""
    busy = f"Another process works on {folder.path}"
    if not only and not _held(folder.path / ".lock", locks):
        remedy = "Wait for it, or change the experiment (a seed, say: seed=1)"
        shared = "; folds, seeds and test sets are shared among processes with --only NAME" * (len(jobs) > 1)
        raise RetinalabError(f"{busy}. {remedy}{shared}.")
    if len(jobs) == 1:
        return folder
    left = folder.left(only or jobs)
    mine = [job for job in left if not job.test and _held(_lock_of(folder.path, job.name), locks)]
    training = {job.child for job in folder.left(jobs) if not job.test and job not in mine}
    waits = [job for job in left if job.test and job.child in training]
    tests = [job for job in left if job.test and job not in waits]
    mine += [job for job in tests if _held(_lock_of(folder.path, job.name), locks)]
    taken = [job for job in left if job not in mine and job not in waits]
    if taken and (only or not mine):
        raise RetinalabError(
            f"{busy}, on {', '.join(listed(taken, jobs))}. Wait for it, or do another part with --only NAME."
        )
    if waits and only:
        raise RetinalabError(_untrained(folder.path, waits))
    return replace(folder, mine=tuple(job.name for job in mine))


def _untrained(path: Path, waits: Sequence[Job]) -> str:
    """Why tests cannot be done yet, and how they can."""
    names = tuple(dict.fromkeys(training_of(job) for job in waits))
    which = ", ".join(dict.fromkeys(job.child.name for job in waits if job.child.name)) or "the network"
    return (
        f"{', '.join(job.name for job in waits)} cannot be tested yet: {which} {'are' if ', ' in which else 'is'} not "
        f"trained in {path}. Train first: {' '.join(f'--only {name}' for name in names)}."
    )


def _lock_of(path: Path, name: str) -> Path:
    return path / f".lock-{name}"


def _held(path: Path, locks: ExitStack) -> bool:
    """Take a lock until the stack is closed, if no process holds it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    locks.callback(lock.release)
    return True


def _others(folder: RunFolder, jobs: Sequence[Job]) -> bool:
    """Whether another process does a job in the folder."""
    names = [one.name for one in jobs if one.name and one.name not in folder.mine]
    with ExitStack() as probe:
        return not all(_held(_lock_of(folder.path, name), probe) for name in names)


def _sweep(path: Path) -> None:
    """Remove what killed processes left half written; only where no process works on the run."""
    for file in path.rglob("*.tmp"):
        file.unlink(missing_ok=True)


def _same_data(path: Path, data: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a run had these photographs and labels before it; one that had not come so far may have them."""
    file = path / "provenance.json"
    if not file.is_file():
        return True
    known = json.loads(file.read_text(encoding="utf-8"))
    check_run_schemas(known, file, retinalab.__version__)
    seen = known["data"]
    return {
        stage: {name: part["fingerprint"] for name, part in sets.items()} for stage, sets in seen.items()
    } == data
