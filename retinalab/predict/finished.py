"""What a finished run left to predict with: its experiment, the checkpoints of its evaluated stages, its precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

import retinalab
from retinalab.config import Experiment, Stage
from retinalab.data.sets.label_files import read_csv
from retinalab.documents import read_json, read_yaml
from retinalab.errors import RetinalabError, unknown
from retinalab.experiment import resolve
from retinalab.protocol import Scale
from retinalab.records import LESIONS, photograph_name
from retinalab.schema import check_run_schemas

__all__ = ["FinishedRun", "Member", "Which", "read_finished"]

Which = Literal["best", "last"]


@dataclass(frozen=True)
class Member:
    """One trained network of a run.

    Attributes:
        child: the fold and seed that it belongs to (``fold-0``), "" where the run has neither.
        stage: name of its stage.
        checkpoint: file of its weights.
    """

    child: str
    stage: str
    checkpoint: Path


@dataclass(frozen=True)
class FinishedRun:
    """A run whose networks can be used.

    Attributes:
        path: its folder.
        experiment: what was run.
        children: folds and seeds; "" alone where the run has neither.
        members: one network for each child and stage that judges whole photographs, at once or tile by tile.
        precision: stage -> the precision that its photographs were evaluated with.
        labels: what its result must be read with, such as that it learned from drawn photographs.
        taught: lesions that the training photographs of any stage were annotated for; all where the run does not say.
    """

    path: Path
    experiment: Experiment
    children: tuple[str, ...]
    members: tuple[Member, ...]
    precision: Mapping[str, str]
    labels: tuple[str, ...]
    taught: tuple[str, ...] = LESIONS

    @property
    def title(self) -> str:
        """Paper and experiment."""
        return f"{self.experiment.paper} {self.experiment.name}"

    @property
    def scales(self) -> Mapping[str, Scale]:
        """Disease -> its scale, as the protocol has them."""
        return self.experiment.protocol.scales

    @property
    def files(self) -> tuple[Path, ...]:
        """The checkpoints."""
        return tuple(member.checkpoint for member in self.members)

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders of the data that it was made on."""
        stages = self.experiment.stages.values()
        given = (*(stage.data.root for stage in stages), *self.experiment.roots.values())
        return tuple(root for root in given if root)

    def learned_from(self) -> frozenset[str]:
        """Names of the photographs that any of its networks was trained on or chosen by.

        Names as :func:`retinalab.records.photograph_name` gives them: two sets may give one name to different eyes.
        """
        names: set[str] = set()
        for child in self.children:
            for stage in self.experiment.stages:
                file = self.path / child / f"split-{stage}.csv"
                if file.is_file():
                    split = read_csv(file, ["image", "part"])
                    names.update(split.loc[split["part"] != "test", "image"].map(photograph_name))
        return frozenset(names)


def read_finished(folder: Path, which: Which = "best") -> FinishedRun:
    """Read the folder of a run and check that nothing of it is missing.

    Args:
        folder: of the run; its ``latest`` link will do. A file is taken for one checkpoint of a run, at its place below
            the run's folder: that network alone is used, and the run need not have finished.
        which: the checkpoint that the run's figures were measured with, or that of the last epoch.

    Raises:
        RetinalabError: no such run, one that a later retinalab wrote, one that has not finished, an absent file, or a
            run of windows of photographs only.
    """
    if folder.is_file():
        return _of_checkpoint(folder)
    experiment = _experiment(folder)
    children = _children(experiment)
    _check_finished(folder, experiment, children)
    stages = [name for name in experiment.evaluated if _covers(experiment.stages[name])]
    if not stages:
        raise RetinalabError(
            f"Run {folder} classifies windows of photographs, not photographs. Give a run that grades photographs."
        )
    members = [
        Member(child, stage, folder / child / "checkpoints" / stage / f"{which}.ckpt")
        for stage in stages
        for child in children
    ]
    absent = [member.checkpoint for member in members if not member.checkpoint.is_file()]
    if absent:
        raise RetinalabError(
            f"Run {folder} lacks {absent[0].relative_to(folder)} ({len(absent)} of {len(members)} checkpoints are "
            "absent). Restore it, or run the experiment again."
        )
    return _described(folder, experiment, children, members)


