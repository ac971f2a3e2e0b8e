"""The loss of CANet, for any number of diseases and with unknown grades."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab_canet.network import GradeLogits

__all__ = ["grade_cross_entropy", "joint_grading_loss"]


def grade_cross_entropy(logits: Tensor, grades: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy over the photographs whose grade is known.

    Reference: equation 8.

    Differs from the paper: photographs of unknown grade count neither above nor below the fraction line;
    without any known grade the loss is 0, and its gradient too. Grades may be weighted.

    Args:
        logits: as below.
        grades: as below.
        weight: of each grade; the mean is weighted accordingly.

    Shape:
        - ``logits``: ``(B, C)``, float.
        - ``grades``: ``(B,)``, int64, 0 ... C-1; -1 unknown.
        - ``weight``: ``(C,)``, float.
        - Returns: scalar.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0], [5.0, -5.0]])
        >>> round(grade_cross_entropy(logits, torch.tensor([1, -1])).item(), 4)
        0.6931
    """
    total = F.cross_entropy(logits, grades, weight, ignore_index=-1, reduction="sum")
    known = grades >= 0
    share = torch.ones_like(grades, dtype=total.dtype) if weight is None else weight[grades.clamp(min=0)]
    mass = (share * known).sum()
    return total / torch.where(mass > 0, mass, torch.ones_like(mass))


def joint_grading_loss(
    logits: GradeLogits,
    grades: Mapping[str, Tensor],
    specific_weight: float = 0.25,
    weights: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """L = sum over diseases of CE(refined) + lambda * sum over diseases of CE(specific).

    Reference: equation 7.

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
