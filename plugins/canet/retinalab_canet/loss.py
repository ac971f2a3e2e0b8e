"""The loss of CANet, for any number of diseases and with unknown grades."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from retinalab.tasks.grade_loss import grade_cross_entropy
from retinalab_canet.network import GradeLogits

__all__ = ["joint_grading_loss"]


def joint_grading_loss(
    logits: GradeLogits,
    grades: Mapping[str, Tensor],
    specific_weight: float = 0.25,
    weights: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """L = sum over diseases of CE(refined) + lambda * sum over diseases of CE(specific).

    Reference: equations 7 and 8.

    Differs from the paper: any number of diseases; a photograph may have a grade of one disease and not of
    another.

    Args:
        logits: what a network returned; without specific logits the second sum is empty.
        grades: disease -> ``(B,)`` int64, -1 unknown.
        specific_weight: lambda.
        weights: disease -> ``(C,)`` weight of each grade.

    Shape:
        - Returns: scalar.
    """
    weights = weights or {}
    losses = [grade_cross_entropy(value, grades[d], weights.get(d)) for d, value in logits.refined.items()]
    losses += [
        specific_weight * grade_cross_entropy(value, grades[d], weights.get(d))
        for d, value in logits.specific.items()
    ]
    return torch.stack(losses).sum()
