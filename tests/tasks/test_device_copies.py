"""No step of any task waits for the device: nothing is copied between it and the host, however a batch is made up.

Fake tensors have CUDA's semantics without a GPU: what would have to read a value on the host raises, and every copy
from one device to another passes the dispatcher, which is watched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import LightningModule
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchmetrics import Metric

from retinalab.config import AugmentConfig, DataConfig
from retinalab.data.batch import Batch
from retinalab.data.module import FundusDataModule
from retinalab.protocol import Protocol
from retinalab.registry import task_class
from retinalab.tasks.base import Task

CUDA = torch.device("cuda")
SIDE, PATCH = 128, 68
WAITS = {"aten::_linalg_check_errors"}
"""Operators that wait for the device without giving a value."""


class Watched(TorchDispatchMode):
    """Notes what crosses from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.crossed: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        before, after = devices((args, kwargs)), devices(given)
        name = func._schema.name
        moved = name in ("aten::_to_copy", "aten::copy_") and len(before | after) > 1
        if moved or name in WAITS:
            self.crossed.append(f"{name}: {sorted(before)} -> {sorted(after)}")
        return given


def devices(tree: Any) -> set[str]:
    return {leaf.device.type for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)}


@contextmanager
def fake_gpu() -> Iterator[None]:
    with FakeTensorMode(), torch.backends.cudnn.flags(enabled=False):  # cuDNN's sampler has no fake form
        yield


def made(name: str, options: dict[str, Any], scales: dict[str, str]) -> Task:
    windows = 4 if name in ("clpi-lesions", "madeup-patches") else 0
    task: Task = task_class(name)({"name": name, **options}, scales, windows=windows)
    return task


def on_fake_gpu(task: Task) -> None:
    """Put fake weights on a fake GPU in the place of the task's own, since none can be moved there."""
    task._device = CUDA
    for module in task.modules():
        for held in (module._parameters, module._buffers):
            for key, value in held.items():
                if value is not None:
                    held[key] = placed(value)
        if isinstance(module, Metric):
            for key in module._defaults:
                setattr(module, key, placed(getattr(module, key)))


def placed(value: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=CUDA)
    return nn.Parameter(empty, value.requires_grad) if isinstance(value, nn.Parameter) else empty


def batch_of(name: str) -> Batch:
    count, side = 3, PATCH if name == "clpi-lesions" else SIDE
    given: Batch = {
        "image": torch.empty(count, 3, side, side, device=CUDA),
        "grades": {d: torch.empty(count, dtype=torch.int64, device=CUDA) for d in ("dr", "dme")},
        "present": torch.empty(count, 8, device=CUDA),
        "index": torch.empty(count, dtype=torch.int64, device=CUDA),
    }
    if name in ("clpi-lesions", "madeup-patches"):
        given["label"] = torch.empty(count, dtype=torch.int64, device=CUDA)
    else:
        given["mask"] = torch.empty(count, 8, side, side, dtype=torch.uint8, device=CUDA)
    return given


SMALL = {"backbone": "resnet18"}
ELLG = {"side": SIDE, "width": 4, "hidden": 8}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("baseline", {**SMALL, "presence_weight": 0.5}),
    ("baseline", {**SMALL, "output": "severity", "dropout": 0.2}),
    ("baseline-segmentation", {}),
    ("canet", {**SMALL, "class_weights": {"dme": [1.0, 2.0, 3.0]}}),
    ("canet", {**SMALL, "variant": "mtmr"}),
    ("canet", {**SMALL, "variant": "multi-task"}),
    ("canet", {**SMALL, "variant": "joint-complex", "dropout_place": "pooled"}),
    ("clpi", {**SMALL, "widths": "small"}),
    ("clpi", {**SMALL, "widths": "small", "gradient": "all", "statistics": "keep"}),
    ("clpi", {**SMALL, "widths": "small", "variant": "attention"}),
    ("clpi", {**SMALL, "variant": "plain"}),
    ("clpi-lesions", {"widths": "small"}),
    ("clpi-lesions", {**SMALL, "network": "plain"}),
    ("sian", {**SMALL}),
    ("sian", {**SMALL, "train_side": True, "lesion_weight": 1.0}),
    ("sian", {**SMALL, "variant": "abn"}),
    ("sian", {**SMALL, "variant": "concat", "lesions": "classifier", "train_side": True, "lesion_weight": 1.0}),
    ("l-net", {**SMALL, "dual_after": 0}),
    ("l-net", {**SMALL, "loss": "focal"}),
    ("l-net", {**SMALL, "loss": "weighted-cross-entropy"}),
    ("l-net", {**SMALL, "network": "danet"}),
    ("l-net", {**SMALL, "network": "patch-fcn-32s"}),
    ("l-net", {**SMALL, "network": "deeplabv3plus"}),
    ("l-net", {**SMALL, "network": "abn"}),
    ("ellg", ELLG),
    ("ellg", {**SMALL, "output": "classes"}),
    ("madeup-marks", {}),
    ("madeup-severity", {}),
    ("madeup-patches", {}),
]  # fmt: skip


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda one: str(one)[:60])
def test_neither_training_nor_validation_waits(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LightningModule, "log", lambda *_, **__: None)
    monkeypatch.setattr(Task, "trainer", SimpleNamespace(val_dataloaders=None))
    scales = {} if name in ("l-net", "clpi-lesions") else {"dr": "icdr5", "dme": "risk3"}
    task = made(name, options, scales)
    with fake_gpu():
        on_fake_gpu(task)
        with Watched() as training:
            task.train()
            task.training_step(batch_of(name), 0)
        with Watched() as validation, torch.no_grad():
            task.eval()
            task.validation_step(batch_of(name), 0)
    assert training.crossed == []
    assert validation.crossed == []


AUGMENT = AugmentConfig(rotation=180, zoom=(0.8, 1.2), brightness=0.2)
PREPARED: list[dict[str, Any]] = [
    {},
    {"normalise": "unit"},
    {"normalise": {"mean": (0.4, 0.3, 0.2), "deviation": (0.3, 0.2, 0.1)}, "background": 1 / 60},
    {"background": {"kind": "median", "scale": 0.05, "circle": 0.9}},
]


@pytest.mark.parametrize("options", PREPARED, ids=str)
def test_neither_does_what_precedes_the_task(options: dict[str, Any]) -> None:
    module = FundusDataModule(DataConfig(augment=AUGMENT, size=SIDE, **options), Protocol())
    with fake_gpu():
        batch: Batch = {
            "image": torch.empty(2, 3, SIDE, SIDE, dtype=torch.uint8, device=CUDA),
            "mask": torch.empty(2, 8, SIDE, SIDE, dtype=torch.uint8, device=CUDA),
            "warp": torch.empty(2, 2, 3, device=CUDA),
            "colour": torch.empty(2, 3, 4, device=CUDA),
        }
        with Watched() as preparing:
            given = module.on_after_batch_transfer(batch, 0)
    assert given["image"].device.type == "cuda"
    assert preparing.crossed == []


def test_the_watch_sees_what_it_is_for() -> None:
    with fake_gpu():
        values = torch.empty(4, device=CUDA)
        with Watched() as watched:
            torch.tensor([1.0], device=CUDA)
            values.cpu()
            torch.linalg.inv(torch.empty(2, 2, device=CUDA))
        with pytest.raises(DataDependentOutputException):
            bool(values.sum() > 0)
        with pytest.raises(RuntimeError):
            values[values > 0]
    assert len(watched.crossed) == 3
