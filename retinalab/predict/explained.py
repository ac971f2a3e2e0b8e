"""Finished runs opened to be explained: which of their networks, on which photographs with lesion masks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from retinalab.config import DataConfig
from retinalab.data.parts import read_records
from retinalab.data.sets.label_files import read_csv
from retinalab.errors import RetinalabError, unknown
from retinalab.explain.photographs import Annotated, Photographs, read_annotated
from retinalab.predict.beside import told_apart
from retinalab.predict.finished import FinishedRun, Member, read_finished
from retinalab.predict.network import load_task
from retinalab.records import photograph_name
from retinalab.tasks.base import Task

__all__ = ["Explained", "OtherSet", "explained_runs", "fold_and_seed", "photographs_of"]


@dataclass(frozen=True)
class Explained:
    """One stage of a finished run.

    Attributes:
        name: what tables and figures call it.
        run: that it belongs to.
        stage: name of the stage.
        members: its networks, one for each fold and seed.
    """

    name: str
    run: FinishedRun
    stage: str
    members: tuple[Member, ...]

    @property
    def data(self) -> DataConfig:
        """Its data section."""
        return self.run.experiment.stages[self.stage].data

    @property
    def diseases(self) -> tuple[str, ...]:
        """That its networks grade."""
        own = self.run.experiment.stages[self.stage].diseases
        return own or tuple(self.run.experiment.protocol.diseases)

    def task(self, child: str, device: torch.device) -> Task:
        """The network of a fold and seed, in single precision.

        Raises:
            RetinalabError: the run has no such fold and seed, or the checkpoint cannot be loaded.
        """
        for member in self.members:
            if member.child == child:
                name = self.run.experiment.stages[self.stage].task.name
                return load_task(member.checkpoint, name).float().to(device)
        raise RetinalabError(
            f"Run {self.run.path} has no {child or 'single network'}: it has "
            f"{', '.join(member.child or 'a single network' for member in self.members)}. Compare runs with the same "
            "folds and seeds."
        )

    def learned_from(self, child: str) -> frozenset[str]:
        """Files of the photographs that the networks of a fold and seed were trained on or chosen by.

        Of all its networks where it has no such fold and seed.
        """
        names: set[str] = set()
        own = [member.child for member in self.members]
        for one in [child] if child in own else own:
            for stage in self.run.experiment.stages:
                split = _split(self.run, one, stage)
                names.update(name for name, part in split if part != "test")
        return frozenset(names)

    def prepared(self, chosen: Annotated, device: torch.device) -> Photographs:
        """The photographs as its networks take them."""
        return Photographs(chosen, self.data, self.run.experiment.protocol, self.diseases, device)


@dataclass(frozen=True)
class OtherSet:
    """A data set in the place of the run's own.

    Attributes:
        name: as ``retinalab data sets`` lists it.
        root: its folder; None where the run or the set itself knows it.
        options: of its adapter.
    """

    name: str
    root: Path | None
    options: Mapping[str, Any]


def explained_runs(
    chosen: Sequence[tuple[Path, str | None]], disease: str | None
) -> tuple[list[Explained], str]:
    """Open stages of one run or of several to explain the same disease.

    Args:
        chosen: folder of a finished run, and the stage; None: its last one that is evaluated and grades whole
            photographs.
        disease: whose grade is explained; default: the first that all grade.

    Returns:
        The stages in order, and the disease.

    Raises:
        RetinalabError: a run that is absent or unfinished, an unknown stage or disease, or one stage twice.
    """
    runs = [_opened(folder, stage) for folder, stage in chosen]
    shared = [d for d in runs[0].diseases if all(d in run.diseases for run in runs)]
    if not shared:
        graded = " and ".join(", ".join(run.diseases) or "none" for run in runs)
        raise RetinalabError(
            f"No disease is graded by all networks: {graded}. Give ones that grade the same disease."
        )
    if disease is not None and disease not in shared:
        raise unknown("disease", disease, shared)
    places = [(run.run.path.resolve(), run.stage) for run in runs]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise RetinalabError(
                f"{chosen[places.index(place)][0]} and {chosen[number][0]} are the same run, and both stages are "
                f"{place[1]}. Give another run with --against, or another stage of this one with --against-stage."
            )
    return told_apart(runs), disease or shared[0]


def photographs_of(
    runs: Sequence[Explained], child: str, other: OtherSet | None, limit: int | None, masks: bool = True
) -> Annotated:
    """The photographs that the networks of one fold and seed are explained on, none of which they have learned from.

    Of the run's own set its test part, as the run left it in its split file. Of another set the official test part, or
    all of it where it has none; photographs that bear the name of one that a run learned from are left out.

    Args:
        runs: the first one's data section says how the set is read.
        child: the fold and seed.
        other: a set in the place of the run's own.
        limit: at most so many.
        masks: whether only photographs that were annotated for lesions are wanted.

    Raises:
        RetinalabError: no photograph (with lesion masks) is left, or a run learned from the other's test photographs.
    """
    first, experiment = runs[0], runs[0].run.experiment
    data = first.data
    own = other is None or (other.name == data.set and not other.options)
    if other is not None:
        root = (
            other.root or (data.root if other.name == data.set else None) or experiment.roots.get(other.name)
        )
        options = data.options if own else other.options
        data = data.model_copy(update={"set": other.name, "root": root, "options": dict(options)})
    if masks:
        found = read_annotated(data, experiment.protocol, experiment.roots)
    else:
        source, records, notes = read_records(data, experiment.protocol, experiment.roots)
        found = Annotated(source, records, tuple(notes))
    if own:
        tested = {image for image, part in _split(first.run, child, first.stage) if part == "test"}
        found = found.keep(found.records.table["image"].isin(tested).to_numpy(bool))
        _refuse_learned(found, runs, child)
    else:
        official = (found.records.table["part"] == "test").to_numpy(bool)
        everything = "" if official.any() else f"{data.set} has no official test part: all of it is explained"
        found = found.keep(official if official.any() else ~official, everything)
        found = _without_learned(found, runs, child)
    if not len(found.records):
        raise RetinalabError(
            f"No test photograph of {data.set!r} {'has lesion masks' if masks else 'is left'} that the network has not "
            "learned from. Name a set that has, with --set and --root."
        )
    return found.limited(limit)


def _refuse_learned(found: Annotated, runs: Sequence[Explained], child: str) -> None:
    images = found.records.table["image"]
    for run in runs[1:]:
        seen = images[images.isin(run.learned_from(child))]
        if len(seen):
            raise RetinalabError(
                f"Run {run.run.path} learned from {len(seen)} of the {len(images)} test photographs of run "
                f"{runs[0].run.path}, such as {seen.iloc[0]}. Compare runs with the same split, or explain photographs "
                "that neither has met: --images, or --set with --root."
            )


def _without_learned(found: Annotated, runs: Sequence[Explained], child: str) -> Annotated:
    """By name alone, whatever the folder: two sets may give one name to different eyes, and one eye two names."""
    learned = {photograph_name(image) for run in runs for image in run.learned_from(child)}
    seen = found.records.table["image"].map(photograph_name).isin(learned).to_numpy(bool)
    note = f"{int(seen.sum())} photographs named like ones that a run learned from left out"
    return found.keep(~seen, note) if seen.any() else found


def fold_and_seed(run: Explained, child: str) -> tuple[int, int]:
    """Fold (-1: none) and seed of a child, as in a run's tables."""
    numbers = dict(re.findall(r"(fold|seed)-(\d+)", child))
    experiment = run.run.experiment
    fold = experiment.fold if experiment.fold is not None else -1
    return int(numbers.get("fold", fold)), int(numbers.get("seed", experiment.seed))


