"""CANet as a task: its recipe, its checkpoint, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from lightning import Trainer
from retinalab_canet.config import CanetConfig, Variant
from retinalab_canet.task import CanetTask

from retinalab.config import DataConfig, Stage
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.registry import task_class, task_config

SCALES = {"dr": "icdr5", "dme": "risk3"}
TINY = {"backbone": "test_resnet", "features": 16, "reduction": 4}


def task(scales: dict[str, str] | None = None, **options: Any) -> CanetTask:
    torch.manual_seed(0)
    return CanetTask({"name": "canet", **TINY, **options}, scales or SCALES)


def batch(size: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return {
        "image": torch.randn(size, 3, 64, 64, generator=generator),
        "grades": {"dr": torch.arange(size) % 5, "dme": torch.arange(size) % 3},
    }


def test_the_registry_finds_the_task_and_its_options() -> None:
    assert task_class("canet") is CanetTask
    assert task_config("canet") is CanetConfig


def test_probabilities_are_those_of_the_refined_logits() -> None:
    module = task().eval()
    with torch.no_grad():
        given = module.outputs(batch())
        logits = module(batch()["image"])
    for disease in SCALES:
        expected = logits.refined[disease].exp() / logits.refined[disease].exp().sum(1, keepdim=True)
        torch.testing.assert_close(given.grades[disease], expected)


def test_lambda_and_weights_of_grades_reach_the_loss() -> None:
    plain = task().eval().outputs(batch()).loss.item()
    assert task(specific_weight=0.0).eval().outputs(batch()).loss.item() < plain
    weighted = task(class_weights={"dme": [1.0, 5.0, 0.2]}).eval().outputs(batch()).loss.item()
    assert weighted != pytest.approx(plain)


def test_adam_follows_a_cosine_over_27000_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    module = task()
    monkeypatch.setattr(CanetTask, "total_steps", 27_000)
    given = module.configure_optimizers()
    optimiser, plan = given["optimizer"], given["lr_scheduler"]
    assert type(optimiser) is torch.optim.Adam
    assert optimiser.param_groups[0]["weight_decay"] == 1e-4
    assert plan["interval"] == "step"
    factor = plan["scheduler"].lr_lambdas[0]
    rates = [3e-4 * factor(step) for step in (0, 13_500, 27_000)]
    assert rates == pytest.approx([3e-4, 1.5e-4, 0.0], abs=1e-12)
    assert isinstance(task(schedule="constant").configure_optimizers(), torch.optim.Adam)


def test_it_is_chosen_by_joint_accuracy_or_by_a_single_disease_s() -> None:
    assert task().chosen_by() == ("val/joint/accuracy", "max")
    assert task({"dr": "icdr5"}).chosen_by() == ("val/dr/accuracy", "max")


def test_weights_must_fit_the_scale() -> None:
    with pytest.raises(RetinalabError, match="2 weights for 'dr'; the protocol grades dr with 5, dme with 3"):
        task(class_weights={"dr": [1.0, 2.0]})


def test_a_side_that_the_backbone_cannot_take_is_told_before_training() -> None:
    module = task(backbone="vit_tiny_patch16_224").to("meta").eval()
    module.check_stage(Stage(task=module.config, data=DataConfig(set="table", size=224)), ())
    with pytest.raises(RetinalabError, match=r"'canet' cannot take photographs of 256x256 pixels \(.*224"):
        module.check_stage(Stage(task=module.config, data=DataConfig(set="table", size=256)), ())


@pytest.mark.parametrize("variant", get_args(Variant))
def test_the_loss_falls_on_one_batch(variant: str) -> None:
    module = task(variant=variant, dropout=0.0).train()
    optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = module.outputs(batch()).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_a_checkpoint_of_a_run_gives_the_same_outputs(tmp_path: Path) -> None:
    module = task(dependence="dr2dme", class_weights={"dme": [1.0, 2.0, 3.0]})
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, barebones=True)
    trainer.strategy.connect(module)
    path = tmp_path / "last.ckpt"
    trainer.save_checkpoint(path)
    again = CanetTask.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    assert again.config == module.config
    with torch.no_grad():
        images = batch()["image"]
        torch.testing.assert_close(again.eval()(images).refined, module.eval()(images).refined)
