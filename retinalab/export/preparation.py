"""What is done to a working image before a network sees it, as one traceable module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from retinalab.config import DataConfig
from retinalab.export.background import average_everywhere
from retinalab.transforms.apply import apply_batch, apply_colour, normalise
from retinalab.transforms.background import even_out
from retinalab.transforms.draw import IDENTITY_COLOUR, evaluation_warp

__all__ = ["Preparation"]


class Preparation(nn.Module):
    """From working images to a network's input: view, local-average subtraction, normalisation.

    Where the input is a central crop that begins at a whole pixel it is cut out; else it is resized in floating point,
    as a run on a GPU does it. A run on a processor rounds resized pixels to whole levels.

    Args:
        data: the data section of the network's stage.

    Shape:
        - ``photographs``: ``(B, S, S, 3)`` uint8 RGB, cropped to the field of view; S is ``data.size``.
        - Returns: ``(B, 3, s, s)`` float32, normalised; s is ``data.input_size``.
    """

    def __init__(self, data: DataConfig) -> None:
        super().__init__()
        self.data = data
        self.side = data.crop or data.size
        warp = evaluation_warp(data.size, self.side, data.view)
        self.register_buffer("warp", torch.from_numpy(warp)[None])
        self.register_buffer("colour", torch.from_numpy(IDENTITY_COLOUR.copy())[None])
        start = float(warp[0, 2])
        self.start = int(start) if warp[0, 0] == 1 and start >= 0 and start.is_integer() else None

    @property
    def exact(self) -> bool:
        """Whether no pixel is resized, so that a processor and a GPU prepare photographs alike."""
        return self.start is not None

    def forward(self, photographs: Tensor) -> Tensor:
        """The network's input."""
        images = photographs.permute(0, 3, 1, 2).float() / 255
        warp = self.get_buffer("warp").expand(images.shape[0], 2, 3)
        if self.start is not None:
            images = images[:, :, self.start : self.start + self.side, self.start : self.start + self.side]
        else:
            colour = self.get_buffer("colour").expand(images.shape[0], 3, 4)
            images = apply_colour(apply_batch(images, warp, self.side), colour)
        background = self.data.background
        if background is not None:
            place = None if background.circle is None else warp
            images = even_out(
                images, background, average_everywhere(images, background), place, self.data.size
            )
        return normalise(images, self.data.normalise)
