"""Losses of lesion maps; pixels that were not annotated take no part. No Lightning here."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["IGNORED", "batch_dice", "pixel_cross_entropy"]

IGNORED = 255
"""The mask's value where a lesion was not annotated or is not to be judged: neither present nor absent."""


def pixel_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy, averaged over every annotated pixel of every lesion; 0 where none is annotated.

    Shape:
        - ``logits``: ``(B, L, H, W)``, float32.
        - ``mask``: ``(B, L, H, W)``, uint8: 0 absent, 1 present, 255 ignored.
        - Returns: scalar.

    Example:
        >>> pixel = torch.zeros(1, 1, 1, 2)
        >>> round(float(pixel_cross_entropy(pixel, torch.tensor([[[[1, 255]]]]))), 4)
        0.6931
    """
    known = mask != IGNORED
    each = F.binary_cross_entropy_with_logits(logits, (mask == 1).to(logits.dtype), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def batch_dice(logits: Tensor, mask: Tensor) -> Tensor:
    """1 - 2 Σpy / (Σp + Σy), with the sums of each lesion over the whole batch, averaged over the batch's lesions.

    A lesion that no photograph of the batch shows has no overlap to gain: it is left to the cross-entropy.

    Reference: Milletari et al., V-Net, 3DV 2016, equation 1, there with squares in the denominator.

    Shape:
        - ``logits``, ``mask``: as :func:`pixel_cross_entropy`.
        - Returns: scalar in [0, 1]; 0 where the batch shows no lesion.

    Example:
        >>> certain = torch.tensor([[[[20.0, -20.0]]]])
        >>> round(float(batch_dice(certain, torch.tensor([[[[1, 1]]]]))), 4)
        0.3333
    """
    there = (mask == 1).to(logits.dtype)
    found = logits.sigmoid() * (mask != IGNORED)
    overlap, area = (found * there).sum((0, 2, 3)), there.sum((0, 2, 3))
    shown = area > 0
    each = 1 - 2 * overlap / (found.sum((0, 2, 3)) + area).clamp(min=torch.finfo(logits.dtype).tiny)
    return (each * shown).sum() / shown.sum().clamp(min=1)
