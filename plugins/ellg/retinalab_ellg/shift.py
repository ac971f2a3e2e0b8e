"""Shift lesion patches at random until none overlaps another, inside the target's field of view."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retinalab_ellg.cut import Patches

__all__ = ["Placed", "placed"]


@dataclass(frozen=True)
class Placed:
    """Where patches come to lie.

    Shape:
        - ``shift``: ``(P, 2)``, int64, rows down and columns right, of each patch.
        - ``free``: ``(P,)``, bool: it found a place within the field without overlap; true where none was sought.
        - ``row``, ``column``: ``(n,)``, int64, where each pixel is pasted.
        - ``kept``: ``(n,)``, bool: it is pasted at all. No two pixels that are kept fall on one place, none falls
          outside the field.
    """

    shift: Tensor
    free: Tensor
    row: Tensor
    column: Tensor
    kept: Tensor


def placed(patches: Patches, fields: Tensor, tries: Tensor | None, unplaced: str = "stay") -> Placed:
    """Shift every patch until it overlaps no other, or the tries are used up.

    In each round every patch without a place draws the next of its shifts, uniformly among those that keep its box
    within the box of the field. Where all its pixels lie in the field, on no placed patch and on no larger one that
    could be placed in the same round, it is placed. All photographs go through a round together.

    A patch whose tries are used up stays at the last shift that lay within the field, or where it was cut if none did;
    others cover it, and what lies outside the field is left out. Without tries, every patch stays where it was cut.

    Reference: section 2.3, "randomly shifting a single lesion patch in the loops (100 in our setting) until there is no
        overlap with other patches or the loop is over".

    Differs from the paper: a place must lie within the field of view, of which the paper says nothing; and patches take
    their places round by round, not one after the other, so that a photograph costs rounds, not patches times tries.

    Args:
        patches: cut from the sources.
        fields: of the photographs that they are pasted into.
        tries: random numbers of each patch, T pairs; None: nothing is shifted.
        unplaced: ``stay``, or ``drop``: a patch whose tries are used up is left out.

    Shape:
        - ``fields``: ``(B, H, W)``, bool.
        - ``tries``: ``(P, T, 2)``, float32 in [0, 1).
    """
    count = len(patches.owner)
    shift = torch.zeros(count, 2, dtype=torch.int64, device=fields.device)
    free = torch.zeros(count, dtype=torch.bool, device=fields.device)
    taken = torch.full((fields.numel(),), count, device=fields.device)
    if tries is not None and count:
        _shift(patches, fields, tries, shift, free, taken)
    row, column = patches.row + shift[patches.patch, 0], patches.column + shift[patches.patch, 1]
    place = _flat(patches.photograph, row, column, fields)
    kept = free[patches.patch]
    if tries is None or unplaced == "stay":
        open_ = ~kept & fields.flatten()[place] & (taken[place] == count)
        taken.scatter_reduce_(0, place[open_], patches.patch[open_], "amin")
        kept = kept | (open_ & (taken[place] == patches.patch))
    return Placed(shift, free | (tries is None), row, column, kept)


def _shift(
    patches: Patches, fields: Tensor, tries: Tensor, shift: Tensor, free: Tensor, taken: Tensor
) -> None:
    """Fill in ``shift``, ``free`` and, for each place of the photographs, the patch that took it."""
    nobody = len(shift)
    least, extent = _room(patches, fields)
    inside = fields.flatten()
    pixels = torch.arange(len(patches.patch), device=fields.device)
    for attempt in range(tries.shape[1]):
        drawn = least + (tries[:, attempt] * extent).long().minimum(extent - 1)
        patch = patches.patch[pixels]
        place = _flat(
            patches.photograph[pixels],
            patches.row[pixels] + drawn[patch, 0],
            patches.column[pixels] + drawn[patch, 1],
            fields,
        )
        within = ~free & _all(inside[place], patch, nobody)
        shift[within] = drawn[within]
        possible = within & _all(taken[place] == nobody, patch, nobody)
        claims = possible[patch]
        place, patch = place[claims], patch[claims]
        taken.scatter_reduce_(0, place, patch, "amin")
        wins = possible & _all(taken[place] == patch, patch, nobody)
        taken[place] = nobody
        taken[place[wins[patch]]] = patch[wins[patch]]
        free |= wins
        pixels = pixels[~free[patches.patch[pixels]]]
        if not len(pixels):
            break


def _room(patches: Patches, fields: Tensor) -> tuple[Tensor, Tensor]:
    """Least shift of each patch and number of shifts, per axis, that keep its box within the box of the field.

    A patch larger than the field has one shift, none.
    """
    bounds = []
    for axis in (2, 1):
        line = fields.any(axis).int()
        first, size = line.argmax(1), fields.shape[3 - axis]
        bounds.append((first, size - 1 - line.flip(1).argmax(1)))
    (top, bottom), (left, right) = bounds
    low = torch.stack([top, left], 1)[patches.owner] - patches.box[:, :2]
    high = torch.stack([bottom, right], 1)[patches.owner] - patches.box[:, 2:]
    fits = high >= low
    return torch.where(fits, low, 0), torch.where(fits, high - low + 1, 1)


def _all(holds: Tensor, patch: Tensor, count: int) -> Tensor:
    """``(P,)`` bool: it holds for every pixel of a patch (and for a patch without pixels)."""
    fails = torch.zeros(count, dtype=torch.bool, device=holds.device)
    fails[patch[~holds]] = True
    return ~fails


def _flat(photograph: Tensor, row: Tensor, column: Tensor, fields: Tensor) -> Tensor:
    return (photograph * fields.shape[1] + row) * fields.shape[2] + column
