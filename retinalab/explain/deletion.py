"""Deletion: how fast a network's answer changes when the most salient pixels are taken away first.

Reference: V. Petsiuk et al., RISE, BMVC 2018, section 4.3 (deletion metric).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab.errors import RetinalabError
from retinalab.transforms.draw import generator

__all__ = [
    "REMOVED",
    "area_under",
    "deletion_curve",
    "local_colour",
    "random_maps",
    "removal_order",
    "without",
]

REMOVED = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Shares of the field's pixels that are taken away, closer where lesions would be."""

_REDUCED = 64
_REACH = 0.1
"""Deviation of the Gaussian, as a share of the picture's side."""


def deletion_curve(
    answer: Callable[[Tensor], Tensor],
    images: Tensor,
    fields: Tensor,
    order: Tensor,
    removed: Sequence[float] = REMOVED,
) -> Tensor:
    """The network's answer after each removal.

    Removed pixels take the local average colour of the network's input (:func:`local_colour`), which hides what is
    smaller than its reach and keeps the shading of the photograph. Black or one mean colour would draw edges that no
    photograph has.

    Args:
        answer: normalised photographs -> one number each.
        images: normalised photographs.
        fields: the field of view.
        order: place of each pixel, from :func:`removal_order`.
        removed: shares of the field, from 0 to 1.

    Shape:
        - ``images``: ``(B, 3, H, W)``. ``fields``: ``(B, H, W)`` bool. ``order``: ``(B, H, W)`` int64.
        - Returns: ``(B, len(removed))``, float64.
    """
    filled = local_colour(images, fields)
    return torch.stack(
        [answer(without(images, filled, fields, order, share)).double() for share in removed], dim=1
    )


def without(images: Tensor, filled: Tensor, fields: Tensor, order: Tensor, share: float) -> Tensor:
    """Photographs whose first ``round(share * pixels of the field)`` pixels of the order are filled.

    Shape:
        - ``images``, ``filled``: ``(B, 3, H, W)``. Returns: the same.
    """
    counts = (share * fields.sum((1, 2)).double() + 0.5).floor()
    gone = order < counts[:, None, None]
    return torch.where(gone[:, None], filled, images)


def removal_order(maps: Tensor, fields: Tensor, ties: Tensor) -> Tensor:
    """Place of each pixel when the field is taken away by falling saliency; pixels beyond the field come last.

    Equal values go by falling ``ties``, so that the order of an empty map is the random one and not that of rows.

    Shape:
        - ``maps``, ``ties``: ``(B, H, W)``. ``fields``: ``(B, H, W)`` bool.
        - Returns: ``(B, H, W)`` int64, each photograph's a permutation of 0 ... H W - 1.

    Example:
        >>> maps = torch.tensor([[[0.2, 0.9, 0.2]]])
        >>> removal_order(maps, torch.ones(1, 1, 3, dtype=torch.bool), torch.tensor([[[0.0, 0.0, 1.0]]])).tolist()
        [[[2, 0, 1]]]
    """
    values = torch.where(fields, maps, -1.0).flatten(1)
    first = ties.flatten(1).argsort(dim=1, descending=True, stable=True)
    then = values.gather(1, first).argsort(dim=1, descending=True, stable=True)
    sequence = first.gather(1, then)
    places = torch.arange(values.shape[1], device=maps.device).expand_as(sequence)
    return torch.empty_like(sequence).scatter_(1, sequence, places).view_as(maps)


def random_maps(
    keys: Sequence[tuple[int, ...]], shape: tuple[int, int], side: int, device: torch.device
) -> Tensor:
    """Maps of independent uniform values at a map's own size, enlarged as a map is.

    Deletion by single random pixels would spoil the texture of the whole photograph, which no map with cells does: the
    order that a map is held against is as coarse as the map.

    Args:
        keys: seed of each photograph's map.
        shape: height and width of the maps beside which it stands.
        side: of the network's input.
        device: where the result lies; its values do not depend on it.

    Shape:
        - Returns: ``(B, side, side)`` float32.
    """
    drawn = torch.stack([torch.from_numpy(generator(*key).random(shape, dtype="float32")) for key in keys])
    return F.interpolate(drawn[:, None], (side, side), mode="bilinear")[:, 0].to(device)


def local_colour(images: Tensor, fields: Tensor, reach: float = _REACH) -> Tensor:
    """The Gaussian average of what lies in the field around each pixel; what lies beyond the field takes no part.

    Computed at no more than 64 pixels a side and enlarged.

    Args:
        images: photographs.
        fields: the field of view.
        reach: deviation of the Gaussian as a share of the side.

    Shape:
        - ``images``: ``(B, 3, H, W)``. ``fields``: ``(B, H, W)`` bool. Returns: as ``images``.

    Raises:
        RetinalabError: a field without a pixel.
    """
    if not fields.any(2).any(1).all():
        raise RetinalabError("A field of view is empty. Leave this photograph out.")
    size = images.shape[-2:]
    small = min(_REDUCED, *size)
    inside = fields[:, None].to(images.dtype)
    weighted = F.adaptive_avg_pool2d(torch.cat([images * inside, inside], dim=1), small)
    kernel = _gaussian(reach * small, small).to(weighted)
    blurred = torch.einsum("ij,bcjk,lk->bcil", kernel, weighted, kernel)
    colour = blurred[:, :-1] / blurred[:, -1:].clamp(min=torch.finfo(images.dtype).tiny)
    return F.interpolate(colour, size, mode="bilinear")


def area_under(curve: Tensor, removed: Sequence[float] = REMOVED) -> Tensor:
    """Area under a curve over the removed share, by trapezoids.

    Shape:
        - ``curve``: ``(B, len(removed))``. Returns: ``(B,)``.

    Example:
        >>> area_under(torch.tensor([[1.0, 0.0, 0.0]]), (0.0, 0.5, 1.0)).tolist()
        [0.25]
    """
    return torch.trapezoid(curve, torch.tensor(removed, dtype=curve.dtype, device=curve.device), dim=1)


def _gaussian(deviation: float, size: int) -> Tensor:
    """``(size, size)``: weight of each place for each place on one axis."""
    places = torch.arange(size, dtype=torch.float64)
    return torch.exp(-0.5 * ((places[:, None] - places) / deviation) ** 2)
