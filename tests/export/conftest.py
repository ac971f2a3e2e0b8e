"""Finished runs that are exported, the smallest that can be trained: one of each plugin's grading networks."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from retinalab.experiment import load_experiment
from retinalab.predict.finished import FinishedRun, read_finished
from retinalab.runner import run

TRAINER = "{max_epochs: 1, precision: 32-true, accelerator: cpu, limit_train_batches: 1}"


def trained(folder: Path, root: Path, paper: str, name: str, *overrides: str) -> FinishedRun:
    """Run an experiment on a drawn table."""
    given = [f"output={folder / 'runs'}", f"data.cache={folder / 'cache'}", f"data.root={root}", *overrides]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a batch of an epoch that is cut short
        return read_finished(run(load_experiment(paper, name, given)).folder)


@pytest.fixture(scope="session")
def averaged(fake_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Two seeds of two diseases; the input is resized, the background is a Gaussian."""
    more = [
        "data.set=table", "data.size=64", "data.crop=48", "data.batch_size=8", "data.background=0.05",
        "data.overlap=exclude", "protocol.diseases={dr: icdr5, dme: risk3}", "protocol.split=held-out", "folds=1",
        "seeds=2", "stages.train.task.backbone=test_resnet", "name=averaged",
        f"stages.train.trainer={TRAINER}",
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("averaged")
    return trained(folder, fake_sets / "table", "baseline", "dr600", *more)
