"""One map of lesions out of eight: at each pixel the surest of those that a network has learned. No Lightning here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from retinalab.records import LESIONS

__all__ = ["surest_lesion"]


def surest_lesion(logits: Tensor, taught: Sequence[str] = LESIONS) -> Tensor:
    """The largest of the probabilities of the lesions that were taught.

    The planes of lesions that nobody taught hold what chance made of them, and are left out.

    Args:
        logits: of the eight lesions, in the order of ``LESIONS``.
        taught: the lesions that the network has learned; all where none is named.

    Shape:
        - ``logits``: ``(B, 8, H, W)``. Returns: ``(B, 1, H, W)`` float32 in [0, 1].

    Example:
        >>> logits = torch.full((1, 8, 1, 1), -9.0)
        >>> logits[0, 0], logits[0, 2] = 9.0, 0.0
        >>> surest_lesion(logits, ("HE", "EX")).item()
        0.5
    """
    chosen = [LESIONS.index(lesion) for lesion in taught] or list(range(len(LESIONS)))
    # slices, one by one: an index by a list would forget where the map's cells lie
    planes = torch.cat([logits[:, k : k + 1] for k in chosen], 1)
    return planes.amax(1, keepdim=True).float().sigmoid()
