"""CLPI's two stages as tasks: lesion patches, then grades."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
from retinalab.tasks.grade_loss import grade_cross_entropy
from retinalab.tasks.network import timm_feature_maps
from retinalab.tasks.optim import cosine, fused
from retinalab.tasks.outputs import Outputs
from retinalab_clpi.config import ClpiConfig, ClpiOptions, LesionPatchConfig
from retinalab_clpi.generator import CLASSES, FIELD, STRIDE, LesionAttentionGenerator
from retinalab_clpi.network import CLPI, AttentionGrader, Grades, PlainGrader

__all__ = ["ClpiTask", "LesionPatchTask", "lesion_maps"]

_PATCH = {"lesion": len(CLASSES)}
_GENERATOR = "network.generator."


class ClpiTask(Task):
    """Grades the protocol's diseases with the framework, or with one of the classifiers that it is compared with.

    Reference: section III-C, equation 2, section IV-B.

    Differs from the paper: any number of diseases, whose losses are summed; see also the network and the options.
    """

    config_class = ClpiConfig
    monitor_mode = "max"
    weighs_grades = True

    def chosen_by(self) -> tuple[str, str]:
        """Quadratic kappa of the first disease."""
        return f"val/{next(iter(self.scales))}/kappa", "max"

    def build_network(self) -> nn.Module:
        """The network that the configuration describes."""
        if not self.scales:
            raise RetinalabError(
                "Task 'clpi' grades no disease. Name one, such as protocol.diseases.dr=icdr5."
            )
        config: ClpiConfig = self.config
        grades = {disease: scale.size for disease, scale in self.scales.items()}
        if config.variant == "plain":
            return PlainGrader(grades, config.backbone, config.weights)
        if config.variant == "attention":
            return AttentionGrader(grades, config.backbone, config.weights, config.widths, config.stem)
        return CLPI(
            grades,
            config.backbone,
            config.weights,
            config.widths,
            config.stem,
            config.shortcut,
            config.gradient,
            config.statistics,
        )

    def check_stage(self, stage: Stage, given: Collection[str]) -> None:
        """Refuse a size without whole units, a backbone of another reduction, and what would stay as it was drawn.

        Raises:
            RetinalabError: any of these.
        """
        side = stage.data.input_size
        if side % STRIDE:
            raise RetinalabError(
                f"Task 'clpi' needs photographs whose side is a multiple of {STRIDE} pixels, got {side}. Set data.size "
                "(or data.crop) to one; the paper's is 1024."
            )
        config: ClpiConfig = self.config
        if not any(name.startswith(_GENERATOR) for name in given):
            if config.variant == "attention":
                raise _fixed("variant=attention", "task.variant=clpi or plain")
            if config.variant == "clpi" and config.gradient == "none":
                raise _fixed("gradient=none", "task.gradient=shortcut")
            if config.variant == "clpi" and config.statistics == "keep":
                raise RetinalabError(
                    "statistics=keep would hold the generator's normalisation at its initial values for ever, since "
                    "the stage starts from no generator that has learned. Set task.statistics=update, or start_from a "
                    "stage that trains one."
                )
        self.try_blank(side)

    def cam_layers(self, disease: str) -> CamLayers:
        """The features after the 1×1 integration, and the linear layer of the disease.

        Reference: Figure 7; the released code reads its maps at the same place.
        """
        network: Any = self.network

        def features(images: Tensor) -> Tensor:
            given: Grades = self(images)
            return given.features

        return CamLayers(features, network.heads[disease])

    def feature_maps(self) -> dict[str, nn.Module]:
        """The stages of the grading backbone, under timm's names: after the attention, before the shortcut joins."""
        network: Any = self.network
        return timm_feature_maps(network.backbone.net)

    def lesion_map(self, images: Tensor, taught: Sequence[str] = LESIONS) -> Tensor:
        """The generator's 1 - P0 of each unit, which is also what the photograph is weighted by: any lesion.

        Raises:
            RetinalabError: a variant without a generator.
        """
        given: Grades = self(images)
        if given.lesions is None:
            return super().lesion_map(images, taught)
        return 1 - given.lesions.float().softmax(1)[:, :1]

    def logits(self, given: Any) -> Mapping[str, Tensor]:
        """Of the grades."""
        answer: Grades = given
        return answer.logits

    def outputs(self, batch: Batch) -> Outputs:
        """Equation 2 on the grades."""
        given: Grades = self(batch["image"])
        logits = {disease: value.float() for disease, value in given.logits.items()}
        grades = batch["grades"]
        losses = [grade_cross_entropy(value, grades[d], self.class_weight(d)) for d, value in logits.items()]
        return Outputs(
            torch.stack(losses).sum(),
            grades={d: value.softmax(1) for d, value in logits.items()},
            maps={} if self.training or given.lesions is None else lesion_maps(given.lesions),
        )

    def configure_optimizers(self) -> Any:
        """SGD or Adam, warm-up and cosine per step."""
        return _optimiser(self, self.config, self.config.generator_rate)


