"""Run folders: ``<output>/<paper>/<experiment>/<id>-<number>/``, finished or resumable.

One process at a time, or one for each fold and seed: on one machine, or on several that see the folder.
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

from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import experiment_id
from retinalab.runner.children import Child

__all__ = ["RunFolder", "claim", "write_json"]

_INHERITED, _MINE = "RETINALAB_RUN", "RETINALAB_RUN_CHILDREN"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    Attributes:
        path: where everything lies.
        resumed: whether an earlier run began it.
        first: whether this process leads; the others that Lightning started beside it write nothing.
        mine: names of the folds and seeds that this process trains; no other does meanwhile.
    """

    path: Path
    resumed: bool
    first: bool = True
    mine: tuple[str, ...] = ("",)

    def state(self) -> dict[str, Any]:
        """What has been done so far: ``stages`` (child/stage names done) and ``finished``."""
        file = self.path / "state.json"
        state: dict[str, Any] = (
            json.loads(file.read_text()) if file.is_file() else {"stages": [], "finished": False}
        )
        return state

    def done(self, what: str) -> None:
        """Note a stage of a child as done."""
        with self._alone():
            state = self.state()
            write_json(self.path / "state.json", {**state, "stages": sorted({*state["stages"], what})})

    def left(self, children: Sequence[Child], stages: Sequence[str]) -> tuple[str, ...]:
        """Names of the folds and seeds of which some stage is not done."""
        known = set(self.state()["stages"])
        return tuple(one.name for one in children if not {one.label(stage) for stage in stages} <= known)

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
        """Note the run as finished and point ``latest`` at it."""
        write_json(
            self.path / "state.json",
            {**self.state(), "finished": True, "at": datetime.now(UTC).isoformat("T", "seconds")},
        )
        latest = self.path.parent / "latest"
        temporary = latest.with_name(f".latest.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self.path.name)
        os.replace(temporary, latest)


@contextmanager
def claim(
    experiment: Experiment,
    data: Mapping[str, Mapping[str, str]],
    children: Sequence[Child] = (Child(None, 0, ""),),
    only: Sequence[Child] = (),
    gather: bool = False,
) -> Iterator[RunFolder]:
    """The folder for this experiment: the unfinished identical run on the same data, else a fresh number; locked.

    A process that Lightning started beside the first one (several GPUs) joins the first one's folder. Where bad
    input ends the run before its first checkpoint, the folder goes again.

    Args:
        experiment: what is run.
        data: stage -> data set -> fingerprint.
        children: every fold and seed.
        only: those that are asked for, beside which other processes may train the others; none: all of them, and no
            second process may ask for all.
        gather: nothing will be trained; the last run of the experiment will do, finished or not.

    Raises:
        RetinalabError: another process works on it, there is nothing to gather, or the output folder cannot be written.
    """
    inherited = os.environ.get(_INHERITED)
    if inherited and int(os.environ.get("LOCAL_RANK", "0")) > 0:
        mine = tuple(os.environ.get(_MINE, "").split(","))
        yield RunFolder(Path(inherited), resumed=True, first=False, mine=mine)
        return
    parent = experiment.output / experiment.paper / experiment.name
    with ExitStack() as locks:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with FileLock(parent / ".claim.lock"):
                folder = _choose(parent, experiment_id(experiment), data, gather)
                if gather:
                    _check_complete(folder, children, tuple(experiment.stages))
                folder = _locked(folder, experiment, children, only, locks)
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
                if not any(folder.path.rglob("*.ckpt")) and not _others(folder, children):
                    shutil.rmtree(folder.path, ignore_errors=True)  # refused before anything was learned
            raise
        finally:
            os.environ.pop(_INHERITED, None)
            os.environ.pop(_MINE, None)


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(
        json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8"
    )
    os.replace(temporary, path)


def _choose(parent: Path, key: str, data: Mapping[str, Mapping[str, str]], gather: bool) -> RunFolder:
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
    fresh = parent / f"{key}-{last + 1}"
    fresh.mkdir()
    return RunFolder(fresh, False)


def _check_complete(folder: RunFolder, children: Sequence[Child], stages: Sequence[str]) -> None:
    left = folder.left(children, stages)
    if left and len(children) > 1:
        raise RetinalabError(
            f"{folder.path} cannot be gathered yet: {', '.join(left)} {'is' if len(left) == 1 else 'are'} not trained. "
            f"Train each with --only NAME (--only {left[0]}), or all of them here without --gather."
        )
    if left:
        raise RetinalabError(f"{folder.path} is not trained to its end. Go on with it without --gather.")


def _locked(
    folder: RunFolder,
    experiment: Experiment,
    children: Sequence[Child],
    only: Sequence[Child],
    locks: ExitStack,
) -> RunFolder:
    """The folder with those folds and seeds that are left to train and that no other process holds."""
    busy = f"Another process works on {folder.path}"
    if not only and not _held(folder.path / ".lock", locks):
        remedy = "Wait for it, or change the experiment (a seed, say: seed=1)"
        shared = "; folds and seeds are shared among processes with --only NAME" if len(children) > 1 else ""
        raise RetinalabError(f"{busy}. {remedy}{shared}.")
    if len(children) == 1:
        return folder
    left = folder.left(only or children, tuple(experiment.stages))
    mine = tuple(name for name in left if _held(_lock_of(folder.path, name), locks))
    taken = [name for name in left if name not in mine]
    if taken and (only or not mine):
        raise RetinalabError(
            f"{busy}, on {', '.join(taken)}. Wait for it, or train another fold or seed with --only NAME."
        )
    return replace(folder, mine=mine)


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


def _others(folder: RunFolder, children: Sequence[Child]) -> bool:
    """Whether another process trains a fold or seed in the folder."""
    names = [one.name for one in children if one.name and one.name not in folder.mine]
    with ExitStack() as probe:
        return not all(_held(_lock_of(folder.path, name), probe) for name in names)


def _same_data(path: Path, data: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a run had these photographs and labels before it; one that had not come so far may have them."""
    file = path / "provenance.json"
    if not file.is_file():
        return True
    seen = json.loads(file.read_text(encoding="utf-8"))["data"]
    return {
        stage: {name: part["fingerprint"] for name, part in sets.items()} for stage, sets in seen.items()
    } == data
