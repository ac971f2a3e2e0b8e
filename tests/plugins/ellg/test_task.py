"""The task: severity and its thresholds, the loss, the optimiser, and a timm network in its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from retinalab_ellg.config import EllgConfig
from retinalab_ellg.loss import severity_loss
from retinalab_ellg.network import DetectionNetwork
from retinalab_ellg.task import EllgTask, parameter_groups

from retinalab.config import DataConfig, Stage
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.tasks import Outputs

SMALL: dict[str, Any] = {"side": 64, "blocks": 3, "width": 4, "hidden": 8}


def task(scales: dict[str, str] | None = None, **options: Any) -> EllgTask:
    torch.manual_seed(0)
    return EllgTask(EllgConfig(**{**SMALL, **options}), scales or {"dr": "icdr5"})


def batch(grades: list[int]) -> Batch:
    images = torch.randn(len(grades), 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return Batch(image=images, grades={"dr": torch.tensor(grades)})


def test_the_loss_is_the_mean_square_over_known_grades() -> None:
    rng = np.random.default_rng(0)
    severity, grades = rng.normal(2, 2, 50), rng.integers(-1, 5, 50)
    expected = ((severity - grades)[grades >= 0] ** 2).mean()
    assert severity_loss(torch.tensor(severity), torch.tensor(grades)).item() == pytest.approx(expected)
    nothing = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = severity_loss(nothing, torch.tensor([-1, -1]))
    loss.backward()
    assert loss.item() == 0
    assert nothing.grad is not None
    assert not nothing.grad.any()


def test_severity_turns_into_grades_at_half_grades_and_ties_go_upward() -> None:
    answers = torch.tensor([-7.0, 0.49, 0.5, 1.5, 2.4999, 2.5, 3.49, 3.5, 11.0])
    given = Outputs(torch.zeros(()), severity={"dr": answers})
    assert given.predicted("dr", 5).tolist() == [0, 0, 1, 2, 2, 3, 3, 4, 4]
    rounded = np.clip(np.floor(answers.numpy() + 0.5), 0, 4)
    assert given.predicted("dr", 5).tolist() == rounded.astype(int).tolist()


def test_the_answer_is_the_severity_and_what_is_explained() -> None:
    module = task().eval()
    photographs = batch([0, 3, -1])
    given = module.outputs(photographs)
    answers = module(photographs["image"])
    assert torch.equal(given.severity["dr"], answers["dr"][:, 0])
    assert torch.equal(module.score(answers, "dr"), answers["dr"][:, 0])
    expected = ((given.severity["dr"][:2] - torch.tensor([0.0, 3.0])) ** 2).mean()
    torch.testing.assert_close(given.loss, expected)
    assert module.chosen_by() == ("val/dr/kappa", "max")


def test_feature_maps_are_the_blocks_with_their_pooling() -> None:
    module = task()
    assert list(module.feature_maps()) == ["stage1", "stage2", "stage3"]
    seen = {}
    for name, layer in module.feature_maps().items():
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape)}))
    module(torch.zeros(2, 3, 64, 64))
    assert seen == {"stage1": (2, 4, 16, 16), "stage2": (2, 8, 3, 3), "stage3": (2, 16, 1, 1)}


def test_any_timm_network_takes_its_place_as_regressor_or_classifier() -> None:
    classifier = task(backbone="resnet18", output="classes").eval()
    given = classifier.outputs(batch([0, 4]))
    assert given.grades["dr"].shape == (2, 5)
    assert list(classifier.feature_maps())[-1] == "layer4"
    assert classifier.cam_layers("dr").linear.out_features == 5
    regressor = task(backbone="resnet18").eval()
    assert regressor.outputs(batch([0, 4])).severity["dr"].shape == (2,)
    with pytest.raises(RetinalabError, match="no plain class activation map"):
        task().cam_layers("dr")


def test_the_penalty_has_the_gradient_of_squared_weights_and_leaves_biases_alone() -> None:
    module = task()
    (weights, biases) = parameter_groups(module.network, 2 * 5e-4)
    assert isinstance(module.network, DetectionNetwork)
    names = {id(parameter): name for name, parameter in module.network.named_parameters()}
    assert all(names[id(p)].endswith("weight") for p in weights["params"])
    assert all(names[id(p)].endswith("bias") for p in biases["params"])
    assert len(weights["params"]) + len(biases["params"]) == len(names)
    parameter = weights["params"][0]
    before = parameter.detach().clone().requires_grad_()
    (5e-4 * (before**2).sum()).backward()
    parameter.grad = torch.zeros_like(parameter)
    torch.optim.SGD([weights], 0.1).step()
    assert before.grad is not None
    torch.testing.assert_close(parameter.detach(), before.detach() - 0.1 * before.grad)
    assert biases["weight_decay"] == 0


def test_the_rate_falls_by_ten_at_each_milestone() -> None:
    configured = task(learning_rate=3e-5, milestones=(2, 4)).configure_optimizers()
    optimiser, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert optimiser.param_groups[0]["nesterov"]
    assert configured["lr_scheduler"]["interval"] == "epoch"
    rates = []
    for _ in range(6):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([3e-5, 3e-5, 3e-6, 3e-6, 3e-7, 3e-7])


def test_photographs_of_another_side_are_refused_before_training() -> None:
    module = task()
    for data in (DataConfig(size=64), DataConfig(size=72, crop=64)):
        module.check_stage(Stage(task=module.config, data=data), ())
    with pytest.raises(
        RetinalabError, match=r"built for 64 pixels \(task\.side\), and its photographs have 224"
    ):
        module.check_stage(Stage(task=module.config, data=DataConfig(size=256, crop=224)), ())
    other = task(backbone="resnet18")
    other.check_stage(Stage(task=other.config, data=DataConfig(size=224)), ())


def test_a_task_without_a_disease_is_refused() -> None:
    with pytest.raises(RetinalabError, match="grades no disease"):
        EllgTask(EllgConfig(), {})
