"""The first stage as a task: lesions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from retinalab.config import Stage
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.tasks.outputs import Outputs
from retinalab.tasks.surest import surest_lesion
from retinalab_sian.attention_branch import Classified
from retinalab_sian.config import LNetConfig
from retinalab_sian.loss import (
    dual,
    focal,
    image_dice,
    presence,
    segmentation_dice,
    weighted_cross_entropy,
)
from retinalab_sian.maps import attention_map, lesion_group_maps
from retinalab_sian.network import lesion_network
from retinalab_sian.recipe import RecipeTask

__all__ = ["LNetTask"]


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
            RetinalabError: photographs of a side that cannot be halved five times, maps to be learned without masks,
                lesions to be named of windows, or windows that do not cover the photographs.
        """
        if self.config.segments and not stage.data.masks:
            raise self._without_masks()
        if not self.config.segments and stage.data.windows is not None:
            raise self._of_windows()
        if stage.data.windows is not None and stage.data.windows.kind != "grid":
            raise RetinalabError(
                "Task 'l-net' is judged on all of a photograph, which data.windows.kind="
                f"{stage.data.windows.kind} does not cover. Set data.windows.kind=grid, or leave out data.windows."
            )
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

    def attention_map(self, images: Tensor, disease: str) -> Tensor:
        """ABN's, where the network is that.

        Raises:
            RetinalabError: it is not.
        """
        given: Tensor | Classified = self(images)
        attention = given.attention if isinstance(given, Classified) else None
        return super().attention_map(images, disease) if attention is None else attention

    def lesion_map(self, images: Tensor, taught: Sequence[str] = LESIONS) -> Tensor:
        """The surest lesion at each pixel.

        Raises:
            RetinalabError: a network that only names lesions.
        """
        given: Tensor | Classified = self(images)
        if isinstance(given, Classified):
            return super().lesion_map(images, taught)
        return surest_lesion(given, taught)

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
