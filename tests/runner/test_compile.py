"""A compiled network trains, and what it saves is read without a compiler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from retinalab.config import TrainerConfig
from retinalab.registry import task_class
from retinalab.runner import run
from retinalab.runner.compile import compile_network
from retinalab.runner.trained import load_task
from retinalab.tasks.base import Task


def baseline() -> Task:
    torch.manual_seed(0)
    task: Task = task_class("baseline")({"name": "baseline", "backbone": "test_resnet"}, {"dr": "icdr5"})
    return task


def test_only_what_is_asked_for_is_compiled() -> None:
    assert not compile_network(baseline(), TrainerConfig())
    assert not compile_network(baseline(), TrainerConfig(compile=False))
    task = baseline()
    assert compile_network(task, TrainerConfig(compile=True), "eager")
    assert task.network._compiled_call_impl is not None


def test_the_compiler_runs_and_names_stay() -> None:
    plain, task = baseline(), baseline()
    compile_network(task, TrainerConfig(compile=True), "eager")
    assert list(task.state_dict()) == list(plain.state_dict())
    calls: list[int] = []

    def counted(graph: Any, inputs: Any) -> Any:
        calls.append(len(inputs))
        return graph.forward

    compile_network(task, TrainerConfig(compile=True), counted)  # type: ignore[arg-type]
    images = torch.rand(2, 3, 64, 64)
    for one in (plain, task):
        one.eval()
    torch.testing.assert_close(task(images)["dr"], plain(images)["dr"])
    assert calls


def test_parts_that_are_called_by_themselves_are_compiled_each() -> None:
    options = {"name": "clpi-lesions", "widths": "small"}
    task: Task = task_class("clpi-lesions")(options, {}, windows=4)
    compile_network(task, TrainerConfig(compile=True), "eager")
    assert isinstance(task.network, nn.ModuleDict)
    assert task.network["generator"]._compiled_call_impl is not None


def test_a_run_that_compiles_leaves_checkpoints_like_any_other(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    kept = nn.Module.compile

    def eager(self: nn.Module, backend: str) -> None:
        compiled.append(backend)
        kept(self, backend="eager")

    monkeypatch.setattr(nn.Module, "compile", eager)
    short = ("train.trainer.max_epochs=1", "train.trainer.limit_train_batches=2")
    plain = run(make("one", *short, output=tmp_path / "plain"))
    result = run(make("one", *short, "train.trainer.compile=true", output=tmp_path / "compiled"))
    assert set(compiled) == {"inductor"}
    assert result.folder.name == plain.folder.name  # the same is computed
    states = [
        torch.load(one.folder / "checkpoints/train/last.ckpt", weights_only=True)["state_dict"]
        for one in (plain, result)
    ]
    assert list(states[0]) == list(states[1])
    task = load_task(result.folder / "checkpoints/train/best.ckpt", "madeup-severity")
    assert type(task.network._compiled_call_impl) is type(None)