def _of_checkpoint(file: Path) -> FinishedRun:
    """One network of a run, by its place in the run's folder: ``[child/]checkpoints/<stage>/<name>.ckpt``."""
    place = file.absolute()
    stage, above = place.parent.name, place.parent.parent.parent
    folder = next((f for f in (above, above.parent) if (f / "experiment.yaml").is_file()), None)
    if place.parent.parent.name != "checkpoints" or folder is None:
        raise RetinalabError(
            f"{file} lies in no run's folder, whose experiment.yaml says how photographs are prepared for it. Give the "
            "run's folder, or a checkpoint where the run wrote it."
        )
    experiment = _experiment(folder)
    child = "" if above == folder else above.name
    known = _children(experiment)
    if child not in known:
        raise unknown("fold or seed", child, known, f"Looked for {file}.")
    if stage not in experiment.stages or not _covers(experiment.stages[stage]):
        graded = [name for name in experiment.stages if _covers(experiment.stages[name])]
        raise unknown("stage", stage, graded, f"These of {folder} judge whole photographs.")
    return _described(
        folder, experiment, (child,), [Member(child, stage, folder / place.relative_to(folder))]
    )


def _described(
    folder: Path, experiment: Experiment, children: tuple[str, ...], members: list[Member]
) -> FinishedRun:
    """With what the run says of its networks."""
    known = _json(folder / "provenance.json")
    precision = {stage: str(value) for stage, value in _mapping(known.get("precision")).items()}
    labels = tuple(map(str, known.get("labels", ())))
    taught = _mapping(known.get("lesions"))
    names = tuple(x for x in LESIONS if any(x in each for each in taught.values())) if taught else LESIONS
    return FinishedRun(folder, experiment, children, tuple(members), precision, labels, names)


def _covers(stage: Stage) -> bool:
    """Whether what a stage looks at covers a photograph: all of it, or tiles."""
    return stage.data.windows is None or stage.data.windows.kind == "grid"


def _experiment(folder: Path) -> Experiment:
    if not folder.is_dir():
        raise RetinalabError(f"No run folder {folder}. Give the folder of a finished run, below runs/.")
    file = folder / "experiment.yaml"
    if not file.is_file():
        below = sorted(found.parent for found in folder.glob("*/experiment.yaml"))
        hint = (
            f"It holds runs: give {below[-1]}, say."
            if below
            else "Give the folder of a finished run, below runs/."
        )
        raise RetinalabError(f"{folder} is no run: it has no experiment.yaml. {hint}")
    about = folder / "provenance.json"
    check_run_schemas(_json(about), about, retinalab.__version__)
    try:
        raw = read_yaml(file)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = type(error).__name__
        raise RetinalabError(
            f"{file} cannot be read ({reason}). Restore it, or run the experiment again."
        ) from error
    if not isinstance(raw, Mapping):
        raise RetinalabError(f"{file} holds no mapping. Restore it, or run the experiment again.")
    return resolve(raw, source=str(file))


def _children(experiment: Experiment) -> tuple[str, ...]:
    """Names of the folds' and seeds' folders, as a run names them."""
    several = experiment.folds > 1 and experiment.fold is None
    folds = [f"fold-{k}" for k in range(experiment.folds)] if several else [""]
    first, count = experiment.seed, experiment.seeds
    seeds = [f"seed-{seed}" for seed in range(first, first + count)] if count > 1 else [""]
    return tuple("_".join(filter(None, (fold, seed))) for fold in folds for seed in seeds)


def _check_finished(folder: Path, experiment: Experiment, children: tuple[str, ...]) -> None:
    state = _json(folder / "state.json")
    done = state.get("stages", [])
    every = [f"{child}/{stage}" if child else stage for child in children for stage in experiment.stages]
    open_ = [name for name in every if name not in done]
    again = f"Finish it with the same command: retinalab exp {experiment.paper} {experiment.name} …"
    if open_:
        raise RetinalabError(
            f"Run {folder} has not finished: {len(open_)} of {len(every)} stages are missing "
            f"({', '.join(open_[:5])}{' …' * (len(open_) > 5)}). {again}"
        )
    if not state.get("finished"):
        raise RetinalabError(
            f"Run {folder} has not finished: its figures (metrics.json) are missing. {again}"
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        return _mapping(read_json(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RetinalabError(
            f"{path} cannot be read ({error}). Restore it, or run the experiment again."
        ) from error


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
