"""The folds and seeds of an experiment, each of which is trained on its own, by one command or by several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retinalab.config import Experiment

__all__ = ["Child", "children_of"]


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
