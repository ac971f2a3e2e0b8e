"""What a task does for every network, under Lightning's own loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from retinalab.config import TaskConfig
from retinalab.data.batch import Batch
from retinalab.runner.trainer import quiet
from retinalab.tasks.base import Task
from retinalab.tasks.outputs import Outputs


class HalfFixed(nn.Module):
    """A normalised trunk that learns nothing before one that does."""

    def __init__(self) -> None:
        super().__init__()
        self.fixed = nn.BatchNorm2d(3)
        self.learning = nn.BatchNorm2d(3)

    def train(self, mode: bool = True) -> HalfFixed:
        super().train(mode)
        self.fixed.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        given: Tensor = self.learning(self.fixed(images)).mean()
        return given


class HalfFixedTask(Task):
    def build_network(self) -> nn.Module:
        return HalfFixed()

    def outputs(self, batch: Batch) -> Outputs:
        return Outputs(self(batch["image"]).square())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_what_a_network_holds_fixed_stays_fixed_through_training_and_validation(tmp_path: Path) -> None:
    task = HalfFixedTask(TaskConfig(name="baseline"), {})
    batches = DataLoader([{"image": torch.rand(3, 8, 8) + 3} for _ in range(8)], batch_size=4)
    with quiet():
        trainer = Trainer(
            default_root_dir=tmp_path,
            accelerator="cpu",
            max_epochs=2,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        trainer.fit(task, batches, batches)
    network: Any = task.network
    assert torch.equal(network.fixed.running_mean, torch.zeros(3))
    assert int(network.fixed.num_batches_tracked) == 0
    assert int(network.learning.num_batches_tracked) == 4
    assert network.learning.training
    assert not network.fixed.training
