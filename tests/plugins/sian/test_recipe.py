"""The falling rate and the loss that follows it, driven by Lightning, interrupted and resumed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from retinalab_sian.task import LNetTask
from torch.utils.data import DataLoader

from retinalab.data.batch import Batch
from retinalab.runner.trainer import quiet

METRIC = "val/lesion/mean/f1"
OPTIONS = {"name": "l-net", "network": "l-net-32s", "backbone": "test_resnet", "learning_rate": 1e-3}


class Scripted(LNetTask):
    """Validates to given figures, and notes the rate and the loss of every training step."""

    def begin(self, figures: list[float]) -> Scripted:
        self.figures, self.steps = figures, []  # type: ignore[attr-defined]
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        optimiser: Any = self.optimizers()
        self.steps.append((optimiser.param_groups[0]["lr"], self.dual_now))
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        figure = self.figures.pop(0)
        self.log(METRIC, figure, batch_size=1)
        return torch.tensor(figure)


def batches(count: int) -> DataLoader[Batch]:
    mask = torch.zeros(2, 8, 32, 32, dtype=torch.uint8)
    mask[:, :, 4:9] = 1
    batch: Batch = {
        "image": torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
        "mask": mask,
        "grades": {},
        "present": mask.amax((2, 3)).float(),
        "index": torch.arange(2),
    }
    return DataLoader([batch] * count, batch_size=None)  # type: ignore[arg-type]


def trained(
    task: Scripted, folder: Path, epochs: int, resume: Path | None = None, stop: bool = False
) -> Trainer:
    """One step, then one validation, an epoch."""
    callbacks: list[Any] = [
        ModelCheckpoint(
            folder, "last", every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
        )
    ]
    if stop:
        callbacks.append(EarlyStopping(METRIC, mode="max", patience=10))
    with quiet(), warnings.catch_warnings():
        trainer = Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, callbacks=callbacks, num_sanity_val_steps=0,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(task, batches(1), batches(1), ckpt_path=resume, weights_only=True)
    return trainer


def task(figures: list[float], **options: Any) -> Scripted:
    torch.manual_seed(0)
    return Scripted({**OPTIONS, **options}, {}).begin(figures)


def test_the_rate_falls_after_four_validations_and_the_dual_loss_takes_over(tmp_path: Path) -> None:
    """Best at the second; the third to sixth are no better; then ten without improvement end the training."""
    module = task([0.1, 0.3, 0.3, 0.2, 0.1, 0.29, *[0.2] * 10])
    trainer = trained(module, tmp_path, 30, stop=True)
    assert trainer.current_epoch == 12
    rates = [rate for rate, _ in module.steps]
    assert rates == pytest.approx([1e-3] * 6 + [1e-4] * 4 + [1e-5] * 2)
    assert [now for _, now in module.steps] == [False] * 6 + [True] * 6


def test_a_resumed_training_goes_on_counting(tmp_path: Path) -> None:
    figures = [0.3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]
    whole = task(list(figures))
    trained(whole, tmp_path / "whole", 10)
    first, second, third = task(figures[:3]), task(figures[3:7]), task(figures[7:])
    trained(first, tmp_path / "part", 3)
    trained(second, tmp_path / "part", 7, resume=tmp_path / "part/last.ckpt")
    assert not third.fallen
    trained(third, tmp_path / "part", 10, resume=tmp_path / "part/last.ckpt")
    assert [*first.steps, *second.steps, *third.steps] == whole.steps
    assert whole.steps[4][1] is False
    assert whole.steps[5][1] is True
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(third.state_dict()[name], value)


def test_the_dual_loss_may_begin_at_once_or_never() -> None:
    assert task([], dual_after=0.0).dual_now
    assert not task([], dual_after=0.5).dual_now
    assert not task([], loss="dice").dual_now


def test_an_undefined_figure_is_no_improvement(tmp_path: Path) -> None:
    module = task([float("nan")] * 5)
    trained(module, tmp_path, 5)
    assert [rate for rate, _ in module.steps] == pytest.approx([1e-3] * 4 + [1e-4])
