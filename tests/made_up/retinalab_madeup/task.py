"""Three small tasks: a map with ignored pixels, a regression, a classifier of windows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.data.batch import Batch
from retinalab.records import LESIONS
from retinalab.tasks import Outputs, Task
from retinalab_madeup.config import MarksConfig, PatchesConfig, SeverityConfig

__all__ = ["MarksTask", "PatchesTask", "SeverityTask"]


class _Network(nn.Module):
    def __init__(self, width: int, dropout: float, outputs: int, maps: bool) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.dropout = nn.Dropout(dropout)
        self.head: nn.Module = nn.Conv2d(width, outputs, 1) if maps else nn.Linear(width, outputs)
        self.maps = maps

    def forward(self, images: Tensor) -> Tensor:
        features = self.dropout(self.encoder(images))
        if not self.maps:
            return self.head(features.mean((2, 3)))  # type: ignore[no-any-return]
        return F.interpolate(self.head(features), images.shape[2:], mode="bilinear")


class _SmallTask(Task):
    maps = False

    def build_network(self) -> nn.Module:
        return _Network(self.config.width, self.config.dropout, self.size(), self.maps)

    def size(self) -> int:
        """Number of the network's outputs."""
        return len(self.scales)

    def configure_optimizers(self) -> Any:
        """Adam with a learning rate that falls to 0 at the last step."""
        optimiser = torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, self.total_steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class MarksTask(_SmallTask):
    """Lesion maps learned where they are annotated."""

    config_class = MarksConfig
    maps = True

    def size(self) -> int:
        """One map per lesion."""
        return len(LESIONS)

    def outputs(self, batch: Batch) -> Outputs:
        """Cross-entropy over annotated pixels."""
        logits = self(batch["image"])
        known = batch["mask"] != 255
        each = F.binary_cross_entropy_with_logits(logits, (batch["mask"] == 1).float(), reduction="none")
        loss = (each * known).sum() / known.sum().clamp(min=1)
        maps = logits.float().sigmoid()
        return Outputs(loss, lesions=maps, present=maps.amax((2, 3)), parts={"marks": loss.detach()})


class SeverityTask(_SmallTask):
    """Severity of each disease as one number."""

    config_class = SeverityConfig
    monitor = "val/loss"

    def outputs(self, batch: Batch) -> Outputs:
        """Squared error over known grades."""
        values = dict(zip(self.scales, self(batch["image"]).float().unbind(1), strict=True))
        loss = torch.stack([_squared(values[d], batch["grades"][d]) for d in values]).sum()
        return Outputs(loss, severity=values)


class PatchesTask(_SmallTask):
    """The lesion at the centre of a window."""

    config_class = PatchesConfig

    def size(self) -> int:
        """One output per class of window."""
        return self.windows

    def outputs(self, batch: Batch) -> Outputs:
        """Cross-entropy over windows."""
        logits = self(batch["image"])
        return Outputs(F.cross_entropy(logits, batch["label"]), windows=logits.float().softmax(1))


def _squared(values: Tensor, grades: Tensor) -> Tensor:
    known = grades >= 0
    return ((values - grades) ** 2 * known).sum() / known.sum().clamp(min=1)