class LesionPatchTask(Task):
    """Classifies lesion patches, which is how the generator learns before it sees a grade.

    Reference: sections III-A and IV-A, equation 2 with M = 4.
    """

    config_class = LesionPatchConfig
    side = FIELD
    monitor = "val/windows/accuracy"
    monitor_mode = "max"

    def build_network(self) -> nn.Module:
        """What learns of the patches, under the name that the grading stage's network gives it."""
        config: LesionPatchConfig = self.config
        if self.windows != len(CLASSES):
            raise RetinalabError(
                f"Task 'clpi-lesions' classifies windows of {len(CLASSES)} classes ({', '.join(CLASSES)}); this "
                f"stage's data have {self.windows}. Set data.windows.kind=lesions and leave data.windows.classes alone."
            )
        if config.network == "plain":
            return PlainGrader(_PATCH, config.backbone, config.weights, config.patch_side)
        if config.network == "attention":
            return AttentionGrader(
                _PATCH, config.backbone, config.weights, config.widths, config.stem, config.patch_side
            )
        return nn.ModuleDict({"generator": LesionAttentionGenerator(config.widths)})

    def check_stage(self, stage: Stage, given: Collection[str]) -> None:
        """Refuse windows of another side than a unit sees, and a network that cannot learn from them.

        Raises:
            RetinalabError: another side, a classifier that reduces windows to nothing, or one whose windows are
                weighted by a generator that has learned nothing.
        """
        side = stage.data.input_size
        if side != FIELD:
            raise RetinalabError(
                f"Task 'clpi-lesions' needs windows of {FIELD} pixels, got {side}. Set data.windows.size={FIELD}."
            )
        if self.config.network == "attention" and not any(name.startswith(_GENERATOR) for name in given):
            raise _fixed("network=attention", "task.network=plain")
        self.try_blank(side)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, 68, 68)`` patches to ``(B, 4)`` logits."""
        images = self._ordered(images)
        if self.config.network != "generator":
            given: Grades = self.network(images, patches=True)
            return given.logits["lesion"]
        generator = self.network.get_submodule("generator")
        logits: Tensor = generator(images, padded=False).flatten(1)
        return logits

    def outputs(self, batch: Batch) -> Outputs:
        """Equation 2 on the patches."""
        logits = self(batch["image"]).float()
        return Outputs(F.cross_entropy(logits, batch["label"]), windows=logits.softmax(1))

    def configure_optimizers(self) -> Any:
        """SGD or Adam, warm-up and cosine per step."""
        return _optimiser(self, self.config)


def lesion_maps(logits: Tensor) -> dict[str, Tensor]:
    """The generator's probabilities as maps: each lesion's, and that of any, 1 - P0.

    Shape:
        - ``logits``: ``(B, 4, h, w)``. Each map: ``(B, h, w)`` float32 in [0, 1], a value for each unit of 64 pixels.
    """
    probabilities = logits.detach().float().softmax(1)
    maps = dict(zip(CLASSES[1:], probabilities[:, 1:].unbind(1), strict=True))
    return maps | {"any lesion": 1 - probabilities[:, 0]}


def _fixed(option: str, other: str) -> RetinalabError:
    return RetinalabError(
        f"{option} keeps the generator as it is, and the stage starts from none that has learned: its maps would be "
        f"those of random weights. Set start_from to a stage that trains one, or {other}."
    )


def _optimiser(task: Task, config: ClpiOptions, generator_rate: float = 1.0) -> dict[str, Any]:
    learning = {name: one for name, one in task.named_parameters() if one.requires_grad}
    generator = [one for name, one in learning.items() if name.startswith(_GENERATOR)]
    rest = [one for name, one in learning.items() if not name.startswith(_GENERATOR)]
    rates = ((rest, config.learning_rate), (generator, config.learning_rate * generator_rate))
    groups = task.rated(
        [{"params": parameters, "lr": rate} for parameters, rate in rates if parameters], config.learning_rate
    )
    optimiser: torch.optim.Optimizer
    if config.optimiser == "sgd":
        optimiser = torch.optim.SGD(
            groups, config.learning_rate, config.momentum, weight_decay=config.weight_decay, fused=fused(task)
        )
    else:
        optimiser = torch.optim.Adam(
            groups, config.learning_rate, weight_decay=config.weight_decay, fused=fused(task)
        )
    total = task.total_steps
    warmup = int(config.warmup * total)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step, total, warmup))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
