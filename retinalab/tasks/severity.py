"""From a severity, one number on the scale of grades, to a grade."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["severity_grades"]


def severity_grades(severity: Tensor, grades: int) -> Tensor:
    """Severity to grade at 0.5, 1.5, ...; a severity halfway between two grades is the higher one.

    Args:
        severity: of each photograph; below 0 it is grade 0, above the highest grade that.
        grades: of the scale.

    Shape:
        - ``severity``: ``(B,)``, floating. Returns: ``(B,)``, int64.

    Example:
        >>> severity_grades(torch.tensor([-1.0, 0.49, 0.5, 2.5, 9.0]), 5).tolist()
        [0, 0, 1, 3, 4]
    """
    edges = torch.arange(grades - 1, dtype=severity.dtype, device=severity.device) + 0.5
    return torch.bucketize(severity.contiguous(), edges, right=True)
