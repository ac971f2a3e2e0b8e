"""The folds and seeds of an experiment, each of which is trained on its own, by one command or by several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from retinalab.config import Experiment
from retinalab.errors import RetinalabError, unknown

__all__ = ["Child", "children_of", "chosen"]


@dataclass(frozen=True)
class Child:
    """One fold and seed of an experiment.

    Attributes:
        fold: None where there are no folds.
        seed: of the training.
        name: ``fold-3``, ``seed-1`` or ``fold-3_seed-1``; empty where the experiment has one fold and one seed.
    """

    fold: int | None
    seed: int
    name: str

    def folder(self, top: Path) -> Path:
        """Where it lies in the run's folder."""
        return top / self.name if self.name else top

    def label(self, stage: str) -> str:
        """What the run's state calls one of its stages."""
        return f"{self.name}/{stage}" if self.name else stage


def children_of(experiment: Experiment) -> tuple[Child, ...]:
    """Every fold and seed, the folds in order and within a fold the seeds."""
    folds: list[int | None] = [None] if experiment.folds == 1 else list(range(experiment.folds))
    if experiment.fold is not None:
        folds = [experiment.fold]
    children = []
    for fold in folds:
        for seed in range(experiment.seed, experiment.seed + experiment.seeds):
            names = [f"fold-{fold}"] * (len(folds) > 1) + [f"seed-{seed}"] * (experiment.seeds > 1)
            children.append(Child(fold, seed, "_".join(names)))
    return tuple(children)


def chosen(children: Sequence[Child], only: Iterable[str]) -> tuple[Child, ...]:
    """Those that are named: ``fold-3`` with all its seeds, ``seed-1`` in all folds, ``fold-3_seed-1``.

    Args:
        children: of the experiment.
        only: their names; none: all of them.

    Raises:
        RetinalabError: a name of none of them, or an experiment that has but one.
    """
    wanted = [(name, set(name.replace("=", "-").split("_"))) for name in only]
    if wanted and len(children) == 1:
        raise RetinalabError(
            f"Only {wanted[0][0]!r} was asked for, and the experiment has one fold and one seed. Give it several with "
            "folds=N protocol.split=folds or seeds=N, or leave that out."
        )
    for name, words in wanted:
        if not any(words <= set(child.name.split("_")) for child in children):
            single = {word for child in children for word in child.name.split("_")}
            raise unknown("fold or seed", name, single)
    return tuple(
        child
        for child in children
        if not wanted or any(words <= set(child.name.split("_")) for _, words in wanted)
    )
