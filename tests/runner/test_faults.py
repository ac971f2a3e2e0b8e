"""Full disks, folders that vanish, threads and processes that die: one line, status 2, and nothing lost or mixed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retinalab.cli import main
from retinalab.data import prepare as preparing
from retinalab.data.dataset import PartDataset

Said = pytest.CaptureFixture[str]
Words = Callable[..., list[str]]


@pytest.fixture
def words(made_up: None, fake_sets: Path, prepared: Path) -> Words:
    """The command that trains the made-up plugin for two epochs into a folder."""

    def given(output: Path, *overrides: str, cache: Path = prepared) -> list[str]:
        roots = [f"roots.{folder.name}={folder}" for folder in sorted(fake_sets.iterdir())]
        epochs = "stages.train.trainer.max_epochs=2"
        return ["exp", "madeup", "one", *roots, f"data.cache={cache}", f"output={output}", epochs, *overrides]

    return given


@pytest.fixture(scope="module")
def undisturbed(
    made_up: None, fake_sets: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> pd.DataFrame:
    """Predictions of a run to which nothing happened."""
    output = tmp_path_factory.mktemp("undisturbed")
    roots = [f"roots.{folder.name}={folder}" for folder in sorted(fake_sets.iterdir())]
    epochs = "stages.train.trainer.max_epochs=2"
    assert main(["exp", "madeup", "one", *roots, f"data.cache={prepared}", f"output={output}", epochs]) == 0
    return predictions(output)


def predictions(output: Path) -> pd.DataFrame:
    return pd.read_parquet(output / "madeup/one/latest/predictions.parquet")


def refused(capsys: Said, command: list[str]) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    assert main(command) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: "))
    return line


def goes_on(command: list[str], output: Path, expected: pd.DataFrame) -> None:
    """The same command again ends in the one run folder with the same predictions, and nothing half written."""
    assert main(command) == 0
    pd.testing.assert_frame_equal(predictions(output), expected, check_exact=True)
    (folder,) = (
        path for path in (output / "madeup/one").iterdir() if path.is_dir() and not path.is_symlink()
    )
    assert not list(output.rglob("*.tmp"))
    assert folder.name.endswith("-1")


@pytest.mark.parametrize(
    "name",
    ["best.ckpt", "last.ckpt", "predictions.parquet", "state.json", "metrics.json", "report.html", "latest"],
)
def test_a_disk_that_is_full_or_read_only(
    words: Words,
    undisturbed: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
    name: str,
) -> None:
    fault = errno.EROFS if name == "state.json" else errno.ENOSPC
    replace = os.replace

    def full(source: Any, target: Any, **options: Any) -> None:
        if Path(target).name == name:
            raise OSError(fault, os.strerror(fault), str(source), None, str(target))
        replace(source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        line = refused(capsys, words(tmp_path))
    assert os.strerror(fault) in line
    assert name in line
    assert "the same command" in line
    assert not (tmp_path / "madeup/one/latest").exists()
    goes_on(words(tmp_path), tmp_path, undisturbed)


def test_a_limit_of_the_system_on_what_may_be_written(
    words: Words, undisturbed: pd.DataFrame, tmp_path: Path, capsys: Said
) -> None:
    """It is met in the middle of writing a checkpoint, as a full disk is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, before[1]))
    try:
        line = refused(capsys, words(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ".ckpt: File too large. What was written before stays." in line
    assert not [*tmp_path.rglob("*.tmp"), *tmp_path.rglob("*.ckpt")]
    goes_on(words(tmp_path), tmp_path, undisturbed)


def test_prepared_photographs_that_vanish_while_they_are_trained_on(
    words: Words, undisturbed: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    cache, output, batch, made = tmp_path / "cache", tmp_path / "runs", PartDataset.batch, [0]

    def vanishing(self: PartDataset, *given: Any, **named: Any) -> Any:
        made[0] += 1
        if made[0] == 8:  # of 5 an epoch and 1 of validation
            shutil.rmtree(cache)
        return batch(self, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(PartDataset, "batch", vanishing)
        line = refused(capsys, words(output, cache=cache))
    assert str(cache) in line
    goes_on(words(output, cache=cache), output, undisturbed)


def test_photographs_that_vanish_while_they_are_prepared(
    words: Words,
    fake_sets: Path,
    undisturbed: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
) -> None:
    """They must not be taken for unreadable ones, which a run leaves out."""
    shutil.copytree(fake_sets / "table", tmp_path / "table", copy_function=shutil.copy2)
    from retinalab.data import shard_writer

    prepare, done = shard_writer._prepare, [0]

    def vanishing(*given: Any) -> Any:
        done[0] += 1
        if done[0] == 5:
            (tmp_path / "table").rename(tmp_path / "away")
        return prepare(*given)

    command = words(tmp_path / "runs", f"roots.table={tmp_path / 'table'}", cache=tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(shard_writer, "_prepare", vanishing)
        line = refused(capsys, command)
    assert str(tmp_path / "table") in line
    (tmp_path / "away").rename(tmp_path / "table")
    goes_on(command, tmp_path / "runs", undisturbed)


@pytest.mark.parametrize("threads", [0, 2])
def test_a_disk_that_fails_under_a_thread_that_reads(
    words: Words,
    undisturbed: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
    threads: int,
) -> None:
    batch, made = PartDataset.batch, [0]

    def failing(self: PartDataset, *given: Any, **named: Any) -> Any:
        made[0] += 1
        if made[0] == 8:
            raise OSError(errno.EIO, os.strerror(errno.EIO), "00000.images")
        return batch(self, *given, **named)

    command = words(tmp_path, f"data.workers={threads}")
    with monkeypatch.context() as patch:
        patch.setattr(PartDataset, "batch", failing)
        assert "00000.images: Input/output error." in refused(capsys, command)
    assert not [one for one in threading.enumerate() if one.name.startswith("ahead")]
    goes_on(command, tmp_path, undisturbed)


@pytest.fixture
def killer() -> Iterator[None]:
    """Kills one of the processes that this one starts, as the system does where memory runs out."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for child in multiprocessing.active_children():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGKILL)
                    return
            time.sleep(0.01)

    watching = threading.Thread(target=watch)
    watching.start()
    yield
    stop.set()
    watching.join()


def test_a_process_that_draws_photographs_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said, killer: None
) -> None:
    monkeypatch.setattr(preparing, "SHARD", 12)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    command = ["data", "cache", "baseline", "synthetic", "data.options={photographs: 24}", "data.size=64"]
    line = refused(capsys, [*command, f"data.cache={tmp_path}"])
    assert "A process that helps this one has died" in line
    assert "the same command again" in line
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert main([*command, f"data.cache={tmp_path}"]) == 0
    assert not list(tmp_path.rglob("*.tmp"))
