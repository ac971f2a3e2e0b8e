"""Class activation maps: a network whose map is known, the identity with the logit, and networks that have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retinalab.config import TaskConfig
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.explain import check_cam, class_activation_cells, class_activation_map, weighted_sum
from retinalab.explain.grid import Grid
from retinalab.registry import task_class, task_config
from retinalab.tasks import CamLayers, Outputs, Task

SCALES = {"dr": "icdr5", "dme": "risk3"}


class _Config(TaskConfig):
    name: str = "by-hand"


class ByHand(Task):
    """Channel c of the features is colour c averaged over blocks of 8 pixels; each grade weighs colours by hand."""

    config_class = _Config
    weights = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 0], [0, 2, -1]])

    def build_network(self) -> nn.Module:
        linear = nn.Linear(3, 5)
        with torch.no_grad():
            linear.weight.copy_(self.weights)
        return nn.ModuleDict({"linear": linear})

    def cam_layers(self, disease: str) -> CamLayers:
        linear = self.network.get_submodule("linear")
        assert isinstance(linear, nn.Linear)
        return CamLayers(nn.AvgPool2d(8), linear)

    def outputs(self, batch: Batch) -> Outputs:
        features, linear = self.cam_layers("dr")
        probabilities = linear(features(batch["image"]).mean((2, 3))).softmax(1)
        return Outputs(torch.zeros(()), grades={"dr": probabilities})


def made(name: str, **options: Any) -> Task:
    torch.manual_seed(1)
    config = task_config(name).model_validate({"name": name, **options})
    task: Task = task_class(name)(config, SCALES)
    for module in task.modules():  # running statistics of a fresh network would hide a map of the wrong layer
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            nn.init.normal_(module.running_mean, 0, 0.2)
    return task.eval()


def batch(side: int = 128) -> Batch:
    generator = torch.Generator().manual_seed(3)
    unknown = torch.full((2,), -1)
    images = torch.rand(2, 3, side, side, generator=generator)
    return Batch(image=images, grades=dict.fromkeys(SCALES, unknown), present=torch.full((2, 8), torch.nan))


def logits(task: Task, images: Tensor, disease: str) -> Tensor:
    """The network's own answer before any softmax, whatever it wraps it in."""
    given = task(images)
    each = given if isinstance(given, dict) else getattr(given, "logits", None) or given.refined
    found: Tensor = each[disease]
    return found


def test_a_map_that_is_known() -> None:
    task = ByHand(_Config(), {"dr": "icdr5"})
    images = torch.zeros(2, 3, 32, 32)
    images[0, 0, 8:16, 24:32] = 1  # red in the second row of blocks, last column
    images[1, 1, 24:32, 0:8] = 1  # green in the last row, first column
    cells, grid = class_activation_cells(task, "dr", images, torch.tensor([3, 4]))
    expected = torch.zeros(2, 4, 4)
    expected[0, 1, 3], expected[1, 3, 0] = 1, 2
    assert torch.equal(cells, expected)
    assert grid == Grid((3.5, 3.5), (8.0, 8.0))
    maps = class_activation_map(task, "dr", images, torch.tensor([3, 4]))
    line = torch.tensor([max(0.0, 1 - abs(min(max(p, 3.5), 27.5) - 11.5) / 8) for p in range(32)])
    last = torch.tensor([max(0.0, 1 - abs(min(max(p, 3.5), 27.5) - 27.5) / 8) for p in range(32)])
    assert torch.allclose(maps[0], torch.outer(line, last))
    assert torch.allclose(maps[1], 2 * torch.outer(last, last.flip(0)))


def test_against_loops() -> None:
    generator = np.random.default_rng(0)
    features, linear = generator.normal(size=(3, 7, 4, 5)), nn.Linear(7, 5)
    weights, rows = linear.weight.detach().numpy(), [4, 0, 2]
    found = weighted_sum(torch.tensor(features), linear, torch.tensor(rows))
    for b, k in enumerate(rows):
        for y in range(4):
            for x in range(5):
                by_hand = sum(float(weights[k, c]) * features[b, c, y, x] for c in range(7))
                assert found[b, y, x].item() == pytest.approx(by_hand, abs=1e-5)


PLAIN: list[tuple[str, dict[str, Any]]] = [
    ("baseline", {"backbone": "resnet18"}),
    ("baseline", {"backbone": "test_efficientnet", "dropout": 0.5}),
    ("baseline", {"backbone": "test_resnet", "presence_weight": 0.1}),
    ("clpi", {"backbone": "resnet18", "widths": "code"}),
    ("clpi", {"backbone": "resnet18", "widths": "code", "shortcut": False, "gradient": "all"}),
    ("clpi", {"backbone": "resnet18", "widths": "code", "variant": "attention"}),
    ("clpi", {"backbone": "resnet18", "variant": "plain"}),
    ("canet", {"backbone": "resnet18", "variant": "joint"}),
    ("canet", {"backbone": "resnet18", "variant": "joint-complex", "dropout": 0.5}),
]


@pytest.mark.parametrize(("name", "options"), PLAIN)
@torch.no_grad()
def test_the_mean_of_a_map_is_the_logit_without_its_bias(name: str, options: dict[str, Any]) -> None:
    task, given = made(name, **options), batch()
    for disease in SCALES:
        answer = logits(task, given["image"], disease)
        bias = task.cam_layers(disease).linear.bias
        assert bias is not None
        for grade in (0, 2):
            maps, _ = class_activation_cells(task, disease, given["image"], torch.full((2,), grade))
            assert torch.allclose(maps.mean((1, 2)), answer[:, grade] - bias[grade], atol=1e-4)
            assert maps.std() > 0
        check_cam(task, disease, given["image"], task.outputs(given))


@torch.no_grad()
def test_a_regression_has_the_map_of_its_severity() -> None:
    task, given = made("baseline", backbone="test_resnet", output="severity"), batch()
    maps, _ = class_activation_cells(task, "dr", given["image"], torch.tensor([3, 4]))
    bias = task.cam_layers("dr").linear.bias
    assert bias is not None
    assert torch.allclose(maps.mean((1, 2)), task.outputs(given).severity["dr"] - bias, atol=1e-5)
    check_cam(task, "dr", given["image"], task.outputs(given))


@pytest.mark.parametrize("variant", ["canet", "multi-task", "mtmr"])
def test_a_network_that_pools_earlier_says_that_it_has_none(variant: str) -> None:
    task = made("canet", backbone="resnet18", variant=variant)
    with pytest.raises(
        RetinalabError, match=r"Task 'canet' has no plain class activation map: .* for dr\."
    ) as error:
        task.cam_layers("dr")
    assert "\n" not in str(error.value)


def test_patches_have_no_map_of_a_photograph() -> None:
    kind, config = task_class("clpi-lesions"), task_config("clpi-lesions")
    task = kind(config.model_validate({"widths": "code"}), {"dr": "icdr5"}, windows=4)
    with pytest.raises(RetinalabError, match="'clpi-lesions' has no plain class activation map"):
        task.cam_layers("dr")


@pytest.mark.parametrize(
    ("backbone", "side", "reason"),
    [("test_convnext", 128, "does more than pool"), ("test_vit", 160, "not a map of them")],
)
@torch.no_grad()
def test_a_map_that_would_not_explain_the_answer_is_refused(backbone: str, side: int, reason: str) -> None:
    task, given = made("baseline", backbone=backbone), batch(side)
    with pytest.raises(RetinalabError, match=reason):
        check_cam(task, "dr", given["image"], task.outputs(given))
