"""Early stopping waits for a metric that is not defined yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from retinalab import load_experiment
from retinalab.config import EarlyStopping, TrainerConfig
from retinalab.runner.trainer import build_trainer, quiet

NAN = float("nan")


class Scripted(LightningModule):
    """Validates to given figures."""

    def __init__(self, figures: list[float]) -> None:
        super().__init__()
        self.layer, self.figures, self.validated = nn.Linear(1, 1), figures, 0

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/figure", self.figures[self.validated], batch_size=1)
        self.validated += 1

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize(
    ("figures", "validations"),
    [
        ([NAN, NAN, NAN, NAN, 0.1, 0.3, 0.2, 0.2, 0.9], 8),  # waits, then stops 2 after the best
        ([0.1, NAN, 0.2, NAN, NAN, 0.9], 5),  # no longer defined: no improvement
        ([NAN] * 6, 6),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6),
    ],
)
def test_training_goes_on_until_a_figure_no_longer_improves(
    figures: list[float], validations: int, tmp_path: Path
) -> None:
    config = TrainerConfig(
        max_epochs=len(figures),
        accelerator="cpu",
        precision="32-true",
        early_stopping=EarlyStopping(patience=2),
    )
    experiment = load_experiment("baseline", "synthetic")
    with quiet():
        trainer = build_trainer(config, experiment, tmp_path, "train", ("val/figure", "max"), [])
        module = Scripted(figures)
        loader: Any = DataLoader(torch.ones(1, 1))
        trainer.fit(module, loader, loader)
    assert module.validated == validations
