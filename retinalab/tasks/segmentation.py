"""The plain segmentation baseline: any network of segmentation-models-pytorch, one map per lesion."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from retinalab.config import Stage
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.tasks.base import Task
from retinalab.tasks.config import SegmentationConfig
from retinalab.tasks.lesion_loss import batch_dice, pixel_cross_entropy
from retinalab.tasks.optim import cosine, fused
from retinalab.tasks.outputs import Outputs
from retinalab.tasks.segmenter import LesionMaps
from retinalab.tasks.surest import surest_lesion

__all__ = ["SegmentationTask"]

_NO_MASKS = "Task 'baseline-segmentation' needs lesion masks. Set data.masks=true."


class SegmentationTask(Task):
    """Maps the eight lesions; a lesion is in the photograph as surely as at its surest pixel.

    The loss is pixel cross-entropy plus batch Dice over what was annotated: a lesion that nobody looked for is
    not taught as absent.
    """

    config_class = SegmentationConfig
    monitor = "val/lesion/mean/f1"
    monitor_mode = "max"

    def build_network(self) -> nn.Module:
        """Encoder, decoder and eight maps."""
        config = self.config
        return LesionMaps(config.architecture, config.encoder, config.weights, config.prior, config.options)

    def backbones(self) -> tuple[str, ...]:
        """The encoder."""
        return ("maps.encoder",)

    def check_stage(self, stage: Stage, given: Collection[str]) -> None:
        """Refuse photographs of a side that the network cannot take, or without masks.

        Raises:
            RetinalabError: either.
        """
        if not stage.data.masks:
            raise RetinalabError(_NO_MASKS)
        self.try_blank(stage.data.input_size)

    def lesion_map(self, images: Tensor, taught: Sequence[str] = LESIONS) -> Tensor:
        """The surest of the lesions at each pixel."""
        return surest_lesion(self(images), taught)

    def outputs(self, batch: Batch) -> Outputs:
        """Probabilities of lesions per pixel and, by their global maximum, per photograph.

        Raises:
            RetinalabError: the photographs come without masks.
        """
        if "mask" not in batch:
            raise RetinalabError(_NO_MASKS)
        logits = self(batch["image"]).float()
        mask = batch["mask"]
        parts = {
            "loss_cross_entropy": pixel_cross_entropy(logits, mask),
            "loss_dice": batch_dice(logits, mask),
        }
        loss = parts["loss_cross_entropy"] + self.config.dice_weight * parts["loss_dice"]
        maps = logits.sigmoid()
        return Outputs(loss, lesions=maps, present=maps.amax((2, 3)), parts=parts)

    def configure_optimizers(self) -> Any:
        """Adam with decoupled weight decay, and a cosine schedule per step after a short warm-up."""
        config = self.config
        optimiser = torch.optim.AdamW(
            self.rated(self.parameters(), config.learning_rate),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=fused(self),
        )
        total = self.total_steps
        warmup = int(config.warmup * total)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step, total, warmup))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
