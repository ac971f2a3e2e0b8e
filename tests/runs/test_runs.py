"""Made-up run folders: what is listed of them, what may go, and what must not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from retinalab.errors import RetinalabError
from retinalab.runner.children import children_of
from retinalab.runner.folder import claim
from retinalab.runs import held_below, plan, read_run, remove, runs_below
from retinalab.testing import write_fake_set


def made(
    output: Path,
    name: str,
    finished: bool = True,
    steps: tuple[str, ...] = ("train",),
    experiment: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
    children: tuple[str, ...] = ("",),
) -> Path:
    """A run as one leaves it, with checkpoints of 1,000 (best), 2,000 (last) and 3,000 (step) bytes."""
    folder = output / name
    folder.mkdir(parents=True)
    described = {"folds": 1, "fold": None, "seeds": 1, "seed": 0, "stages": {"train": {}}} | (
        experiment or {}
    )
    (folder / "experiment.yaml").write_text(yaml.safe_dump(described))
    known = {"command": "retinalab exp", "started": "2026-01-02T03:04:05+00:00"} | (provenance or {})
    (folder / "provenance.json").write_text(json.dumps(known))
    state = {"stages": list(steps), "finished": finished} | (
        {"at": "2026-02-03T00:00:00+00:00"} if finished else {}
    )
    (folder / "state.json").write_text(json.dumps(state))
    (folder / ".lock").touch()
    if finished:
        (folder / "metrics.json").write_text(json.dumps({"test/dr/kappa": {"value": 0.5}}))
    for child in children:
        for stage in described["stages"]:
            place = folder / child / "checkpoints" / stage
            place.mkdir(parents=True)
            for size, file in ((1000, "best"), (2000, "last"), (3000, "step")):
                (place / f"{file}.ckpt").write_bytes(bytes(size))
    return folder


@contextmanager
def busy(lock: Path) -> Iterator[None]:
    """Another process holds a lock, as a run does."""
    code = "import sys; from filelock import FileLock as F; k = F(sys.argv[1]); k.acquire(); print(flush=True); input()"
    words = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "\n"
            yield
        finally:
            process.kill()


def test_the_main_figure_is_that_of_retinopathy_where_there_are_two_diseases(tmp_path: Path) -> None:
    folder = made(tmp_path, "canet/a/0123abcd-1")
    both = {"test/dme/kappa": {"value": 0.75}, "test/dr/accuracy": {"value": 0.25}}
    (folder / "metrics.json").write_text(json.dumps(both))
    assert read_run(folder).figure == ("test/dme/kappa", 0.75)
    (folder / "metrics.json").write_text(json.dumps(both | {"test/dr/kappa": {"value": 0.5}}))
    assert read_run(folder).figure == ("test/dr/kappa", 0.5)


def test_state_figure_size_and_date_are_those_of_the_files(tmp_path: Path) -> None:
    made(tmp_path, "canet/a/0123abcd-2", finished=False, steps=())
    done = made(tmp_path, "canet/a/0123abcd-1")
    made(tmp_path, "canet/a/0123abcd-10")
    (tmp_path / "canet/a/latest").symlink_to("0123abcd-1")
    (tmp_path / "canet/linked").symlink_to("a")
    (tmp_path / "canet/a/notes").mkdir()
    (tmp_path / "canet/a/0123abcd-3").mkdir()
    runs = runs_below(tmp_path)
    assert [run.path.name for run in runs] == ["0123abcd-1", "0123abcd-2", "0123abcd-10"]
    first, second, _ = runs
    assert (first.group, first.state, first.done, first.jobs) == ("canet/a", "finished", 1, 1)
    assert first.figure == ("test/dr/kappa", 0.5)
    assert first.date == "2026-02-03T00:00:00+00:00"
    told = subprocess.run(
        ["find", str(done), "-type", "f", "-printf", "%s\n"], capture_output=True, text=True, check=True
    )
    assert first.size == sum(map(int, told.stdout.split()))
    assert (second.state, second.done, second.figure, second.date) == (
        "unfinished", 0, None, "2026-01-02T03:04:05+00:00",
    )  # fmt: skip
    assert read_run(tmp_path / "canet/a/latest").path == done.resolve()


def test_folds_and_seeds_are_counted_as_the_runner_names_them(tmp_path: Path) -> None:
    from retinalab.experiment import as_mapping, load_experiment

    experiment = load_experiment(
        "baseline", "synthetic", ["folds=3", "protocol.split=folds", "seeds=2", "seed=4"]
    )
    children = [child.name for child in children_of(experiment)]
    steps = tuple(f"{name}/train" for name in children[:4])
    made(tmp_path, "baseline/x/01234567-1", False, steps, as_mapping(experiment), children=())
    (run,) = runs_below(tmp_path)
    assert (run.done, run.jobs) == (4, len(children))
    made(
        tmp_path,
        "baseline/y/01234567-1",
        False,
        ("train",),
        as_mapping(load_experiment("baseline")) | {"fold": 1},
    )
    assert [(run.done, run.jobs) for run in runs_below(tmp_path)] == [(4, 6), (1, 1)]


def test_what_the_runner_locks_is_seen_as_running(tmp_path: Path) -> None:
    folder = made(tmp_path, "canet/a/0123abcd-1", finished=False)
    assert held_below(folder) == ()
    with busy(folder / ".lock-fold-1_seed-0"):
        assert held_below(folder) == ("fold-1_seed-0",)
        (run,) = runs_below(tmp_path)
        assert run.state == "running"
        (removal,) = plan([run], unfinished=True)
        assert removal.kept == "a process works on it"
        assert remove(removal) == 0
    assert runs_below(tmp_path)[0].state == "unfinished"


def test_a_run_of_the_runners_own_is_running_while_it_is_claimed(tmp_path: Path) -> None:
    from retinalab.experiment import load_experiment

    root = write_fake_set("table", tmp_path / "table", 8)
    experiment = load_experiment(
        "baseline", "deepdrid", ["data.set=table", f"data.root={root}", f"output={tmp_path / 'runs'}"]
    )
    with claim(experiment, {}) as folder:
        run = read_run(folder.path)
        assert (run.state, run.working) == ("running", ("all",))
    (run,) = runs_below(tmp_path / "runs")
    assert run.state == "unfinished"


def test_of_a_finished_run_only_what_a_resumption_needs_goes(tmp_path: Path) -> None:
    stages = {"lesions": {}, "grading": {"start_from": {"stage": "lesions", "which": "last"}}}
    steps = tuple(f"seed-{k}/{stage}" for k in (0, 1) for stage in stages)
    folder = made(
        tmp_path,
        "clpi/a/0123abcd-1",
        steps=steps,
        experiment={"stages": stages, "seeds": 2},
        children=("seed-0", "seed-1"),
    )
    (folder / "seed-1/checkpoints/grading/best.ckpt").unlink()
    (removal,) = plan(runs_below(tmp_path), unfinished=True)
    assert removal.size == 2 * 3000 + 5000  # both seeds' step of lesions; last and step of seed 0's grading
    assert remove(removal) == removal.size
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.ckpt"))
    assert left == [
        "seed-0/checkpoints/grading/best.ckpt",
        "seed-0/checkpoints/lesions/best.ckpt",
        "seed-0/checkpoints/lesions/last.ckpt",
        "seed-1/checkpoints/grading/last.ckpt",
        "seed-1/checkpoints/grading/step.ckpt",
        "seed-1/checkpoints/lesions/best.ckpt",
        "seed-1/checkpoints/lesions/last.ckpt",
    ]
    assert plan(runs_below(tmp_path), unfinished=True) == []


def test_unfinished_runs_go_whole_and_only_when_asked_for(tmp_path: Path) -> None:
    folder = made(tmp_path, "canet/a/0123abcd-1", finished=False, steps=())
    beside = made(tmp_path, "canet/a/0123abcd-2", finished=False, steps=())
    runs = runs_below(tmp_path)
    assert plan(runs) == []
    first, second = plan(runs, unfinished=True)
    assert (first.whole, first.size) == (True, runs[0].size)
    assert plan(runs, [runs[1]], unfinished=True) == [second]
    assert remove(first) == runs[0].size
    assert not folder.exists()
    assert beside.exists()
    (beside / "state.json").write_text(json.dumps({"stages": ["train"], "finished": True}))
    assert remove(second) == 0  # it was finished after it had been listed
    assert beside.exists()


@pytest.mark.parametrize("told", ["taken", "asked"])
def test_what_another_run_takes_stages_over_from_stays(tmp_path: Path, told: str) -> None:
    source = made(tmp_path, "canet/a/0123abcd-1")
    known: dict[str, Any] = (
        {"reused": {"train": {"run": str(source), "commit": "x"}}}
        if told == "taken"
        else {"command": f"retinalab exp canet a --reuse {source} seed=1"}
    )
    made(tmp_path, "canet/b/0123abcd-1", finished=False, provenance=known)
    found = {one.run.group: one for one in plan(runs_below(tmp_path), unfinished=True)}
    assert found["canet/a"].kept.endswith("canet/b/0123abcd-1 takes stages over from it")
    assert remove(found["canet/a"]) == 0
    assert (source / "checkpoints/train/last.ckpt").is_file()
    assert found["canet/b"].kept == ""


def test_what_cannot_be_read_is_listed_and_stays(tmp_path: Path) -> None:
    folder = made(tmp_path, "canet/a/0123abcd-1", finished=False)
    (folder / "state.json").write_text("{")
    (run,) = runs_below(tmp_path)
    assert run.state == "unreadable"
    (removal,) = plan([run], unfinished=True)
    assert removal.kept == "its files cannot be read"


def test_nothing_is_removed_while_a_process_begins_on_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path, "canet/a/0123abcd-1", finished=False)
    (removal,) = plan(runs_below(tmp_path), unfinished=True)
    monkeypatch.setattr("retinalab.runs.locks._PATIENCE", 0.1)
    with busy(folder.parent / ".claim.lock"), pytest.raises(RetinalabError, match="is beginning a run in"):
        remove(removal)
    monkeypatch.setattr("retinalab.runs.clean.held_below", lambda _: ())
    with busy(folder / ".lock"):
        assert remove(removal) == 0
    assert folder.exists()


def test_looking_disturbs_no_lock_and_writes_nothing(tmp_path: Path) -> None:
    folder = made(tmp_path, "canet/a/0123abcd-1")
    before = {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*")}
    time.sleep(0.01)
    plan(runs_below(tmp_path))
    assert {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*")} == before
    with FileLock(folder / ".lock", timeout=0):
        assert read_run(folder).state == "running"


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RetinalabError, match=r"No folder .* of runs"):
        runs_below(tmp_path / "absent")
    with pytest.raises(RetinalabError, match="is no run's folder"):
        read_run(tmp_path)
