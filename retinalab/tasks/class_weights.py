"""Weights of grades in a loss, from how many photographs have each. No Lightning here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["balanced", "effective", "weigh"]


def balanced(counts: Sequence[int]) -> Tensor:
    """w_k = N / (K n_k) over the K grades that there are; a grade that no photograph has weighs nothing.

    Shape:
        - ``counts``: n_k of each grade. Returns: ``(C,)``, float32.

    Example:
        >>> balanced([6, 2, 0]).tolist()
        [0.6666666865348816, 2.0, 0.0]
    """
    n = torch.tensor(counts, dtype=torch.float64)
    there = n > 0
    each = n.sum() / (there.sum() * n.clamp(min=1))
    return torch.where(there, each, torch.zeros_like(each)).float()


def effective(counts: Sequence[int], beta: float) -> Tensor:
    """w_k in proportion to (1 - β) / (1 - β^n_k), with a sum of K over the K grades that there are.

    Between equal weights (β near 0) and inverse frequency (β near 1). A grade that no photograph has weighs nothing.

    Reference: Cui et al., Class-balanced loss based on effective number of samples, CVPR 2019, equation 4.

    Args:
        counts: n_k of each grade.
        beta: β, in (0, 1).

    Shape:
        - Returns: ``(C,)``, float32.
    """
    n = torch.tensor(counts, dtype=torch.float64)
    there = n > 0
    each = torch.where(there, (1 - beta) / (1 - beta ** n.clamp(min=1)), torch.zeros_like(n))
    return (each * there.sum() / each.sum().clamp(min=torch.finfo(torch.float64).tiny)).float()


def weigh(how: object, counts: Sequence[int]) -> Tensor:
    """The weights that :data:`retinalab.config.ClassWeights` asks for of one disease.

    Args:
        how: ``"balanced"`` or ``{"effective": beta}``.
        counts: photographs of each grade.
    """
    return (
        balanced(counts)
        if how == "balanced" or not isinstance(how, dict)
        else effective(counts, how["effective"])
    )