def _opened(folder: Path, stage: str | None) -> Explained:
    run = read_finished(folder)
    evaluated = list(
        dict.fromkeys(m.stage for m in run.members if run.experiment.stages[m.stage].data.windows is None)
    )
    if stage is None and not evaluated:
        raise RetinalabError(
            f"Run {folder} grades no whole photographs. Give a run whose last stage grades photographs."
        )
    chosen = stage or evaluated[-1]
    known = evaluated if stage is None else _trained(run)
    if chosen not in known:
        raise unknown("stage", chosen, known, f"These stages of {folder} were trained on whole photographs.")
    name = f"{run.experiment.paper} {run.experiment.name}"
    alone = chosen in evaluated and len(evaluated) == 1
    return Explained(name if alone else f"{name} {chosen}", run, chosen, _members(run, chosen))


def _trained(run: FinishedRun) -> list[str]:
    """The stages that trained on whole photographs, evaluated or not."""
    stages = run.experiment.stages
    return [name for name, one in stages.items() if one.kind == "train" and one.data.windows is None]


def _members(run: FinishedRun, stage: str) -> tuple[Member, ...]:
    """The networks of a stage, which a later stage may have gone on from."""
    places = {child: run.path / child / "checkpoints" / stage / "best.ckpt" for child in run.children}
    for place in places.values():
        if not place.is_file():
            raise RetinalabError(
                f"Run {run.path} lacks {place.relative_to(run.path)}, the network of stage {stage!r}. Restore it, or "
                "run the experiment again."
            )
    return tuple(Member(child, stage, place) for child, place in places.items())


def _split(run: FinishedRun, child: str, stage: str) -> list[tuple[str, str]]:
    """File and part of every photograph of a stage."""
    file = run.path / child / f"split-{stage}.csv"
    if not file.is_file():
        raise RetinalabError(
            f"Run {run.path} lacks {file.relative_to(run.path)}, which says what it was trained on. Restore it, or run "
            "the experiment again."
        )
    table = read_csv(file, ["image", "part"])
    return list(zip(table["image"].astype(str), table["part"], strict=True))
