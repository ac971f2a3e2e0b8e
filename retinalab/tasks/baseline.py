"""The plain baseline task: any timm classifier, one linear head per disease."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.config import Stage
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.tasks.base import Task
from retinalab.tasks.cam import CamLayers
from retinalab.tasks.config import BaselineConfig
from retinalab.tasks.grade_loss import grade_cross_entropy
from retinalab.tasks.network import LinearHeads, timm_feature_maps
from retinalab.tasks.optim import cosine, fused
from retinalab.tasks.outputs import Outputs

__all__ = ["BaselineTask"]

_PRESENCE = "presence"


class BaselineTask(Task):
    """Grades one or several diseases with a timm backbone; the yardstick beside the papers."""

    config_class = BaselineConfig
    weighs_grades = True

    def chosen_by(self) -> tuple[str, str]:
        """Quadratic kappa of the first disease."""
        return f"val/{next(iter(self.scales))}/kappa", "max"

    def build_network(self) -> nn.Module:
        """Backbone and heads; one output per disease where severity is regressed."""
        if not self.scales:
            raise RetinalabError(
                "Task 'baseline' grades no disease. Name one, such as protocol.diseases.dr=icdr5."
            )
        regress = self.config.output == "severity"
        outputs = {d: 1 if regress else scale.size for d, scale in self.scales.items()}
        if self.config.presence_weight > 0:
            outputs[_PRESENCE] = len(LESIONS)
        return LinearHeads(self.config.backbone, outputs, self.config.weights, self.config.dropout)

    def check_stage(self, stage: Stage, given: Collection[str]) -> None:
        """Refuse photographs of a side that the backbone cannot take.

        Raises:
            RetinalabError: they are.
        """
        self.try_blank(stage.data.input_size)

    def cam_layers(self, disease: str) -> CamLayers:
        """The backbone's last features, and the head of the disease."""
        network: Any = self.network

        def features(images: Tensor) -> Tensor:
            given: Tensor = network.backbone.forward_features(self._ordered(images))
            return given

        return CamLayers(features, network.heads[disease])

    def feature_maps(self) -> dict[str, nn.Module]:
        """The backbone's stages, under timm's names."""
        network: Any = self.network
        return timm_feature_maps(network.backbone)

    def outputs(self, batch: Batch) -> Outputs:
        """Cross-entropy or squared error, summed over the diseases; what is unknown takes no part."""
        logits: dict[str, Tensor] = {name: value.float() for name, value in self(batch["image"]).items()}
        present = logits.pop(_PRESENCE, None)
        grades = batch["grades"]
        if self.config.output == "severity":
            severity = {d: value.squeeze(1) for d, value in logits.items()}
            terms = {
                f"loss_{d}": _squared(value, grades[d], self.class_weight(d)) for d, value in severity.items()
            }
            given = Outputs(torch.stack(list(terms.values())).sum(), severity=severity, parts=terms)
        else:
            terms = {
                f"loss_{d}": grade_cross_entropy(value, grades[d], self.class_weight(d))
                for d, value in logits.items()
            }
            probabilities = {d: value.softmax(1) for d, value in logits.items()}
            given = Outputs(torch.stack(list(terms.values())).sum(), grades=probabilities, parts=terms)
        if present is not None:
            terms["loss_presence"] = _presence(present, batch["present"])
            given.loss = given.loss + self.config.presence_weight * terms["loss_presence"]
            given.present = present.sigmoid()
        return given

    def configure_optimizers(self) -> Any:
        """Adam with decoupled weight decay, and a cosine schedule per step."""
        config = self.config
        optimiser = torch.optim.AdamW(
            self.rated(self.parameters(), config.learning_rate),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=fused(self),
        )
        total = self.total_steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step, total))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _squared(severity: Tensor, grades: Tensor, weight: Tensor | None) -> Tensor:
    known = (grades >= 0).float()
    if weight is not None:
        share = known * weight[grades.clamp(min=0)]
        mass = share.sum()
        return ((severity - grades) ** 2 * share).sum() / torch.where(mass > 0, mass, torch.ones_like(mass))
    return ((severity - grades) ** 2 * known).sum() / known.sum().clamp(min=1)


def _presence(logits: Tensor, present: Tensor) -> Tensor:
    known = ~present.isnan()
    loss = F.binary_cross_entropy_with_logits(logits, present.nan_to_num(), reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)
