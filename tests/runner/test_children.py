"""Folds and seeds trained by commands of their own, and gathered into what one command makes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock

from retinalab.errors import RetinalabError
from retinalab.runner import run
from retinalab.runner.provenance import concluded

SHORT = ("train.trainer.max_epochs=1",)
FOLDS = ("folds=2", "protocol.split=folds", *SHORT)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, training is an error."""

    def refuse() -> None:
        def trains(*words: object, **named: object) -> None:
            raise AssertionError("trained")

        monkeypatch.setattr(import_module("retinalab.runner.work"), "run_stage", trains)

    return refuse


def test_folds_trained_apart_are_gathered_into_what_one_command_makes(
    make: Callable[..., Any], tmp_path: Path, untrained: Callable[[], None]
) -> None:
    whole = run(make("one", *FOLDS, output=tmp_path / "whole"))
    apart = make("one", *FOLDS, output=tmp_path / "apart")
    with pytest.raises(RetinalabError, match=r"^Nothing to gather: .* Train its folds and seeds first"):
        run(apart, gather=True)
    second = run(apart, only=["fold-1"])
    assert second.left == ("fold-0",)
    assert not (second.folder / "metrics.json").exists()
    assert not (second.folder.parent / "latest").exists()
    with pytest.raises(
        RetinalabError, match=r"cannot be gathered yet: fold-0 is not trained\. Train each with --only"
    ):
        run(apart, gather=True)
    first = run(apart, only=["fold-0"])
    assert (first.folder, first.left) == (second.folder, ())
    untrained()
    assert run(apart, only=["fold-0"]).left == ()
    gathered = run(apart, gather=True)
    assert gathered.folder == first.folder
    pd.testing.assert_frame_equal(gathered.predictions, whole.predictions, check_exact=True)
    assert gathered.metrics == whole.metrics
    assert (gathered.folder / "report.html").is_file()
    assert json.loads((gathered.folder / "state.json").read_text())["finished"]
    assert run(apart, gather=True).folder == gathered.folder
    known, other = (json.loads((one.folder / "provenance.json").read_text()) for one in (gathered, whole))
    assert set(known["trained"]) == set(other["trained"]) == {"fold-0", "fold-1"}
    assert {key: known[key] for key in ("data", "split", "labels", "notes")} == {
        key: other[key] for key in ("data", "split", "labels", "notes")
    }


def test_all_that_is_left_is_trained_and_gathered_without_only(make: Callable[..., Any]) -> None:
    experiment = make("one", "seeds=2", *SHORT)
    (before,) = run(experiment, only=["seed-1"]).folder.glob("seed-1/checkpoints/train/best.ckpt")
    stamp = before.stat().st_mtime_ns
    result = run(experiment)
    assert result.left == ()
    assert sorted(result.predictions["seed"].unique()) == [0, 1]
    assert before.stat().st_mtime_ns == stamp


def test_a_child_in_other_hands_is_left_to_them(
    make: Callable[..., Any], untrained: Callable[[], None]
) -> None:
    experiment = make("one", "seeds=2", *SHORT)
    folder = run(experiment, only=["seed-0"]).folder
    with FileLock(folder / ".lock-seed-1"):
        with pytest.raises(
            RetinalabError, match=r"^Another process works on .*, on seed-1\. Wait for it, or do another part"
        ):
            run(experiment, only=["seed-1"])
        with pytest.raises(RetinalabError, match=r"^Another process works on .*, on seed-1\. Wait for it"):
            run(experiment)
        untrained()
        assert run(experiment, only=["seed-0"]).left == ("seed-1",)
    with (
        FileLock(folder / ".lock"),
        pytest.raises(RetinalabError, match=r"seed=1\); folds, seeds and test sets are shared"),
    ):
        run(experiment)
    assert (folder / "seed-0/checkpoints/train/best.ckpt").is_file()


def test_what_is_in_other_hands_meanwhile_is_named_at_the_end(make: Callable[..., Any]) -> None:
    experiment = make("one", "seeds=3", *SHORT)
    folder = run(experiment, only=["seed-0"]).folder
    with (
        FileLock(folder / ".lock-seed-1"),
        pytest.raises(
            RetinalabError, match=r"lacks seed-1, on which another process works\. Gather the result when"
        ),
    ):
        run(experiment)
    assert (folder / "seed-2/checkpoints/train/best.ckpt").is_file()
    assert not (folder / "seed-1").exists()
    run(experiment, only=["seed-1"])
    assert sorted(run(experiment, gather=True).predictions["seed"].unique()) == [0, 1, 2]


def test_bad_input_removes_no_folder_in_which_another_works(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuses(*words: object, **named: object) -> None:
        raise RetinalabError("refused")

    monkeypatch.setattr(import_module("retinalab.runner.work"), "run_stage", refuses)
    experiment = make("one", "seeds=2", *SHORT)
    parent = tmp_path / "runs/madeup/one"
    with pytest.raises(RetinalabError, match="refused"):
        run(experiment, only=["seed-0"])
    assert not [path for path in parent.iterdir() if path.is_dir()]
    from retinalab.experiment import experiment_id

    folder = parent / f"{experiment_id(experiment)}-1"
    folder.mkdir()
    with FileLock(folder / ".lock-seed-1"), pytest.raises(RetinalabError, match="refused"):
        run(experiment, only=["seed-0"])
    assert folder.is_dir()


def test_states_of_the_code_that_had_a_share_are_noted() -> None:
    trained = {"fold-0": [{"commit": "a1"}], "fold-1": [{"commit": "b2"}, {"commit": "a1"}]}
    known = concluded({"notes": ["before"], "seconds": 2.0, "trained": trained}, 1.5)
    assert known["notes"] == [
        "before",
        "computed by different states of the code: a1 (fold-0, fold-1), b2 (fold-1)",
    ]
    assert known["seconds"] == 3.5
    assert concluded({"notes": [], "trained": {"all": [{"commit": "a1"}]}}, 1.0)["notes"] == []


def test_two_processes_share_folds_and_a_cold_cache(
    make: Callable[..., Any], fake_sets: Path, tmp_path: Path, untrained: Callable[[], None], repository: Path
) -> None:
    places = [f"output={tmp_path / 'runs'}", f"data.cache={tmp_path / 'cache'}"]
    words = ["exp", "madeup", "one", *FOLDS, *places, f"roots.table={fake_sets / 'table'}"]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "retinalab.cli", *words, "--only", fold],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository / "tests/made_up")},
        )
        for fold in ("fold-0", "fold-1")
    ]
    for process in started:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err[-2000:]
        assert "Done: fold-" in out
        assert "--gather" in out
    untrained()
    result = run(make("one", *FOLDS), gather=True)
    tested = result.predictions.query("part == 'test'")
    assert sorted(tested["fold"].unique()) == [0, 1]
    assert len(tested) == tested["image"].nunique() == 32
    assert [
        path.name for path in result.folder.parent.iterdir() if path.is_dir() and not path.is_symlink()
    ] == [result.folder.name]
