"""The second stage as a task: grades."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from retinalab.config import Stage
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.tasks.cam import CamLayers
from retinalab.tasks.grade_loss import grade_cross_entropy
from retinalab.tasks.network import timm_feature_maps
from retinalab.tasks.outputs import Outputs
from retinalab.tasks.surest import surest_lesion
from retinalab_sian.config import SianConfig
from retinalab_sian.inception import LEVELS
from retinalab_sian.loss import dual, image_dice, presence, segmentation_dice
from retinalab_sian.maps import attention_map, lesion_group_maps
from retinalab_sian.network import ABNGrader, Graded, LesionConcat, PlainGrader, SiAN
from retinalab_sian.recipe import RecipeTask

__all__ = ["SianTask"]

_SIDE = "network.side."
_NO_MASKS = (
    "Task 'sian' needs lesion masks to train its side branch. Set data.masks=true, task.train_side=false, or "
    "task.lesion_weight=0."
)


class SianTask(RecipeTask):
    """Grades the protocol's diseases; with a segmenting side branch the same pass maps and names lesions.

    Reference: sections 3.2, 4.1 and 4.2.3.

    Differs from the paper: any number of diseases, whose losses are summed.
    """

    config_class = SianConfig
    weighs_grades = True

    def chosen_by(self) -> tuple[str, str]:
        """Quadratic kappa of the first disease."""
        return f"val/{next(iter(self.scales))}/kappa", "max"

    def build_network(self) -> nn.Module:
        """The network that the configuration describes."""
        if not self.scales:
            raise RetinalabError(
                "Task 'sian' grades no disease. Name one, such as protocol.diseases.dr=icdr5."
            )
        config: SianConfig = self.config
        grades = {disease: scale.size for disease, scale in self.scales.items()}
        backbone = (grades, config.backbone, config.weights)
        if config.variant == "plain":
            return PlainGrader(*backbone)
        if config.variant == "abn":
            return ABNGrader(*backbone)
        if config.variant == "concat":
            return LesionConcat(*backbone, config.lesions, config.train_side)
        return SiAN(
            *backbone,
            config.lesions,
            config.attention,
            config.fusion,
            config.width,
            config.shrink,
            config.train_side,
        )

    def check_stage(self, stage: Stage, given: Collection[str]) -> None:
        """Refuse what would fail at the first batch.

        Raises:
            RetinalabError: photographs of a side that cannot be halved five times, windows of them, a side branch to be
                trained that is not there or has no masks to learn from, or a fixed one that nothing has trained.
        """
        config: SianConfig = self.config
        if config.train_side and config.lesion_weight > 0:
            if config.variant not in ("sian", "concat"):
                raise self._without_side()
            if config.maps_lesions and not stage.data.masks:
                raise RetinalabError(_NO_MASKS)
        if stage.data.windows is not None:
            raise RetinalabError(
                "Task 'sian' grades whole photographs, not windows. Leave out data.windows of this stage."
            )
        if not config.train_side:
            self._check_side(given)
        self.try_blank(stage.data.input_size)

    def cam_layers(self, disease: str) -> CamLayers:
        """The features that are pooled, and the linear layer of the disease.

        Raises:
            RetinalabError: a variant whose linear layer reads more than pooled features.
        """
        network: Any = self.network
        if self.config.variant not in ("sian", "plain"):
            return super().cam_layers(disease)

        def features(images: Tensor) -> Tensor:
            given: Graded = self(images)
            return given.features

        return CamLayers(features, network.heads[disease])

    def feature_maps(self) -> dict[str, nn.Module]:
        """The main branch's stages, under timm's names, before the lesion maps weigh the last.

        Of ABN, what lies before its mask and after it.
        """
        network: Any = self.network
        if isinstance(network, ABNGrader):
            return {"extractor": network.abn.extractor, "perception": network.abn.perception}
        net: nn.Module = network.main.net
        if self.config.backbone.split(".")[0] == "inception_v3":
            return {name: net.get_submodule(name) for name in LEVELS.values()}
        return timm_feature_maps(net)

    def attention_map(self, images: Tensor, disease: str) -> Tensor:
        """What the lesion maps weigh each place by, the mean over channels (equations 6 and 7); ABN's own attention.

        Raises:
            RetinalabError: a variant without attention.
        """
        given: Graded = self(images)
        if given.attention is not None:
            return given.attention
        if not isinstance(self.network, SiAN) or given.lesions is None:
            return super().attention_map(images, disease)
        places = None if self.network.fusion == "image" else given.features.shape[2:]
        return self.network.weights(given.lesions.sigmoid(), places).mean(1, keepdim=True)

    def lesion_map(self, images: Tensor, taught: Sequence[str] = LESIONS) -> Tensor:
        """The side branch's surest lesion at each pixel.

        Raises:
            RetinalabError: a variant without a branch that segments.
        """
        given: Graded = self(images)
        if given.lesions is None:
            return super().lesion_map(images, taught)
        return surest_lesion(given.lesions, self.config.taught or taught)

    def logits(self, given: Any) -> Mapping[str, Tensor]:
        """Of the grades, not of ABN's attention branch."""
        answer: Graded = given
        return answer.logits

    def outputs(self, batch: Batch) -> Outputs:
        """Softmax cross-entropy on the grades; where the side branch learns, the dual loss of its maps too."""
        given: Graded = self(batch["image"])
        parts = self._graded("loss", given.logits, batch)
        if given.branch is not None:
            parts |= self._graded("loss_branch", given.branch, batch)
        config: SianConfig = self.config
        lesions = None if given.lesions is None else given.lesions.float().sigmoid()
        loss = torch.stack(list(parts.values())).sum()
        if config.train_side and config.lesion_weight > 0:
            parts["loss_lesions"] = self._lesions(given, batch)
            loss = loss + config.lesion_weight * parts["loss_lesions"]
        return Outputs(
            loss,
            grades={disease: value.float().softmax(1) for disease, value in given.logits.items()},
            lesions=lesions,
            present=None if given.present is None else given.present.float(),
            maps={} if self.training else self._maps(given, lesions),
            parts=parts if len(parts) > 1 else {},
        )

    def _maps(self, given: Graded, lesions: Tensor | None) -> dict[str, Tensor]:
        shown = {} if lesions is None else lesion_group_maps(lesions, self.config.taught or self.taught())
        return shown | attention_map(given.attention)

    def _graded(self, name: str, logits: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        return {
            f"{name}_{d}": grade_cross_entropy(value.float(), batch["grades"][d], self.class_weight(d))
            for d, value in logits.items()
        }

    def _lesions(self, given: Graded, batch: Batch) -> Tensor:
        """The dual loss of the side branch; image-level Dice alone where it only names lesions."""
        if given.lesions is None:
            if given.present is None:
                raise self._without_side()
            return image_dice(given.present.float(), batch["present"], self.training)
        if "mask" not in batch:
            raise RetinalabError(_NO_MASKS)
        logits, mask = given.lesions.float(), batch["mask"]
        return dual(
            segmentation_dice(logits, mask, self.training),
            image_dice(*presence(logits, mask), self.training),
            self.config.segmentation_weight,
        )

    def _check_side(self, given: Collection[str]) -> None:
        """A fixed side branch needs weights of an earlier stage, all of them."""
        side = [name for name in self.state_dict() if name.startswith(_SIDE)]
        anew = [name.removeprefix(_SIDE) for name in side if name not in given]
        if anew:
            raise RetinalabError(
                f"Task 'sian' keeps its side branch lesions={self.config.lesions} as an earlier stage trained it, and "
                f"start_from gives {len(side) - len(anew)} of its {len(side)} weights (not {anew[0]}). Set start_from "
                "to {stage: l-net, map: {network.: network.side.}} with the same network and backbone in both stages "
                "(l-net.task.network, task.lesions), or train the branch (task.train_side=true)."
            )

    def _without_side(self) -> RetinalabError:
        return RetinalabError(
            f"Task 'sian' has no side branch to train in variant={self.config.variant}. Set task.train_side=false."
        )
