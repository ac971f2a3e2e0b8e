"""Experiments of the made-up plugin on drawn photographs, each run in a folder of its own."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from retinalab.config import Experiment
from retinalab.experiment import load_experiment
from retinalab.runner import Result, run

Make = Callable[..., Experiment]


@pytest.fixture
def impatient() -> Iterator[None]:
    """A process that waits for ever for another is a failure."""

    def fail(*_: Any) -> None:
        raise TimeoutError("a process hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forked processes hang where their parent's threads computed before, and Lightning gives them fewer threads.

    The last digits of what a network answers depend on their number.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache folder that all runs share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make(made_up: None, fake_sets: Path, prepared: Path, tmp_path: Path) -> Make:
    """Builds an experiment of the made-up paper: name, then overrides; ``output`` is the test's own folder."""

    def made(name: str, *overrides: str, output: Path = tmp_path) -> Experiment:
        roots = [f"roots.{folder.name}={folder}" for folder in sorted(fake_sets.iterdir())]
        given = [*roots, f"data.cache={prepared}", f"output={output / 'runs'}", *overrides]
        return load_experiment("madeup", name, given)

    return made


@pytest.fixture(scope="session")
def whole(
    made_up: None, fake_sets: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Experiment, Result]:
    """The plugin's whole experiment, run once: maps, windows, regression from the maps' encoder, two sets tested."""
    roots = [f"roots.{folder.name}={folder}" for folder in sorted(fake_sets.iterdir())]
    output = tmp_path_factory.mktemp("whole")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        experiment = load_experiment(
            "madeup", "whole", [*roots, f"data.cache={prepared}", f"output={output}"]
        )
        return experiment, run(experiment)
