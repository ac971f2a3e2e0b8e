"""The plain baseline task: any timm classifier, one linear head per disease."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.data.batch import Batch
from retinalab.tasks.base import Outputs, Task
from retinalab.tasks.config import BaselineConfig
from retinalab.tasks.network import LinearHeads
from retinalab.tasks.optim import cosine

__all__ = ["BaselineTask"]


class BaselineTask(Task):
    """Grades one or several diseases with a timm backbone; the yardstick beside the papers."""

    config_class = BaselineConfig
    monitor = "val/dr/kappa"
    monitor_mode = "max"

    def build_network(self) -> nn.Module:
        """Backbone and heads; one output per disease where severity is regressed."""
        regress = self.config.output == "severity"
        outputs = {d: 1 if regress else scale.size for d, scale in self.scales.items()}
        return LinearHeads(self.config.backbone, outputs, self.config.weights, self.config.dropout)

    def outputs(self, batch: Batch) -> Outputs:
        """Cross-entropy or squared error, summed over the diseases; unknown grades take no part."""
        logits: dict[str, Tensor] = self(batch["image"])
        if self.config.output == "severity":
            severity = {d: value.float().squeeze(1) for d, value in logits.items()}
            losses = [_squared(severity[d], batch["grades"][d]) for d in severity]
            return Outputs(torch.stack(losses).sum(), severity=severity)
        losses = [_cross_entropy(value, batch["grades"][d]) for d, value in logits.items()]
        return Outputs(torch.stack(losses).sum(), grades={d: v.float().softmax(1) for d, v in logits.items()})

    def configure_optimizers(self) -> Any:
        """Adam with a cosine schedule per step."""
        optimiser = torch.optim.AdamW(
            self.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        total = self.total_steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step, total))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _cross_entropy(logits: Tensor, grades: Tensor) -> Tensor:
    total = F.cross_entropy(logits, grades, ignore_index=-1, reduction="sum")
    return total / (grades >= 0).sum().clamp(min=1)


def _squared(severity: Tensor, grades: Tensor) -> Tensor:
    known = (grades >= 0).float()
    return ((severity - grades) ** 2 * known).sum() / known.sum().clamp(min=1)
