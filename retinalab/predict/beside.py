"""Several explained runs beside each other: which of their networks, and under which names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.predict.explained import Explained

__all__ = ["aligned", "told_apart"]


def aligned(runs: Sequence[Explained]) -> tuple[list[tuple[str | None, ...]], list[str]]:
    """Which networks of several runs are explained beside each other.

    Where every run has the folds and seeds of the first one, those of one name. Else, where none has folds, the first
    networks of all, then the second ones, as far as each has so many: their photographs are the same.

    Returns:
        For each fold and seed of the first run the children of all, None where a run has no more; and what is to be
        said of it.

    Raises:
        RetinalabError: runs of different folds.
    """
    own = [[member.child for member in run.members] for run in runs]
    if all(child in each for each in own for child in own[0]):
        return [(child,) * len(runs) for child in own[0]], []
    if any("fold" in child for each in own for child in each):
        said = "; ".join(f"{run.name}: {_listed(each)}" for run, each in zip(runs, own, strict=True))
        raise RetinalabError(f"Runs of different folds ({said}). Compare runs with the same folds and seeds.")
    rows = [tuple(each[k] if k < len(each) else None for each in own) for k in range(len(own[0]))]
    said = "; ".join(f"{run.name} {_listed(each[: len(rows)])}" for run, each in zip(runs, own, strict=True))
    return rows, [f"networks of different seeds are held beside each other: {said}"]


def _listed(children: Sequence[str]) -> str:
    return ", ".join(child or "its single one" for child in children)


def told_apart(runs: Sequence[Explained]) -> list[Explained]:
    """Names of their own: with the stage where they are of one run, with the folder where two are named alike."""
    names = [run.name for run in runs]
    paths = [run.run.path.resolve() for run in runs]
    named = [
        _with_stage(run) if paths.count(path) > 1 else run.name for run, path in zip(runs, paths, strict=True)
    ]
    named = [
        f"{name} {path.name}" if names.count(run.name) > 1 and paths.count(path) == 1 else name
        for run, name, path in zip(runs, named, paths, strict=True)
    ]
    return [replace(run, name=name) for run, name in zip(runs, named, strict=True)]


def _with_stage(run: Explained) -> str:
    return run.name if run.name.endswith(f" {run.stage}") else f"{run.name} {run.stage}"
