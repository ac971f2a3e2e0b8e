"""Processes that torchrun or srun started share one run; where one fails all end, with one line."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from filelock import FileLock

from retinalab.cli import main
from retinalab.config import TrainerConfig
from retinalab.errors import RetinalabError
from retinalab.runner.launch import Launch, launched, placed
from retinalab.runner.processes import check_devices
from retinalab.runner.trainer import check_trainer
from retinalab.tasks import Task

ELASTIC = {
    "TORCHELASTIC_RUN_ID": "one",
    "RANK": "9",
    "WORLD_SIZE": "16",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "8",
}
SLURM = {
    "SLURM_NTASKS": "16",
    "SLURM_NTASKS_PER_NODE": "8",
    "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}
NUMBERS = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trace of a launcher, and one thread: what is forked hangs where its parent's threads computed before."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_")) or name in NUMBERS:
            monkeypatch.delenv(name)
    torch.set_num_threads(1)


@pytest.mark.parametrize(("given", "program"), [(ELASTIC, "torchrun"), (SLURM, "srun")])
def test_what_a_launcher_says_is_known(
    given: dict[str, str], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launched() is None
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = launched()
    assert found == Launch(program, 9, 16, 8)
    assert found.machines == 2
    assert placed(TrainerConfig()) == {"devices": 8, "num_nodes": 2}
    assert placed(TrainerConfig(devices=4, num_nodes=4)) == {"devices": 4, "num_nodes": 4}
    wrong = {"one": TrainerConfig(accelerator="cpu", devices=2)}
    with pytest.raises(
        RetinalabError, match=rf"{program} started 16 processes.*asks for 2.*devices=8 num_nodes=2"
    ):
        check_devices(wrong)


def test_torchrun_within_a_job_counts_and_an_interactive_shell_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert launched() is None
    for name, value in {**ELASTIC, "WORLD_SIZE": "2", "RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert launched() == Launch("torchrun", 1, 2, 2)


def test_stages_that_cannot_share_processes_are_refused_before_any_is_trained() -> None:
    one, two = (TrainerConfig(accelerator="cpu", devices=count, strategy="ddp") for count in (1, 2))
    check_devices({"first": two, "second": two})
    check_devices({"first": one, "second": TrainerConfig(accelerator="cpu", devices=2, strategy="ddp_fork")})
    for stages, said in (
        ({"first": one, "second": two}, "different numbers of processes .first 1, second 2."),
        ({"first": TrainerConfig(accelerator="cpu", num_nodes=2)}, "Start it on each with torchrun"),
        (
            {"first": one, "second": TrainerConfig(strategy="dpp")},
            r"Lightning refuses stages\.second\.trainer",
        ),
        ({"first": TrainerConfig(accelerator="cpu", strategy="fsdp", devices=2)}, "requires a GPU"),
        ({"first": two.model_copy(update={"sync_batchnorm": True})}, "needs GPUs"),
    ):
        with pytest.raises(RetinalabError, match=said) as refused:
            check_devices(stages)
        assert len(str(refused.value).splitlines()) == 1


def test_batch_norm_is_synchronised_where_it_is_asked_for() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    plain = TrainerConfig(accelerator="cpu", devices=1, strategy="ddp")
    assert check_trainer(plain, "train").strategy._layer_sync is None
    synchronised = check_trainer(plain.model_copy(update={"sync_batchnorm": True}), "train")
    converted = synchronised.strategy._layer_sync.apply(network)
    assert [type(layer) for layer in converted] == [torch.nn.Conv2d, torch.nn.SyncBatchNorm]


Answers = list[tuple[int, str]]


def _one(sets: Path, cache: Path, folder: Path) -> list[str]:
    roots = [f"roots.{one.name}={one}" for one in sorted(sets.iterdir())]
    own = [f"data.cache={cache}", f"output={folder / 'runs'}", "train.trainer.devices=auto"]
    return ["madeup", "one", *roots, *own, "train.trainer.max_epochs=1"]


@pytest.fixture
def srun(made_up: None, tmp_path: Path, fake_sets: Path, prepared: Path) -> Callable[..., Answers]:
    """Runs an experiment in two processes as srun starts them; gives the exit status and messages of each."""
    context = multiprocessing.get_context("fork")

    def go(*words: str, second: Sequence[str] = (), failing: bool = False) -> Answers:
        given = ["exp", *_one(fake_sets, prepared, tmp_path), *words]
        orders = [given, [*given, *second]]
        port = str(20_000 + os.getpid() % 20_000)
        started = []
        for rank, order in enumerate(orders):
            log = tmp_path / f"{rank}.log"
            process = context.Process(target=_task, args=(rank, port, order, log, failing))
            process.start()
            started.append((process, log))
        answers = []
        for process, log in started:
            process.join(240)
            assert process.exitcode is not None, "a process hangs"
            answers.append((process.exitcode, log.read_text()))
        return answers

    return go


def _task(rank: int, port: str, words: list[str], log: Path, failing: bool) -> None:
    os.environ |= {**SLURM, "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0"}
    os.environ |= {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    file = log.open("w")
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = file, file
    plain = Task.on_train_batch_start

    def fails(self: Any, *given: Any) -> None:
        if rank == 1:
            raise KeyError("lost")
        plain(self, *given)

    if failing:
        Task.on_train_batch_start = fails  # type: ignore[method-assign]
    status = 1
    try:
        status = main(words)
    except Exception:
        traceback.print_exc(file=file)
        raise
    finally:
        file.flush()
        os._exit(status)


def told(answers: Answers) -> list[str]:
    """The command line's own lines, of both processes."""
    return [line for _, text in answers for line in re.findall(r"retinalab: [^\r\n]*", text)]


