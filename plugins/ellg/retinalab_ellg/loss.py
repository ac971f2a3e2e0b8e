"""The loss of a severity that is regressed."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["severity_loss"]


def severity_loss(severity: Tensor, grades: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error over the photographs whose grade is known: ``mean((s - g)²)``, or weighted by the grade.

    Without any known grade the loss is 0, and its gradient too.

    Shape:
        - ``severity``: ``(B,)``, float, on the scale of grades.
        - ``grades``: ``(B,)``, int64, 0 ... C-1; -1 unknown.
        - ``weight``: ``(C,)``, float, of each grade; the mean is weighted accordingly.
        - Returns: scalar.

    Reference: section 2.1; the o_O solution's objective.

    Example:
        >>> severity_loss(torch.tensor([1.0, 4.0, 9.0]), torch.tensor([2, 1, -1])).item()
        5.0
    """
    known = (grades >= 0).to(severity.dtype)
    if weight is not None:
        share = known * weight[grades.clamp(min=0)]
        mass = share.sum()
        return ((severity - grades) ** 2 * share).sum() / torch.where(mass > 0, mass, torch.ones_like(mass))
    return ((severity - grades) ** 2 * known).sum() / known.sum().clamp(min=1)
