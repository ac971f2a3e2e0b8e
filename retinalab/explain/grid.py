"""Where the cells of a feature map lie in a network's input, and maps brought from cells to pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Grid", "Pair", "in_frame"]

Pair = tuple[float, float]
"""Down and to the right."""


@dataclass(frozen=True)
class Grid:
    """Centres of the cells of a feature map, in pixels of the network's input, pixel centres at whole numbers.

    The cell in row i and column j is centred at ``first + (i, j) * step``: the middle of the pixels that it is computed
    from, padding included. A convolution without enough padding, or with more than enough, gives cells that do not
    cover the input evenly, and a stride without an even kernel gives cells that begin at its first pixel.

    Attributes:
        first: centre of the cell in the first row and column.
        step: from one cell to the next.
    """

    first: Pair = (0.0, 0.0)
    step: Pair = (1.0, 1.0)

    @classmethod
    def even(cls, size: Sequence[int], cells: Sequence[int]) -> Grid:
        """Cells that cover an input of that height and width without gap or overlap.

        Example:
            >>> Grid.even((224, 224), (7, 7))
            Grid(first=(15.5, 15.5), step=(32.0, 32.0))
        """
        return cls().reduced((size[0] / cells[0], size[1] / cells[1]))

    def windowed(
        self, kernel: Sequence[int], stride: Sequence[int], before: Sequence[float], dilation: Sequence[int]
    ) -> Grid:
        """Behind a convolution or pooling: each cell lies in the middle of its window.

        Args:
            kernel: height and width of the window.
            stride: of the window.
            before: rows of padding above, columns to the left.
            dilation: of the window.

        Example:
            >>> Grid().windowed((4, 4), (2, 2), (1, 1), (1, 1))
            Grid(first=(0.5, 0.5), step=(2.0, 2.0))
        """
        return self.moved(
            [(k - 1) * d / 2 - p for k, d, p in zip(kernel, dilation, before, strict=True)]
        ).stepped(stride)

    def transposed(
        self, kernel: Sequence[int], stride: Sequence[int], before: Sequence[float], dilation: Sequence[int]
    ) -> Grid:
        """Behind a transposed convolution, with the arguments of the one that it is the transpose of."""
        middle = [
            (p - (k - 1) * d / 2) / s for k, s, p, d in zip(kernel, stride, before, dilation, strict=True)
        ]
        return self.moved(middle).stepped([1 / s for s in stride])

    def reduced(self, factor: Sequence[float]) -> Grid:
        """Behind averages over areas of ``factor`` cells each; a factor below 1 enlarges."""
        return self.moved([(f - 1) / 2 for f in factor]).stepped(factor)

    def moved(self, cells: Sequence[float]) -> Grid:
        """Begun so many cells further down and to the right."""
        down, right = (a + b * c for a, b, c in zip(self.first, self.step, cells, strict=True))
        return Grid((down, right), self.step)

    def stepped(self, factor: Sequence[float]) -> Grid:
        """With steps so many times as long, from the same first cell."""
        down, right = (float(a * b) for a, b in zip(self.step, factor, strict=True))
        return Grid(self.first, (down, right))


def in_frame(maps: Tensor, grid: Grid, size: Sequence[int]) -> Tensor:
    """Maps over cells as maps over the input's pixels: linear between the cells' centres, held beyond the outermost.

    Args:
        maps: one value for each cell.
        grid: where the cells lie.
        size: height and width of the input.

    Shape:
        - ``maps``: ``(B, h, w)``. Returns: ``(B, *size)``.

    Example:
        >>> in_frame(torch.tensor([[[0.0, 4.0]]]), Grid((0.0, 1.0), (1.0, 2.0)), (1, 5)).tolist()
        [[[0.0, 0.0, 2.0, 4.0, 4.0]]]
    """
    rows, columns = (
        _between(grid.first[axis], grid.step[axis], maps.shape[axis + 1], size[axis], maps) for axis in (0, 1)
    )
    with torch.autocast(maps.device.type, enabled=False):
        return rows @ maps @ columns.T


def _between(first: float, step: float, cells: int, pixels: int, like: Tensor) -> Tensor:
    """``(pixels, cells)``: weight of each cell for each pixel of one axis."""
    places = (torch.arange(pixels, dtype=torch.float64) - first) / step
    places = places.clamp(0, cells - 1)[:, None]
    return (1 - (places - torch.arange(cells, dtype=torch.float64)).abs()).clamp(min=0).to(like)
