"""What of the runs can go: checkpoints that only an interrupted training needs, and runs that never finished."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retinalab.documents import read_json
from retinalab.errors import RetinalabError
from retinalab.runs.listing import ListedRun, size_below
from retinalab.runs.locks import held_below, locked_out

__all__ = ["Removal", "half_removed", "plan", "remove"]

_RESUMED = ("last.ckpt", "step.ckpt")
_REMOVED = ".removed-"


@dataclass(frozen=True)
class Removal:
    """What goes of one run, or why nothing does.

    Attributes:
        run: whose.
        files: that go; of a run that goes whole none is named.
        whole: whether its whole folder goes.
        size: bytes that become free.
        kept: why nothing goes although something could; "" where it does.
    """

    run: ListedRun
    files: tuple[Path, ...] = ()
    whole: bool = False
    size: int = 0
    kept: str = ""


def plan(
    runs: Sequence[ListedRun], chosen: Iterable[ListedRun] = (), unfinished: bool = False
) -> list[Removal]:
    """What can go of runs; those of which nothing could are left out.

    Of a finished run the checkpoints go that training goes on from after an interruption; the best ones, which its
    figures were measured with, stay, and so does a last one that a later stage starts from. Nothing goes of a run that
    a process works on, that cannot be read, or that another takes stages over from.

    Args:
        runs: all of the output folder, among which those are that take stages over.
        chosen: the only ones that are looked at; none: all.
        unfinished: whether runs that never finished go whole.
    """
    needed: dict[Path, Path] = {source: run.path for run in runs for source in run.sources() - {run.path}}
    wanted = {run.path for run in chosen}
    found = [_removal(run, needed, unfinished) for run in runs if not wanted or run.path in wanted]
    return [one for one in found if one is not None]


def remove(removal: Removal) -> int:
    """Remove what was planned; bytes that became free, 0 where a process has begun to work on the run meanwhile.

    Raises:
        RetinalabError: the folder cannot be written.
    """
    path = removal.run.path
    if removal.kept or not (removal.whole or removal.files) or held_below(path):
        return 0
    with locked_out(path, [path / ".lock", *sorted(path.glob(".lock-*"))]) as free:
        if not free or _finished_since(removal):
            return 0
        try:
            if removal.whole:
                gone = path.with_name(f"{_REMOVED}{path.name}")  # half a run must not be taken for one
                os.replace(path, gone)
                shutil.rmtree(gone)
            for file in removal.files:
                file.unlink(missing_ok=True)
        except OSError as error:
            raise RetinalabError(
                f"Cannot remove from {path.parent}: {error.strerror or error}. Check its permissions."
            ) from error
    return removal.size


def half_removed(output: Path) -> list[Path]:
    """Folders of runs whose removal was interrupted."""
    return sorted(path for path in output.glob(f"*/*/{_REMOVED}*") if path.is_dir() and not path.is_symlink())


def _removal(run: ListedRun, needed: Mapping[Path, Path], unfinished: bool) -> Removal | None:
    whole = run.state == "unfinished" and unfinished
    files = () if whole or run.state == "unfinished" else _only_for_resuming(run)
    size = size_below(run.path) if whole else sum(file.lstat().st_size for file in files)
    if not whole and not files:
        return None
    kept = ""
    if run.state == "running":
        kept = "a process works on it"
    elif run.state == "unreadable":
        kept = "its files cannot be read"
    elif run.path in needed:
        kept = f"{needed[run.path]} takes stages over from it"
    return Removal(run, files, whole, size, kept)


def _only_for_resuming(run: ListedRun) -> tuple[Path, ...]:
    stages = run.experiment.get("stages")
    starts = [
        stage["start_from"]
        for stage in (stages.values() if isinstance(stages, Mapping) else ())
        if isinstance(stage, Mapping) and isinstance(stage.get("start_from"), Mapping)
    ]
    started = {start.get("stage") for start in starts if start.get("which") == "last"}
    found = [*run.path.glob("checkpoints/*/*.ckpt"), *run.path.glob("*/checkpoints/*/*.ckpt")]
    return tuple(
        file
        for file in sorted(found)
        if file.name in _RESUMED
        and not file.is_symlink()
        and file.with_name("best.ckpt").is_file()
        and not (file.name == "last.ckpt" and file.parent.name in started)
    )


def _finished_since(removal: Removal) -> bool:
    """Whether a run that should go whole has been finished after it was listed."""
    file = removal.run.path / "state.json"
    return removal.whole and file.is_file() and bool(read_json(file).get("finished"))
