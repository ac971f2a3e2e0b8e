"""The loss of grading, with photographs whose grade is unknown."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["grade_cross_entropy"]


def grade_cross_entropy(logits: Tensor, grades: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy over the photographs whose grade is known.

    Photographs of unknown grade count neither above nor below the fraction line; without any known grade the loss is
    0, and its gradient too. Grades may be weighted.

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
