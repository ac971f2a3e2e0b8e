"""Learning rates that several papers use, and how weights are updated."""

from __future__ import annotations

import math

from lightning import LightningModule

__all__ = ["cosine", "fused"]


def cosine(step: int, total: int, warmup: int = 0) -> float:
    """Factor of the learning rate: linear from 0 over ``warmup`` steps, then a half cosine from 1 to 0.

    Example:
        >>> cosine(0, 27_000), round(cosine(13_500, 27_000), 6), round(cosine(27_000, 27_000), 6)
        (1.0, 0.5, 0.0)
    """
    if step < warmup:
        return step / warmup
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.5 * (1 + math.cos(math.pi * share))


def fused(task: LightningModule) -> bool | None:
    """Whether an optimiser of torch's may update all weights in one kernel: True on a GPU, else None, torch's default.

    On a processor it would round Adam's steps otherwise. Where gradients are clipped in mixed precision, Lightning
    refuses a fused optimiser.
    """
    if not all(one.device.type == "cuda" for one in task.parameters()):
        return None
    trainer = task.trainer
    clipped = bool(trainer.gradient_clip_val) and "mixed" in str(trainer.precision)
    return None if clipped else True
