"""ELLG's network as a task: severity by regression, or grades by softmax."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from retinalab.config import Stage
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.tasks.base import Task
from retinalab.tasks.cam import CamLayers
from retinalab.tasks.grade_loss import grade_cross_entropy
from retinalab.tasks.network import LinearHeads, timm_feature_maps
from retinalab.tasks.optim import cosine, fused
from retinalab.tasks.outputs import Outputs
from retinalab_ellg.config import EllgConfig
from retinalab_ellg.loss import severity_loss
from retinalab_ellg.network import DetectionNetwork

__all__ = ["EllgTask", "parameter_groups"]


class EllgTask(Task):
    """Severity of the protocol's diseases as numbers, rounded at half grades (a tie goes to the higher grade).

    The table of predictions holds the severity as it was answered: below 0 it is grade 0, above the highest grade that.

    Reference: section 2.1.

    Differs from the paper: any number of diseases, whose losses are summed. The o_O solution rounds a tie to the even
    grade, as NumPy does.
    """

    config_class = EllgConfig
    weighs_grades = True

    def chosen_by(self) -> tuple[str, str]:
        """Quadratic kappa of the first disease."""
        return f"val/{next(iter(self.scales))}/kappa", "max"

    def build_network(self) -> nn.Module:
        """The o_O network, or the timm network that the configuration names."""
        if not self.scales:
            raise RetinalabError(
                "Task 'ellg' grades no disease. Name one, such as protocol.diseases.dr=icdr5."
            )
        config: EllgConfig = self.config
        regress = config.output == "severity"
        outputs = {disease: 1 if regress else scale.size for disease, scale in self.scales.items()}
        if config.backbone is not None:
            return LinearHeads(config.backbone, outputs, config.weights, config.dropout)
        return DetectionNetwork(
            outputs,
            config.net,
            config.side,
            config.blocks,
            config.biases == "untied",
            config.slope,
            config.dropout,
            config.width,
            config.hidden,
        )

    def check_stage(self, stage: Stage, given: Collection[str]) -> None:
        """Refuse photographs of another side than the o_O network was built for.

        Raises:
            RetinalabError: they are.
        """
        config: EllgConfig = self.config
        side = stage.data.input_size
        if config.backbone is None and side != config.side:
            raise RetinalabError(
                f"Task 'ellg' was built for {config.side} pixels (task.side), and its photographs have {side}. Set "
                f"task.side={side}, or data.crop={config.side}."
            )

    def backbones(self) -> tuple[str, ...]:
        """The convolutions of the o_O network, or the timm network in their place."""
        return ("blocks",) if isinstance(self.network, DetectionNetwork) else super().backbones()

    def feature_maps(self) -> dict[str, nn.Module]:
        """``stage1`` ... ``stage5``, each with its pooling, or the backbone's stages under timm's names."""
        if isinstance(self.network, DetectionNetwork):
            return dict(self.network.blocks.named_children())
        network: Any = self.network
        return timm_feature_maps(network.backbone)

    def cam_layers(self, disease: str) -> CamLayers:
        """Of a timm network, its last features and the head of the disease.

        Raises:
            RetinalabError: the o_O network, whose maps are not pooled into one linear layer.
        """
        if isinstance(self.network, DetectionNetwork):
            return super().cam_layers(disease)
        network: Any = self.network

        def features(images: Tensor) -> Tensor:
            given: Tensor = network.backbone.forward_features(self._ordered(images))
            return given

        return CamLayers(features, network.heads[disease])

    def outputs(self, batch: Batch) -> Outputs:
        """Squared error or cross-entropy, summed over the diseases; what is unknown takes no part."""
        answers: Mapping[str, Tensor] = {name: value.float() for name, value in self(batch["image"]).items()}
        grades = batch["grades"]
        if self.config.output == "classes":
            terms = {
                f"loss_{d}": grade_cross_entropy(value, grades[d], self.class_weight(d))
                for d, value in answers.items()
            }
            probabilities = {d: value.softmax(1) for d, value in answers.items()}
            return Outputs(torch.stack(list(terms.values())).sum(), grades=probabilities, parts=terms)
        severity = {d: value.squeeze(1) for d, value in answers.items()}
        terms = {
            f"loss_{d}": severity_loss(value, grades[d], self.class_weight(d))
            for d, value in severity.items()
        }
        return Outputs(torch.stack(list(terms.values())).sum(), severity=severity, parts=terms)

    def configure_optimizers(self) -> Any:
        """SGD with Nesterov's momentum or AdamW; the rate by steps of epochs, or by cosine."""
        config: EllgConfig = self.config
        groups = self.rated(parameter_groups(self.network, 2 * config.l2), config.learning_rate)
        optimiser: torch.optim.Optimizer
        if config.optimiser == "sgd":
            nesterov = config.momentum > 0
            optimiser = torch.optim.SGD(
                groups, config.learning_rate, config.momentum, nesterov=nesterov, fused=fused(self)
            )
        else:
            optimiser = torch.optim.AdamW(groups, config.learning_rate, fused=fused(self))
        if config.schedule == "cosine":
            total = self.total_steps
            by_step = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step, total))
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": by_step, "interval": "step"}}
        by_epoch = torch.optim.lr_scheduler.MultiStepLR(optimiser, list(config.milestones), 1 / config.factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": by_epoch, "interval": "epoch"}}


def parameter_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weights, which decay, and biases and scales of normalisation, which do not.

    The gradient of c · Σ w² is 2 c · w, hence a decay of twice the coefficient c.
    """
    learning = [(name, one) for name, one in network.named_parameters() if one.requires_grad]
    weights = [one for name, one in learning if not _is_offset(name, one)]
    offsets = [one for name, one in learning if _is_offset(name, one)]
    groups = ((weights, decay), (offsets, 0.0))
    return [{"params": group, "weight_decay": value} for group, value in groups if group]


def _is_offset(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim <= 1 or name.rpartition(".")[2] == "bias"