def test_what_one_process_cannot_read_ends_both_with_one_line(
    srun: Callable[..., Answers], tmp_path: Path
) -> None:
    answers = srun(second=[f"data.root={tmp_path / 'nowhere'}"])
    assert [status for status, _ in answers] == [2, 2]
    (line,) = told(answers)
    assert "nowhere" in line
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_folder_that_another_run_holds_is_refused_once(
    srun: Callable[..., Answers], tmp_path: Path
) -> None:
    assert [status for status, _ in srun()] == [0, 0]
    (state,) = tmp_path.rglob("state.json")
    found = json.loads(state.read_text())
    state.write_text(json.dumps({**found, "finished": False}))
    with FileLock(state.parent / ".lock"):
        answers = srun()
    assert [status for status, _ in answers] == [2, 2]
    (line,) = told(answers)
    assert "Another process works on" in line


def test_a_process_that_fails_in_training_ends_the_other_and_leaves_no_result(
    srun: Callable[..., Answers], tmp_path: Path
) -> None:
    answers = srun(failing=True)
    assert [status for status, _ in answers] == [2, 1]
    assert "KeyError: 'lost'" in answers[1][1]
    (line,) = told(answers)
    assert "Process 0 of 2 ends since another has failed" in line
    for name in ("metrics.json", "predictions.parquet", "report.html"):
        assert not list(tmp_path.rglob(name))


def test_torchrun_runs_the_command_on_all_its_processes_as_one_run(
    fake_sets: Path, prepared: Path, tmp_path: Path
) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "made_up"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*launcher, "-m", "retinalab", "exp", *_one(fake_sets, prepared, tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Report: ") == 1
    (folder,) = (path.parent for path in tmp_path.rglob("state.json"))
    assert json.loads((folder / "state.json").read_text())["finished"]
    split = pd.read_csv(folder / "split-train.csv")
    predicted = pd.read_parquet(folder / "predictions.parquet")
    assert not predicted.duplicated(["set", "image", "part"]).any()
    for part in ("val", "test"):
        ours = predicted[predicted["part"] == part]["image"].tolist()
        assert ours == [image for image in split[split["part"] == part]["image"] if image in set(ours)]
        assert len(ours) == (split["part"] == part).sum()
