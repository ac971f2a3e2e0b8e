"""Finished runs, the smallest that can be trained, and photographs for them."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from retinalab.experiment import load_experiment
from retinalab.predict.finished import FinishedRun, read_finished
from retinalab.predict.photograph import Photograph
from retinalab.runner import run

TINY = (
    "data.size=64",
    "data.crop=48",
    "data.batch_size=8",
    "data.background=0.05",
    "data.overlap=exclude",
    "protocol.diseases={dr: icdr5, dme: risk3}",
    "stages.train.task.backbone=test_resnet",
    "stages.train.trainer={max_epochs: 1, precision: 32-true, accelerator: cpu, monitor: val/loss, mode: min}",
)


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Overrides that make a baseline train within a second."""
    return TINY


def trained(folder: Path, root: Path, paper: str, name: str, *overrides: str) -> Path:
    """Run an experiment on the drawn table; its folder."""
    given = [f"output={folder / 'runs'}", f"data.cache={folder / 'cache'}", f"data.root={root}", *overrides]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run(load_experiment(paper, name, given)).folder


@pytest.fixture(scope="session")
def photographs(fake_sets: Path) -> list[Photograph]:
    """The photographs of the drawn table."""
    root = fake_sets / "table"
    return [Photograph(f"images/{path.name}", path) for path in sorted((root / "images").iterdir())]


@pytest.fixture(scope="session")
def graded(fake_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Probabilities of two diseases, from the central crop, with the background subtracted."""
    more = ["folds=1", "protocol.split=held-out", "data.view=centre", "data.set=table", "name=graded"]
    folder = tmp_path_factory.mktemp("graded")
    return read_finished(trained(folder, fake_sets / "table", "baseline", "dr600", *TINY, *more))


@pytest.fixture(scope="session")
def folded(fake_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Two folds of two seeds."""
    more = ["folds=2", "seeds=2", "data.set=table", "name=folded"]
    folder = tmp_path_factory.mktemp("folded")
    return read_finished(trained(folder, fake_sets / "table", "baseline", "dr600", *TINY, *more))


@pytest.fixture(scope="session")
def severity(made_up: None, fake_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Severity of two diseases as one number each."""
    short = ["train.trainer.max_epochs=1", "data.overlap=exclude"]
    return read_finished(
        trained(tmp_path_factory.mktemp("severity"), fake_sets / "table", "madeup", "one", *short)
    )
