"""What is frozen stays, block by block the rate is the one worked by hand: in every task that is trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from retinalab.errors import RetinalabError
from retinalab.registry import task_class, task_config
from retinalab.runner.trainer import quiet
from retinalab.tasks.base import Task
from retinalab.tasks.layers import blocks_of, layer_rates, with_rates

SIDE = 64
SCALES = {"dr": "icdr5", "dme": "risk3"}
SMALL = {"backbone": "resnet18"}
CASES: dict[str, dict[str, Any]] = {
    "baseline": SMALL,
    "baseline-segmentation": {},
    "canet": {**SMALL, "features": 16},
    "clpi": {**SMALL, "widths": "small"},
    "clpi-lesions": {**SMALL, "network": "plain"},
    "sian": SMALL,
    "l-net": SMALL,
    "ellg": {"side": SIDE, "width": 4, "hidden": 8, "blocks": 3},
}


def made(name: str, **options: Any) -> Task:
    torch.manual_seed(0)
    config = task_config(name).model_validate({"name": name, **CASES[name], **options})
    scales = {} if name in ("l-net", "clpi-lesions", "baseline-segmentation") else SCALES
    task: Task = task_class(name)(config, scales, windows=4 if name == "clpi-lesions" else 0)
    return task


def photographs(name: str, count: int = 4) -> list[dict[str, Any]]:
    side = 68 if name == "clpi-lesions" else SIDE
    drawn = torch.Generator().manual_seed(1)
    mask = torch.zeros(8, side, side, dtype=torch.uint8)
    mask[:, :9, :9] = 1
    return [
        {
            "image": torch.rand(3, side, side, generator=drawn),
            "grades": {"dr": torch.tensor(k % 5), "dme": torch.tensor(k % 3)},
            "present": torch.ones(8),
            "label": torch.tensor(k % 4),
            "index": torch.tensor(k),
            "mask": mask,
        }
        for k in range(count)
    ]


class Batches(DataLoader[Any]):
    """Whole batches; only windows carry labels."""

    def __init__(self, name: str) -> None:
        given = photographs(name)
        for one in given:
            if name not in ("clpi-lesions",):
                one.pop("label")
        super().__init__(given, batch_size=2)  # type: ignore[arg-type]


def fitted(task: Task, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, epochs: int = 1) -> Trainer:
    monkeypatch.setattr(Task, "total_steps", 8)
    with quiet():
        trainer = Trainer(
            default_root_dir=folder,
            accelerator="cpu",
            max_epochs=epochs,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(task, Batches(name), Batches(name))
    return trainer


def state(task: Task) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in task.network.state_dict().items()}


def inside(task: Task, name: str) -> bool:
    return any(name.startswith(f"{one}.") for one in task.frozen)


@pytest.mark.parametrize("name", CASES)
def test_a_frozen_backbone_keeps_every_weight_and_statistic(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = {"ellg": 1e-4}.get(name, 1e-2)
    task = made(name, freeze="backbone", learning_rate=rate, **({"warmup": 0.0} if "clpi" in name else {}))
    before = state(task)
    fitted(task, name, tmp_path, monkeypatch)
    after = state(task)
    changed = {one for one in before if not torch.equal(before[one], after[one])}
    held = {one for one in before if inside(task, one)}
    assert held
    assert not changed & held
    assert changed


def test_what_is_not_frozen_moves_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = made("canet", freeze=["backbone.net.conv1", "backbone.net.layer2"])
    before = state(task)
    fitted(task, "canet", tmp_path, monkeypatch, epochs=2)
    moved = {name for name, value in task.network.named_parameters() if not torch.equal(before[name], value)}
    held = {name for name, _ in task.network.named_parameters() if inside(task, name)}
    assert moved == {name for name, _ in task.network.named_parameters()} - held
    assert {name.split(".")[2] for name in held} == {"conv1", "layer2"}


@pytest.mark.parametrize("name", ["canet", "ellg"])
def test_what_is_frozen_for_an_epoch_thaws_in_the_next(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = {"ellg": 1e-4}.get(name, 1e-2)
    seen: list[bool] = []
    task = made(name, freeze="backbone", freeze_epochs=1, learning_rate=rate)
    before = state(task)

    def look(self: Task) -> None:
        after = state(self)
        seen.append(all(torch.equal(before[one], after[one]) for one in before if inside(self, one)))

    monkeypatch.setattr(Task, "on_train_epoch_end", look)
    fitted(task, name, tmp_path, monkeypatch, epochs=2)
    assert seen == [True, False]
    learned = [
        not torch.equal(before[one], value)
        for one, value in task.network.named_parameters()
        if inside(task, one) and value.requires_grad
    ]
    assert sum(learned) > len(learned) // 2


def rates(task: Task) -> dict[str, float]:
    given = task.configure_optimizers()
    optimiser = given["optimizer"] if isinstance(given, dict) else given
    by_id = {id(one): name for name, one in task.network.named_parameters()}
    return {
        by_id[id(one)]: group.get("initial_lr", group["lr"])
        for group in optimiser.param_groups
        for one in group["params"]
    }


@pytest.mark.parametrize(
    ("name", "trunk"),
    [
        ("baseline", "backbone"),
        ("canet", "backbone.net"),
        ("clpi", "backbone.net"),
        ("sian", "main.net"),
        ("l-net", ""),
    ],
)
def test_the_rates_of_resnet18_are_halved_from_stage_to_stage(
    name: str, trunk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Task, "total_steps", 8)
    task = made(name, layer_decay=0.5, learning_rate=0.32)
    if not trunk:
        (trunk,) = task.backbones()
    found = rates(task)
    assert len(found) == sum(1 for one in task.network.parameters() if one.requires_grad)
    by_hand = {"conv1": 0.01, "bn1": 0.01, "layer1": 0.02, "layer2": 0.04, "layer3": 0.08, "layer4": 0.16}
    for one, rate in found.items():
        stage = (
            one.removeprefix(f"{trunk}.").split(".")[0].split("_")[0] if one.startswith(f"{trunk}.") else ""
        )
        assert rate == pytest.approx(by_hand.get(stage, 0.32)), one
    assert set(found.values()) >= {0.01, 0.16, 0.32}


def test_the_rates_of_the_o_o_network_and_of_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "total_steps", 8)
    found = rates(made("ellg", layer_decay=0.1, learning_rate=1.0))
    expected = {"stage1": 1e-3, "stage2": 1e-2, "stage3": 1e-1}
    for name, rate in found.items():
        assert rate == pytest.approx(
            expected.get(name.split(".")[1] if name.startswith("blocks.") else "", 1.0)
        )
    encoder = rates(made("baseline-segmentation", layer_decay=0.5, learning_rate=1.0))
    assert encoder["maps.encoder.conv1.weight"] == pytest.approx(0.5**5)
    assert encoder["maps.encoder.layer4.1.bn2.bias"] == pytest.approx(0.5)
    assert encoder["maps.segmentation_head.0.weight"] == 1.0


def test_a_generators_own_share_stays_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "total_steps", 8)
    found = rates(made("clpi", layer_decay=0.5, learning_rate=1.0, generator_rate=0.25))
    assert {rate for name, rate in found.items() if name.startswith("generator.")} == {0.25}
    assert found["backbone.net.layer4.0.conv1.weight"] == 0.5


def test_without_a_decay_groups_are_the_ones_that_were_given() -> None:
    task = made("baseline")
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": 3.0}]
    assert task.rated(groups, 1.0) == groups


def test_parted_groups_keep_their_options_and_every_parameter_once() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 1))
    factors = {id(one): factor for one, factor in zip(net.parameters(), (0.1, 0.1, 0.5, 0.5), strict=False)}
    given = [{"params": list(net.parameters()), "weight_decay": 0.3}]
    parted = with_rates(given, 2.0, factors)
    assert [(len(one["params"]), one["lr"], one["weight_decay"]) for one in parted] == [
        (2, 0.2, 0.3),
        (2, 1.0, 0.3),
        (2, 2.0, 0.3),
    ]


def test_blocks_of_a_plain_network_are_its_children() -> None:
    net = nn.Sequential()
    for name, part in (
        ("conv", nn.Conv2d(3, 4, 3)),
        ("norm", nn.BatchNorm2d(4)),
        ("pool", nn.MaxPool2d(2)),
        ("low", nn.Sequential(nn.Conv2d(4, 4, 3))),
        ("high", nn.Sequential(nn.Conv2d(4, 4, 3, bias=False))),
    ):
        net.add_module(name, part)
    assert blocks_of(net) == [
        ["conv.weight", "conv.bias", "norm.weight", "norm.bias"],
        ["low.0.weight", "low.0.bias"],
        ["high.0.weight"],
    ]
    found = layer_rates(nn.ModuleDict({"trunk": net}), ["trunk"], 0.5)
    assert math.isclose(found["trunk.conv.weight"], 0.125)
    assert math.isclose(found["trunk.high.0.weight"], 0.5)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("canet", {"freeze": "backbone.net.layer5"}, "Did you mean 'backbone.net.layer4'?"),
        ("canet", {"freeze": "encoder"}, "Unknown module 'encoder'."),
        ("baseline", {"freeze": ["backbone", "heads"]}, "nothing is left to learn"),
        ("l-net", {"class_weights": "balanced"}, "weighs no grades"),
        ("canet", {"class_weights": {"dr": [1, 2]}}, "class_weights gives 2 weights for 'dr'"),
        ("ellg", {"class_weights": {"amd": "balanced"}}, "class_weights gives weights for 'amd'"),
    ],
)
def test_what_cannot_be_is_one_line(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RetinalabError) as error:
        made(name, **options)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1
