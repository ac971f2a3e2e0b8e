"""The two stages as tasks: lesions, then grades."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from retinalab.config import Stage
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.tasks.base import Outputs
from retinalab.tasks.cam import CamLayers
from retinalab.tasks.grade_loss import grade_cross_entropy
from retinalab.tasks.network import timm_feature_maps
from retinalab_sian.attention_branch import Classified
from retinalab_sian.config import LNetConfig, SianConfig
from retinalab_sian.inception import LEVELS
from retinalab_sian.loss import (
    dual,
    focal,
    image_dice,
    presence,
    segmentation_dice,
    weighted_cross_entropy,
)
from retinalab_sian.maps import attention_map, lesion_group_maps
from retinalab_sian.network import ABNGrader, Graded, LesionConcat, PlainGrader, SiAN, lesion_network
from retinalab_sian.recipe import RecipeTask

__all__ = ["LNetTask", "SianTask"]

_NO_MASKS = (
    "Task 'sian' needs lesion masks to train its side branch. Set data.masks=true, task.train_side=false, or "
    "task.lesion_weight=0."
)


class LNetTask(RecipeTask):
    """Maps the eight lesions, or only names them; a lesion is in the photograph as surely as at its surest pixel.

    Reference: sections 3.1, 4.1, 4.2.1 and 4.2.2.
    """

    config_class = LNetConfig
    _switch: float | None = None

    def chosen_by(self) -> tuple[str, str]:
        """The mean over lesions of the pixels' F1, or of the photographs' where nothing is mapped."""
        return ("val/lesion/mean/f1" if self.config.segments else "val/lesion/mean/image_f1"), "max"

    def build_network(self) -> nn.Module:
        """The network that the configuration names."""
        config: LNetConfig = self.config
        return lesion_network(config.network, config.backbone, config.weights, config.prior)

    def check_stage(self, stage: Stage, given: Collection[str]) -> None:
        """Refuse what would fail at the first batch.

        Raises:
            RetinalabError: photographs of a side that cannot be halved five times, maps to be learned without masks, or
                lesions to be named of windows.
        """
        if self.config.segments and not stage.data.masks:
            raise self._without_masks()
        if not self.config.segments and stage.data.windows is not None:
            raise self._of_windows()
        self.try_blank(stage.data.input_size)

    def on_fit_start(self) -> None:
        """Refuse a set that annotates none of the lesions.

        Raises:
            RetinalabError: there is nothing to learn.
        """
        module = getattr(self.trainer, "datamodule", None)
        if module is None:
            return
        table = module.parts.train.records.table
        if not table[[f"annotated_{lesion}" for lesion in LESIONS]].to_numpy(bool).any():
            sets = ", ".join(table["set"].unique())
            raise RetinalabError(
                f"Task 'l-net' learns {', '.join(LESIONS)}; the training photographs of {sets} annotate none of them. "
                "Set data.set to a set with lesions, such as idrid with data.options.task=segmentation."
            )

    def outputs(self, batch: Batch) -> Outputs:
        """Lesion maps with their maxima, or lesions in the photograph.

        Raises:
            RetinalabError: maps are to be learned of photographs without masks.
        """
        given: Tensor | Classified = self(batch["image"])
        if isinstance(given, Classified):
            return self._named(given, batch)
        if "mask" not in batch:
            raise self._without_masks()
        logits = given.float()
        parts = self._terms(logits, batch["mask"])
        loss = parts["loss_segmentation"]
        if self.dual_now:
            loss = dual(loss, parts["loss_classification"], self.config.segmentation_weight)
        maps = logits.sigmoid()
        cut = "label" in batch  # a window's maximum says nothing of the whole photograph
        return Outputs(
            loss,
            lesions=maps,
            present=None if cut else maps.amax((2, 3)),
            maps={} if self.training or cut else lesion_group_maps(maps, self.taught()),
            parts=parts,
        )

    @property
    def dual_now(self) -> bool:
        """Whether the image-level term takes part."""
        config: LNetConfig = self.config
        if config.loss != "dual":
            return False
        if config.dual_after is None:
            return self.fallen
        return config.dual_after == 0 or (self._switch is not None and self.global_step >= self._switch)

    def configure_optimizers(self) -> Any:
        """The recipe's, and the step from which the dual loss counts where the configuration sets it."""
        if self.config.dual_after is not None:
            self._switch = self.config.dual_after * self.total_steps
        return super().configure_optimizers()

    def _terms(self, logits: Tensor, mask: Tensor) -> dict[str, Tensor]:
        config: LNetConfig = self.config
        across = self.training  # validation batches are not equally many on every process
        if config.loss == "focal":
            return {"loss_segmentation": focal(logits, mask, config.focal_alpha, config.focal_gamma, across)}
        if config.loss == "weighted-cross-entropy":
            return {"loss_segmentation": weighted_cross_entropy(logits, mask, config.positive_weight, across)}
        parts = {"loss_segmentation": segmentation_dice(logits, mask, across)}
        if config.loss == "dual":
            parts["loss_classification"] = image_dice(*presence(logits, mask), across)
        return parts

    def _named(self, given: Classified, batch: Batch) -> Outputs:
        if "label" in batch:
            raise self._of_windows()
        found = given.logits.float().sigmoid()
        parts = {"loss_classification": image_dice(found, batch["present"], self.training)}
        if given.branch is not None:
            branch = given.branch.float().sigmoid()
            parts["loss_branch"] = image_dice(branch, batch["present"], self.training)
        shown = {} if self.training else attention_map(given.attention)
        return Outputs(torch.stack(list(parts.values())).sum(), present=found, maps=shown, parts=parts)

    def _without_masks(self) -> RetinalabError:
        return RetinalabError(
            f"Task 'l-net' needs lesion masks for network={self.config.network}. Set data.masks=true on a set that "
            "has them, or task.network=classifier."
        )

    def _of_windows(self) -> RetinalabError:
        return RetinalabError(
            f"Task 'l-net' names the lesions of whole photographs with network={self.config.network}, not of "
            "windows. Leave out data.windows, or use a task.network that segments, such as l-net-16s."
        )


class SianTask(RecipeTask):
    """Grades the protocol's diseases; with a segmenting side branch the same pass maps and names lesions.

    Reference: sections 3.2, 4.1 and 4.2.3.

    Differs from the paper: any number of diseases, whose losses are summed.
    """

    config_class = SianConfig

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
            RetinalabError: photographs of a side that cannot be halved five times, or a side branch to be trained that
                is not there or has no masks to learn from.
        """
        config: SianConfig = self.config
        if config.train_side and config.lesion_weight > 0:
            if config.variant not in ("sian", "concat"):
                raise self._without_side()
            if config.maps_lesions and not stage.data.masks:
                raise RetinalabError(_NO_MASKS)
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
            f"{name}_{d}": grade_cross_entropy(value.float(), batch["grades"][d])
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

    def _without_side(self) -> RetinalabError:
        return RetinalabError(
            f"Task 'sian' has no side branch to train in variant={self.config.variant}. Set task.train_side=false."
        )
