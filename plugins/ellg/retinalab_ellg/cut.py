"""Lesion patches: where the saliency lies above a threshold, piece by connected piece."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab.explain.gradient_maps import normalised

__all__ = ["Patches", "connected_patches", "field_of_view", "inside_fields", "lesion_masks"]

_DARK = 10


@dataclass(frozen=True)
class Patches:
    """Lesion patches of a batch of photographs, as lists of their pixels.

    Patches are numbered through the batch: by photograph, then from the largest to the smallest, patches of one size in
    the order of their first pixel.

    Shape:
        - ``photograph``, ``row``, ``column``, ``patch``: ``(n,)``, int64, of each pixel.
        - ``owner``, ``rank``, ``area``: ``(P,)``, int64, of each patch: its photograph, its place among that
          photograph's patches, its pixels.
        - ``box``: ``(P, 4)``, int64: first row, first column, last row, last column.
        - ``left_out``: ``(B,)``, int64: patches beyond the most that were asked for.
    """

    photograph: Tensor
    row: Tensor
    column: Tensor
    patch: Tensor
    owner: Tensor
    rank: Tensor
    area: Tensor
    box: Tensor
    left_out: Tensor

    def counts(self) -> Tensor:
        """``(B,)`` int64, patches of each photograph."""
        return torch.bincount(self.owner, minlength=len(self.left_out))


def field_of_view(photographs: Tensor) -> Tensor:
    """The field of view of photographs on black: what has something brighter than black on all four sides.

    A dark lesion within the field belongs to it, whatever its colour.

    Differs from :func:`retinalab.explain.photographs.field_mask`, which fits an outline to one photograph at a time on
    the CPU: whole batches stay on their device here, in a sixth of the time.

    Shape:
        - ``photographs``: ``(B, 3, H, W)``, uint8. Returns: ``(B, H, W)``, bool.
    """
    seen = photographs.amax(1) > _DARK
    return _between(seen, 1) & _between(seen, 2)


def inside_fields(saliency: Tensor, fields: Tensor) -> Tensor:
    """Bring maps to the photographs' size and, inside the field of view, to [0, 1]; a flat map becomes 0.

    Reference: section 2.3, "normalized the saliency map L to [0,1]".

    Differs from the paper: least and largest value are taken inside the field of view, after enlarging: a peak outside
    it has no lesion under it, and a narrow one loses height when it is enlarged.

    Shape:
        - ``saliency``: ``(B, h, w)``, floating. ``fields``: ``(B, H, W)``, bool.
        - Returns: ``(B, H, W)``, float32; 0 outside the field.
    """
    size = (int(fields.shape[1]), int(fields.shape[2]))
    maps = F.interpolate(saliency[:, None].float(), size, mode="bilinear", align_corners=False)[:, 0]
    least = maps.masked_fill(~fields, torch.inf).amin((1, 2), keepdim=True)
    least = torch.where(least.isinf(), 0.0, least)  # a photograph without a field
    return normalised(torch.where(fields, maps, least))


def lesion_masks(saliency: Tensor, fields: Tensor, thresholds: Tensor) -> Tensor:
    """Equation 4 at the photographs' size, inside the field of view.

    Shape:
        - ``saliency``: ``(B, h, w)``, floating. ``fields``: ``(B, H, W)``, bool. ``thresholds``: ``(B,)``.
        - Returns: ``(B, H, W)``, bool; empty where the map is flat.
    """
    return inside_fields(saliency, fields) > thresholds.to(saliency.device, torch.float32)[:, None, None]


def connected_patches(masks: Tensor, most: int) -> Patches:
    """Cut masks into connected pieces (pixels that touch at a corner are connected), exactly and on the device.

    The rows' runs of marked pixels are joined where they touch runs of the row below, so that the work grows with the
    number of runs, not with pixels or with the length of a piece.

    Differs from ``kornia.contrib.connected_components``, which spreads labels by one pixel in each of a fixed number of
    steps and so splits what is longer than that.

    Args:
        masks: where the lesions are.
        most: patches that are kept of each photograph, the largest ones.

    Shape:
        - ``masks``: ``(B, H, W)``, bool.
    """
    photographs, height, width = masks.shape
    stride = width + 2
    padded = F.pad(masks, (1, 1, 0, 1))  # a column on either side and a row below part rows and photographs
    start = (padded & ~padded.roll(1, 2)).flatten().nonzero()[:, 0]
    end = (padded & ~padded.roll(-1, 2)).flatten().nonzero()[:, 0]
    piece = _joined(start, end, stride)
    roots, piece = torch.unique(piece, return_inverse=True)
    length = end - start + 1
    area = torch.zeros_like(roots).scatter_add_(0, piece, length)
    owner = start[roots] // (stride * (height + 1))
    order = _by_photograph_and_area(owner, area)
    count = torch.bincount(owner, minlength=photographs)
    first = count.cumsum(0) - count
    rank = torch.arange(len(order), device=masks.device) - first[owner[order]]
    kept = order[rank < most]
    number = torch.full_like(roots, -1)
    number[kept] = torch.arange(len(kept), device=masks.device)
    runs = number[piece] >= 0
    patch, start, length = number[piece][runs], start[runs], length[runs]
    pixel_run = torch.repeat_interleave(torch.arange(len(start), device=masks.device), length)
    within = torch.arange(len(pixel_run), device=masks.device) - (length.cumsum(0) - length)[pixel_run]
    place = start[pixel_run] + within
    line = place // stride
    row, column = line % (height + 1), place % stride - 1
    pixel_patch = patch[pixel_run]
    return Patches(
        line // (height + 1), row, column, pixel_patch,
        owner[kept], rank[rank < most], area[kept],
        _boxes(row, column, pixel_patch, len(kept)), (count - most).clamp(min=0),
    )  # fmt: skip


def _between(seen: Tensor, axis: int) -> Tensor:
    """From the first to the last pixel of each line along an axis."""
    size = seen.shape[axis]
    place = torch.arange(1, size + 1, dtype=torch.int16, device=seen.device)
    place = place[:, None] if axis == 1 else place
    last = (seen * place).amax(axis, keepdim=True)
    first = size + 1 - (seen * (size + 1 - place)).amax(axis, keepdim=True)
    return (place >= first) & (place <= last)


def _joined(start: Tensor, end: Tensor, stride: int) -> Tensor:
    """Number of the first run of the piece that each run belongs to.

    Each root is hooked below the smallest root that it touches, then every run points to its root again, until nothing
    changes.
    """
    low = torch.searchsorted(end, start + stride - 1)
    high = torch.searchsorted(start, end + stride + 1, right=True)
    touching = high - low
    upper = torch.repeat_interleave(torch.arange(len(start), device=start.device), touching)
    lower = low[upper] + torch.arange(len(upper), device=start.device)
    lower = lower - (touching.cumsum(0) - touching)[upper]
    root = torch.arange(len(start), device=start.device)
    while len(upper):
        one, other = root[upper], root[lower]
        hooked = root.scatter_reduce(0, torch.maximum(one, other), torch.minimum(one, other), "amin")
        while not torch.equal(hooked, hooked[hooked]):
            hooked = hooked[hooked]
        if torch.equal(hooked, root):
            break
        root = hooked
    return root


def _by_photograph_and_area(owner: Tensor, area: Tensor) -> Tensor:
    order = torch.argsort(area, descending=True, stable=True)
    return order[torch.argsort(owner[order], stable=True)]


def _boxes(row: Tensor, column: Tensor, patch: Tensor, count: int) -> Tensor:
    bounds = []
    for reduction in ("amin", "amax"):
        for value in (row, column):
            box = torch.zeros(count, dtype=torch.int64, device=row.device)
            bounds.append(box.scatter_reduce_(0, patch, value, reduction, include_self=False))
    return torch.stack(bounds, 1)
