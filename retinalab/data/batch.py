"""What a batch holds."""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor

__all__ = ["Batch"]


class Batch(TypedDict, total=False):
    """A batch as tasks receive it.

    Shape:
        - ``image``: ``(B, 3, H, W)``; uint8 from the loader, float32 normalised once it reaches a task.
        - ``grades``: disease -> ``(B,)`` int64 grade on the protocol's scale, -1 unknown.
        - ``mask``: ``(B, 8, H, W)`` uint8 in the order of ``LESIONS``: 0 absent, 1 present, 255 ignore or not
          annotated.
          Only where the data section asks for masks.
        - ``present``: ``(B, 8)`` float32: 1 present, 0 absent, nan unknown.
        - ``label``: ``(B,)`` int64 class of a window; only where windows are cut.
        - ``index``: ``(B,)`` int64 row of the data module's table for this part (records, or windows).
        - ``warp``: ``(B, 2, 3)`` and ``colour``: ``(B, 3, 4)`` float32, only on the way to the device.
        - ``average``: ``(B, 3, h, w)`` float32, pieces of reduced local averages, and ``average_warp``: ``(B, 2, 3)``,
          input pixel -> pixel of the piece; ``place``: ``(B, 2, 3)``, input pixel -> working image. Only on the way
          to the subtraction of the background, where it needs them.
    """

    image: Tensor
    grades: dict[str, Tensor]
    mask: Tensor
    present: Tensor
    label: Tensor
    index: Tensor
    warp: Tensor
    colour: Tensor
    average: Tensor
    average_warp: Tensor
    place: Tensor
