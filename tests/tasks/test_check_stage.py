"""What a task cannot take is refused from its stage's options alone, before a photograph is read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retinalab.config import DataConfig, Stage, TaskConfig
from retinalab.errors import RetinalabError
from retinalab.tasks.base import Task
from retinalab.tasks.baseline import BaselineTask
from retinalab.tasks.segmentation import SegmentationTask

VIT = "vit_tiny_patch16_224"


def checked(task: Task, **data: Any) -> None:
    stage = Stage(task=task.config, data=DataConfig(set="table", **data))
    task.to("meta").eval().check_stage(stage, ())


def test_a_backbone_that_takes_one_size_alone() -> None:
    task = BaselineTask({"name": "baseline", "backbone": VIT}, {"dr": "icdr5"})
    checked(task, size=256, crop=224)
    with pytest.raises(
        RetinalabError, match=r"^Task 'baseline' cannot take photographs of 256x256 pixels \(.*224"
    ):
        checked(task, size=256)


def test_a_convolutional_backbone_takes_any_size() -> None:
    task = BaselineTask({"name": "baseline", "backbone": "resnet10t"}, {"dr": "icdr5"})
    checked(task, size=100)


def test_a_segmentation_network_pads_and_needs_masks() -> None:
    task = SegmentationTask({"name": "baseline-segmentation", "encoder": "resnet18"}, {})
    checked(task, size=100, masks=True)
    with pytest.raises(RetinalabError, match=r"needs lesion masks\. Set data\.masks=true"):
        checked(task, size=100)


class Reads(nn.Module):
    """A network whose way depends on a value, which the meta device has not."""

    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum().item() > 0 else images.mean((2, 3))


class ReadsTask(Task):
    def build_network(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 3, 1), Reads())


class Finds(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.nonzero()


class FindsTask(Task):
    def build_network(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 3, 1), Finds())


@pytest.mark.parametrize("kind", [ReadsTask, FindsTask])
def test_a_network_that_looks_at_values_cannot_be_tried_without_them(kind: type[Task]) -> None:
    task = kind(TaskConfig(name="baseline"), {})
    task.try_blank(8)
    task.to("meta").try_blank(8)


def test_a_side_that_does_not_fit_is_told_with_its_reason() -> None:
    class Narrow(Task):
        def build_network(self) -> nn.Module:
            return nn.Conv2d(3, 1, 9)

    task = Narrow(TaskConfig(name="baseline"), {}).to("meta")
    task.try_blank(9)
    with pytest.raises(RetinalabError, match=r"8x8 pixels \(.*[Kk]ernel size"):
        task.try_blank(8)
    assert torch.device("meta") == task.device
