"""Training that goes on from another run: which weights, which heads, whose patients, and what is refused."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import experiment_id, load_experiment
from retinalab.runner import run
from retinalab.tasks.base import Task

FILE = """
protocol: {diseases: {dr: icdr5, dme: risk3}}
test: {saliency: false}
data: {set: table, size: 32, batch_size: 8, normalise: unit}
stages:
  train:
    task: {name: baseline, backbone: resnet10t}
    trainer: {max_epochs: 1, accelerator: cpu, devices: 1, precision: 32-true}
"""
Make = Callable[..., Experiment]


@pytest.fixture(scope="module")
def made(fake_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tmp_path_factory.mktemp("origin")
    (folder / "mine.yaml").write_text(FILE, encoding="utf-8")

    def build(*overrides: str) -> Experiment:
        given = [
            f"roots.table={fake_sets / 'table'}",
            f"data.cache={folder / 'cache'}",
            f"output={folder / 'runs'}",
        ]
        return load_experiment("baseline", str(folder / "mine.yaml"), [*given, *overrides])

    return build


@pytest.fixture(scope="module")
def source(made: Make) -> Path:
    folder = run(made("seed=3")).folder
    return folder.resolve()


def state(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "checkpoints/train/best.ckpt", weights_only=True)[
        "state_dict"
    ]
    return found


def began(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    seen: list[dict[str, torch.Tensor]] = []

    def look(self: Task) -> None:
        seen.append({name: one.clone() for name, one in self.state_dict().items()})

    monkeypatch.setattr(Task, "on_fit_start", look)
    return seen


def known(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    return found


def test_it_begins_with_those_weights_and_heads_of_other_grades_anew(
    made: Make, source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen, theirs = began(monkeypatch), state(source)
    run_folder = source.resolve()
    caplog.set_level(logging.INFO)
    found = run(made(f"train.start_from={source}", "protocol.diseases={dr: referable, dme: risk3}"))
    for name, value in seen[0].items():
        if name.startswith("network.heads.dr."):
            assert value.shape[0] == 2
        else:
            assert torch.equal(value, theirs[name]), name
    assert "heads made afresh: dr (5 grades there, 2 here)" in caplog.text
    entry = known(found.folder)["started_from"]["train"]
    file = run_folder / "checkpoints/train/best.ckpt"
    assert entry["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert entry["run"] == str(run_folder)
    assert entry["commit"] == known(run_folder)["commit"]
    assert entry["data"] == {"table": known(run_folder)["data"]["train"]["table"]["fingerprint"]}
    assert (found.folder / "start-train.json").is_file()
    report = (found.folder / "report.html").read_text(encoding="utf-8")
    assert run_folder.name in report
    assert entry["sha256"][:12] in report


def test_patients_of_the_test_part_that_it_knows_are_counted(made: Make) -> None:
    folds = ("protocol.split=folds", "folds=2")
    source = run(made(*folds, "fold=0")).folder
    found = run(made(f"train.start_from={source}", *folds, "fold=1"))
    told = known(found.folder)
    before = pd.read_csv(source / "split-train.csv", dtype=str)
    now = pd.read_csv(found.folder / "split-train.csv", dtype=str)
    learned = set(before.loc[before["part"] != "test", "patient"])
    tested = now[now["part"] == "test"]
    again = tested[tested["patient"].isin(learned)]
    assert len(again)
    entry = told["started_from"]["train"]
    assert (entry["patients"], entry["photographs"]) == (again["patient"].nunique(), len(again))
    assert any(one.startswith("leaky: the run that stage train began with") for one in told["labels"])
    assert f"{again['patient'].nunique()} tested patients" in " ".join(told["notes"])


def test_the_same_split_meets_nobody_again(made: Make, source: Path) -> None:
    told = known(run(made(f"train.start_from={source}")).folder)
    assert told["started_from"]["train"]["photographs"] == 0
    assert not any(one.startswith("leaky") for one in told["labels"])
    assert "no tested photograph or patient is, by name, among what it learned from" in " ".join(
        told["notes"]
    )


def test_a_run_that_has_not_finished_is_named_so(
    made: Make, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (source / "provenance.json").read_text(encoding="utf-8")
    ended = run(made(f"train.start_from={source}"))
    assert not any("had not finished" in note for note in known(ended.folder)["notes"])
    assert "has not finished" not in caplog.text
    broken_off = {key: value for key, value in json.loads(text).items() if key != "finished"}
    try:
        (source / "provenance.json").write_text(json.dumps(broken_off), encoding="utf-8")
        begun = run(made(f"train.start_from={source}"))
    finally:
        (source / "provenance.json").write_text(text, encoding="utf-8")
    assert "that run had not finished, and may come to another checkpoint" in " ".join(
        known(begun.folder)["notes"]
    )
    assert f"{source.resolve()} has not finished" in caplog.text


def test_another_disease_starts_anew_and_one_that_is_left_out_is_no_fault(
    made: Make, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = began(monkeypatch)
    run(made(f"train.start_from={source}", "protocol.diseases={dme: risk3}"))
    assert not any(".dr." in name for name in seen[0])
    assert torch.equal(seen[0]["network.heads.dme.weight"], state(source)["network.heads.dme.weight"])


def test_the_run_is_known_by_its_checkpoint(made: Make, source: Path, tmp_path: Path) -> None:
    from retinalab.runner.origin import settled

    link = source.parent / "linked"
    link.symlink_to(source.name)
    first = settled(made(f"train.start_from={link}"))
    by_file = settled(made(f"train.start_from={source}/checkpoints/train/best.ckpt"))
    assert experiment_id(first) == experiment_id(by_file)
    assert experiment_id(first) != experiment_id(made())
    start = first.stages["train"].start_from
    assert start is not None
    assert start.run == source
    other = f"train.start_from={{run: {source}, sha256: {'ab' * 32}}}"
    with pytest.raises(RetinalabError, match="is another checkpoint"):
        settled(made(other))
    link.unlink()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["train.start_from={source}", "train.task.backbone=resnet18"],
            "'baseline' on resnet10t, and this stage trains",
        ),
        (
            ["train.start_from={source}", "train.task={{name: canet, backbone: resnet18}}"],
            "trains task 'canet'",
        ),
        (
            ["train.start_from={source}", "train.task.presence_weight=1"],
            "2 are not given (network.heads.presence",
        ),
        (["train.start_from={source}/nowhere"], "No run at"),
        (["train.start_from={parent}"], "It holds runs: give"),
        (["train.start_from={{run: {source}, stage: grading}}"], "Unknown stage 'grading'"),
    ],
)
def test_what_does_not_fit_is_one_line(made: Make, source: Path, overrides: list[str], said: str) -> None:
    before = sorted(source.parent.iterdir())
    with pytest.raises(RetinalabError) as error:
        run(made(*(one.format(source=source, parent=source.parent) for one in overrides)))
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert sorted(source.parent.iterdir()) == before


def test_a_start_from_nowhere_is_refused(made: Make) -> None:
    with pytest.raises(RetinalabError, match="name an earlier stage"):
        made("train.start_from={which: last}")


def test_of_several_networks_one_is_named(made: Make) -> None:
    several = run(made("seeds=2", "seed=7")).folder
    with pytest.raises(RetinalabError, match=r"holds 2 networks \(seed-7, seed-8\). Name the one"):
        run(made(f"train.start_from={several}"))
    found = run(made(f"train.start_from={several / 'seed-8'}"))
    assert known(found.folder)["started_from"]["train"]["run"].endswith("seed-8")


def test_a_checkpoint_that_runs_code_is_refused(made: Make, source: Path, tmp_path: Path) -> None:
    import shutil

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "touched",))

    copy = tmp_path / "copy"
    shutil.copytree(source.resolve(), copy)
    torch.save({"state_dict": Evil()}, copy / "checkpoints/train/best.ckpt")
    with pytest.raises(RetinalabError, match="could run code"):
        run(made(f"train.start_from={copy}"))
    assert not (tmp_path / "touched").exists()
