"""CANet and the networks of its tables as a task."""

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
from retinalab.tasks.network import timm_feature_maps
from retinalab.tasks.optim import cosine, fused
from retinalab.tasks.outputs import Outputs
from retinalab_canet.baselines import JointNetwork
from retinalab_canet.build import build_network
from retinalab_canet.config import CanetConfig
from retinalab_canet.loss import joint_grading_loss
from retinalab_canet.network import CANet, GradeLogits

__all__ = ["CanetTask"]


class CanetTask(Task):
    """Joint grading of the protocol's diseases.

    Reference: section III-E (Adam, a cosine from the initial learning rate to 0 over all iterations) and
    IV-B (the checkpoint is chosen by joint accuracy). Only the refined logits predict.

    Differs from the paper: the authors' code chooses the checkpoint on the test photographs; here it is
    chosen on the part that the protocol names. For a single disease that code chooses by AUC; here its
    accuracy takes joint accuracy's place.
    """

    config_class = CanetConfig
    monitor = "val/joint/accuracy"
    monitor_mode = "max"
    weighs_grades = True

    def chosen_by(self) -> tuple[str, str]:
        """Joint accuracy; of a single disease, its accuracy."""
        return (
            super().chosen_by()
            if len(self.scales) > 1
            else (f"val/{next(iter(self.scales))}/accuracy", "max")
        )

    def build_network(self) -> nn.Module:
        """The network that the configuration describes."""
        if not self.scales:
            raise RetinalabError(
                "Task 'canet' grades no disease. Name one, such as protocol.diseases.dr=icdr5."
            )
        grades = {disease: scale.size for disease, scale in self.scales.items()}
        return build_network(self.config, grades)

    def check_stage(self, stage: Stage, given: Collection[str]) -> None:
        """Refuse photographs of a side that the backbone cannot take.

        Raises:
            RetinalabError: they are.
        """
        self.try_blank(stage.data.input_size)

    def cam_layers(self, disease: str) -> CamLayers:
        """Of joint training, whose features are pooled and weighed; CANet's attention comes after the pooling.

        Raises:
            RetinalabError: any variant but joint training.
        """
        if not isinstance(self.network, JointNetwork):
            return super().cam_layers(disease)
        network: Any = self.network

        def features(images: Tensor) -> Tensor:
            given: Tensor = network.convolutions(network.backbone(self._ordered(images)))
            return given

        return CamLayers(features, network.head[disease])

    def feature_maps(self) -> dict[str, nn.Module]:
        """The backbone's stages, under timm's names; the last is what the attention of every disease reads."""
        network: Any = self.network
        return timm_feature_maps(network.backbone.net)

    def attention_map(self, images: Tensor, disease: str) -> Tensor:
        """CANet's spatial attention of the disease (equation 3).

        Raises:
            RetinalabError: a variant without attention.
        """
        if not isinstance(self.network, CANet):
            return super().attention_map(images, disease)
        return self.network.spatial_attention(self._ordered(images))[disease]

    def logits(self, given: Any) -> Mapping[str, Tensor]:
        """The refined logits, which predict."""
        answer: GradeLogits = given
        return answer.refined

    def outputs(self, batch: Batch) -> Outputs:
        """Equation 7, and the probabilities of the refined logits."""
        logits: GradeLogits = self(batch["image"])
        weights = {d: one for d in logits.refined if (one := self.class_weight(d)) is not None}
        loss = joint_grading_loss(logits, batch["grades"], self.config.specific_weight, weights)
        return Outputs(loss, grades={d: value.float().softmax(1) for d, value in logits.refined.items()})

    def configure_optimizers(self) -> Any:
        """Adam with L2 penalty; the learning rate follows a cosine per iteration."""
        config = self.config
        optimiser = torch.optim.Adam(
            self.rated(self.network.parameters(), config.learning_rate),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=fused(self),
        )
        if config.schedule == "constant":
            return optimiser
        total = self.total_steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step, total))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
