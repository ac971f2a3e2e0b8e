"""Another run whose weights a stage begins with: where they lie, and which they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

import retinalab
from retinalab.config import Experiment, StartFrom
from retinalab.documents import read_json, read_yaml
from retinalab.errors import RetinalabError, unknown
from retinalab.experiment import resolve
from retinalab.runner.children import children_of
from retinalab.schema import check_run_schemas
from retinalab.tasks.stored import read_stored

__all__ = ["Origin", "find_origin", "read_origin", "settled"]

_CHUNK = 1 << 22


@dataclass(frozen=True)
class Origin:
    """One trained network of another run.

    Attributes:
        run: the run's own folder, no link.
        child: the fold and seed, "" where it has neither.
        stage: name of the stage there.
        checkpoint: the file.
        experiment: what that run computes.
        provenance: under which circumstances it did.
    """

    run: Path
    child: str
    stage: str
    checkpoint: Path
    experiment: Experiment
    provenance: Mapping[str, Any]

    @property
    def place(self) -> Path:
        """Folder of the fold and seed."""
        return self.run / self.child

    @property
    def finished(self) -> bool:
        """Whether the run came to its end, so that its best checkpoint stays what it is."""
        return "finished" in self.provenance


def settled(experiment: Experiment) -> Experiment:
    """The same experiment with the runs that it starts from named for good: links followed, checkpoints by digest.

    Raises:
        RetinalabError: a run that is not there or has not come so far, several networks of which none is named, or
            another checkpoint than the one that was noted.
    """
    stages = dict(experiment.stages)
    for name, stage in experiment.stages.items():
        start = stage.start_from
        if start is None or start.run is None:
            continue
        try:
            origin = find_origin(start)
            digest = digest_of(origin.checkpoint)
            if start.sha256 not in (None, digest):
                raise RetinalabError(
                    f"{origin.checkpoint} is another checkpoint (sha256 {digest[:12]}…) than the one noted "
                    f"({str(start.sha256)[:12]}…). Restore that one, or set start_from.sha256=null to begin with this."
                )
        except RetinalabError as error:
            raise RetinalabError(f"stages.{name}.start_from: {error}") from error
        update = {
            "run": origin.place, "stage": origin.stage, "which": origin.checkpoint.stem, "sha256": digest,
        }  # fmt: skip
        stages[name] = stage.model_copy(update={"start_from": start.model_copy(update=update)})
    return experiment.model_copy(update={"stages": stages})


def find_origin(start: StartFrom) -> Origin:
    """The network that a stage is to begin with.

    Args:
        start: with ``run``: folder of a run, of one of its folds or seeds, or one of its checkpoints.

    Raises:
        RetinalabError: it is none of these, or names no single network that is trained.
    """
    assert start.run is not None
    given = Path(start.run)
    if not given.exists():
        raise RetinalabError(
            f"No run at {given}. Give the folder of a run, such as runs/PAPER/EXPERIMENT/latest."
        )
    place, stage, which = given.resolve(), start.stage, str(start.which)
    if place.is_file():
        place, stage, which = place.parent.parent.parent, place.parent.name, place.stem
    run = next((one for one in (place, place.parent) if (one / "experiment.yaml").is_file()), None)
    if run is None:
        below = sorted(found.parent for found in given.glob("*/experiment.yaml"))
        hint = f"It holds runs: give {below[-1]}, say." if below else "Give the folder of a run, below runs/."
        raise RetinalabError(f"{given} is no run, nor a checkpoint of one: it has no experiment.yaml. {hint}")
    experiment, provenance = _described(run)
    child = "" if place == run else place.name
    names = [one.name for one in children_of(experiment)]
    if child not in names:
        if child:
            raise unknown("fold or seed", child, names, f"Those of {run}.")
        raise RetinalabError(
            f"{given} holds {len(names)} networks ({', '.join(names[:6])}{' …' * (len(names) > 6)}). Name the one to "
            f"begin with: start_from={given / names[0]}."
        )
    trained = [name for name, one in experiment.stages.items() if one.kind == "train"]
    if stage and stage not in trained:
        raise unknown("stage", stage, trained, f"Stages of {run} that are trained.")
    stage = stage or experiment.evaluated[-1]
    checkpoint = run / child / "checkpoints" / stage / f"{which}.ckpt"
    if not checkpoint.is_file() or which not in ("best", "last"):
        raise RetinalabError(
            f"{run} has no checkpoint best or last of stage {stage!r}"
            f"{f' in {child}' if child else ''}. Train it to its end, or name another run."
        )
    return Origin(run, child, stage, checkpoint, experiment, provenance)


def read_origin(start: StartFrom) -> tuple[Path, Any]:
    """The file that a stage begins with, and its content: plain data, nothing that could run code.

    Raises:
        RetinalabError: as :func:`find_origin`, or the file is damaged or holds more.
    """
    path = find_origin(start).checkpoint
    return path, read_stored(path, "Restore the checkpoint that the run wrote, or train that run again.")


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    known = path.stat()
    return _digest(path, known.st_size, known.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _described(run: Path) -> tuple[Experiment, Mapping[str, Any]]:
    try:
        raw = read_yaml(run / "experiment.yaml")
        known = read_json(run / "provenance.json")
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise RetinalabError(
            f"What {run} says of itself cannot be read ({type(error).__name__}). Restore its experiment.yaml and "
            "provenance.json, or name another run."
        ) from error
    if not isinstance(raw, Mapping) or not isinstance(known, Mapping):
        raise RetinalabError(
            f"{run} describes no run: its experiment.yaml or provenance.json holds no mapping."
        )
    check_run_schemas(known, run / "provenance.json", retinalab.__version__)
    return resolve(raw, source=str(run / "experiment.yaml")), known
