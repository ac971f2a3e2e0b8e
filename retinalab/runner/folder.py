"""Run folders: ``<output>/<paper>/<experiment>/<id>-<number>/``, one process at a time, finished or resumable."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import experiment_id

__all__ = ["RunFolder", "claim", "write_json"]

_INHERITED = "RETINALAB_RUN"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    Attributes:
        path: where everything lies.
        resumed: whether an earlier run began it.
        first: whether this process leads; the others that Lightning started beside it write nothing.
    """

    path: Path
    resumed: bool
    first: bool = True

    def state(self) -> dict[str, Any]:
        """What has been done so far: ``stages`` (child/stage names done) and ``finished``."""
        file = self.path / "state.json"
        state: dict[str, Any] = (
            json.loads(file.read_text()) if file.is_file() else {"stages": [], "finished": False}
        )
        return state

    def done(self, what: str) -> None:
        """Note a stage of a child as done."""
        state = self.state()
        write_json(self.path / "state.json", {**state, "stages": sorted({*state["stages"], what})})

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
def claim(experiment: Experiment, data: Mapping[str, Mapping[str, str]]) -> Iterator[RunFolder]:
    """The folder for this experiment: the unfinished identical run on the same data, else a fresh number; locked.

    A process that Lightning started beside the first one (several GPUs) joins the first one's folder. Where bad
    input ends the run before its first checkpoint, the folder goes again.

    Args:
        experiment: what is run.
        data: stage -> data set -> fingerprint.

    Raises:
        RetinalabError: another process works on it, or the output folder cannot be written.
    """
    inherited = os.environ.get(_INHERITED)
    if inherited and int(os.environ.get("LOCAL_RANK", "0")) > 0:
        yield RunFolder(Path(inherited), resumed=True, first=False)
        return
    parent = experiment.output / experiment.paper / experiment.name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / ".claim.lock"):
            folder, lock = _choose(parent, experiment_id(experiment), data)
    except OSError as error:
        raise RetinalabError(
            f"Cannot write to {parent}: {error.strerror or error}. Name another folder with output=PATH."
        ) from error
    os.environ[_INHERITED] = str(folder.path.resolve())
    try:
        yield folder
    except RetinalabError:
        if not any(folder.path.rglob("*.ckpt")):  # refused before anything was learned
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    finally:
        os.environ.pop(_INHERITED, None)
        lock.release()


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(
        json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8"
    )
    os.replace(temporary, path)


def _choose(parent: Path, key: str, data: Mapping[str, Mapping[str, str]]) -> tuple[RunFolder, FileLock]:
    names = [path.name.removeprefix(f"{key}-") for path in parent.glob(f"{key}-*") if path.is_dir()]
    last = max((int(name) for name in names if name.isdecimal()), default=0)
    if last and _unfinished(parent / f"{key}-{last}", data):
        path, resumed = parent / f"{key}-{last}", True
    else:
        path, resumed = parent / f"{key}-{last + 1}", False
        path.mkdir()
    lock = FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RetinalabError(
            f"Another process works on {path}. Wait for it, or change the experiment (a seed, say: seed=1)."
        ) from None
    return RunFolder(path, resumed), lock


def _unfinished(path: Path, data: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a run was broken off that had these photographs and labels before it."""
    file = path / "provenance.json"
    if RunFolder(path, True).state()["finished"]:
        return False
    if not file.is_file():
        return True
    seen = json.loads(file.read_text(encoding="utf-8"))["data"]
    return {
        stage: {name: part["fingerprint"] for name, part in sets.items()} for stage, sets in seen.items()
    } == data
