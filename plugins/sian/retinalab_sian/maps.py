"""What a report shows over photographs: where lesions are, and where ABN looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab.records import LESIONS

__all__ = ["GROUPS", "attention_map", "lesion_group_maps"]

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "red lesion": ("MA", "HE"),
        "bright lesion": ("EX", "SE"),
        "proliferative lesion": ("VH", "PH", "NV", "FP"),
    }
)
"""The eight lesions as they are read together: the last are those of the proliferative stage (Table 1)."""

_PLACES = 32


def lesion_group_maps(lesions: Tensor, taught: Sequence[str] = LESIONS) -> dict[str, Tensor]:
    """The surest pixel of each place, for each group of lesions; a mean would lose microaneurysms.

    Args:
        lesions: probabilities.
        taught: the lesions that the network has learned; a group without any is left out.

    Shape:
        - ``lesions``: ``(B, 8, H, W)`` in [0, 1].
        - Returns: name with its lesions -> ``(B, h, w)``, at most 32 × 32 places.

    Example:
        >>> maps = lesion_group_maps(torch.zeros(1, 8, 64, 64), ("MA", "EX"))
        >>> {name: tuple(one.shape) for name, one in maps.items()}
        {'surest red lesion (MA)': (1, 32, 32), 'surest bright lesion (EX)': (1, 32, 32)}
    """
    places = [min(_PLACES, side) for side in lesions.shape[2:]]
    found: dict[str, Tensor] = {}
    for group, members in GROUPS.items():
        shown = [lesion for lesion in members if lesion in taught]
        if shown:
            # one by one, since choosing them by a list would carry it to the device
            planes = torch.stack([lesions[:, LESIONS.index(lesion)] for lesion in shown]).amax(0)
            found[f"surest {group} ({', '.join(shown)})"] = F.adaptive_max_pool2d(planes, places)
    return found


def attention_map(attention: Tensor | None) -> dict[str, Tensor]:
    """ABN's attention, as it is.

    Shape:
        - ``attention``: ``(B, 1, h, w)`` in [0, 1], or None.
    """
    return {} if attention is None else {"attention": torch.squeeze(attention, 1)}
