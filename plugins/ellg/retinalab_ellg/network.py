"""The o_O network that detects diabetic retinopathy, nets A and B. No Lightning here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.errors import RetinalabError
from retinalab_ellg.config import Net

__all__ = [
    "BlockPlan",
    "DetectionNetwork",
    "Maxout",
    "RMSPool",
    "UntiedConv2d",
    "block_plan",
    "blocks_for",
]

_INITIAL_BIAS = 0.05


@dataclass(frozen=True)
class BlockPlan:
    """Convolutions of one block and the step of its root-mean-square pooling.

    Attributes:
        convolutions: kernel, stride and zero padding of each.
        rms_stride: of 3 × 3 RMS pooling where the block is the last; its maximum pooling has stride 2.
    """

    convolutions: tuple[tuple[int, int, int], ...]
    rms_stride: int


def block_plan(net: Net) -> tuple[BlockPlan, ...]:
    """The five blocks of net A or B.

    Reference: Antony and Brüggemann, solution of the Kaggle diabetic retinopathy detection challenge, and its code.

    Example:
        >>> [len(block.convolutions) for block in block_plan("B")]
        [2, 3, 3, 3, 1]
    """
    if net == "A":
        plain = (3, 1, 1)
        halved = (5, 2, 2)
        of_a = ((halved, plain), (halved, plain, plain), (plain,) * 3, (plain,) * 3, (plain,) * 2)
        return tuple(BlockPlan(block, 3) for block in of_a)
    less, more, halved = (4, 1, 1), (4, 1, 2), (4, 2, 1)
    of_b = ((halved, more), (halved, more, less), (more, less, more), (more, less, more), (less,))
    return tuple(BlockPlan(block, 2) for block in of_b)


def blocks_for(side: int) -> int:
    """How many blocks an input of that side has: three below 224 pixels, four below 448, then five.

    Example:
        >>> blocks_for(112), blocks_for(224), blocks_for(448)
        (3, 4, 5)
    """
    return 3 if side < 224 else 4 if side < 448 else 5


class UntiedConv2d(nn.Conv2d):
    """A square convolution of square maps whose bias differs from place to place.

    Args:
        channels_in, channels_out: of the maps.
        kernel, stride, padding: of the convolution.
        side: of the input maps, pixels.

    Attributes:
        side_out: side of the output maps.

    Shape:
        - ``maps``: ``(B, channels_in, side, side)``. Returns: ``(B, channels_out, side_out, side_out)``.
        - ``bias``: ``(channels_out, side_out, side_out)``.
    """

    bias: nn.Parameter

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, padding: int, side: int
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, padding, bias=False)
        self.side_out = _after(side, kernel, stride, padding)
        self.bias = nn.Parameter(torch.empty(channels_out, self.side_out, self.side_out))

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve, then add each place's own bias."""
        return F.conv2d(maps, self.weight, None, self.stride, self.padding) + self.bias


class RMSPool(nn.Module):
    """Root mean square over squares: ``sqrt(mean(x²) + 1e-12)``.

    Args:
        kernel, stride: of the squares; there is no padding.

    Shape:
        - ``maps``: ``(B, C, H, W)``. Returns: ``(B, C, (H - kernel) // stride + 1, ...)``.

    Example:
        >>> round(RMSPool(2, 2)(torch.tensor([[[[1.0, 1.0], [1.0, 5.0]]]])).item(), 4)
        2.6458
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """Pool; in float32 at least, where 1e-12 is more than nothing."""
        exact = maps if maps.dtype == torch.float64 else maps.float()
        return (F.avg_pool2d(exact * exact, self.kernel, self.stride) + 1e-12).sqrt().to(maps.dtype)

    def extra_repr(self) -> str:
        """Kernel and stride."""
        return f"kernel={self.kernel}, stride={self.stride}"


class Maxout(nn.Module):
    """The larger of each two neighbouring features.

    Shape:
        - ``features``: ``(B, 2 n)``. Returns: ``(B, n)``.

    Example:
        >>> Maxout()(torch.tensor([[1.0, 2.0, 5.0, 3.0]])).tolist()
        [[2.0, 5.0]]
    """

    def forward(self, features: Tensor) -> Tensor:
        """Compute the maxima."""
        return features.reshape(features.shape[0], -1, 2).amax(2)


class DetectionNetwork(nn.Module):
    """The o_O network: blocks of leaky convolutions, RMS pooling, two maxout layers and a linear answer.

    The names of its parts are the same at every side, so that matching layers may be carried over: ``blocks.stage1``
    ... ``blocks.stage5`` with ``conv1``, ``conv2``, ... and ``head``. Kernels fit at every side; untied biases and the
    first layer of the head have other shapes at another side.

    Args:
        outputs: disease -> number of answers; 1 for its severity.
        net: A (5 × 5 and 3 × 3 kernels) or B (4 × 4).
        side: of the input in pixels; the authors train at 112, 224 and 448.
        blocks: how many of the five; None: as :func:`blocks_for`.
        untied: whether each place of a map has a bias of its own.
        slope: of the leaky rectifiers below 0.
        dropout: probability, before each of the head's two hidden layers.
        width: channels of the first block; each further block has twice as many.
        hidden: features of each hidden layer before maxout, an even number.

    Shape:
        - ``images``: ``(B, 3, side, side)``, float32, standardised.
        - Returns: disease -> ``(B, outputs)``, float32.

    Raises:
        RetinalabError: a side too small for so many blocks, or an input of another side.

    Reference: section 2.1 of ELLG, whose "three convolutional blocks" of 27, 13 and 6 pixels are blocks 2 to 4 at 448.

    Differs from the paper: the authors' public code clamps the answer at 0 from below; here it is linear, since a
    clamped answer has no gradient that a saliency map could be made of.
    """

    def __init__(
        self,
        outputs: Mapping[str, int],
        net: Net = "B",
        side: int = 448,
        blocks: int | None = None,
        untied: bool = True,
        slope: float = 0.01,
        dropout: float = 0.5,
        width: int = 32,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        self.side = side
        count = blocks_for(side) if blocks is None else blocks
        self.blocks = nn.Sequential()
        channels, here = 3, side
        for i, plan in enumerate(block_plan(net)[:count]):
            last = i == count - 1
            block, here = _block(channels, width << i, plan, here, untied, slope, last)
            if here < 1:
                raise RetinalabError(
                    f"A side of {side} pixels is too small for {count} blocks. Take fewer (task.blocks), or a larger "
                    "side (task.side with data.crop)."
                )
            self.blocks.add_module(f"stage{i + 1}", block)
            channels = width << i
        self.features = channels * here * here
        self.head = nn.Sequential()
        self.head.add_module("dropout1", nn.Dropout(dropout))
        self.head.add_module("dense1", nn.Linear(self.features, hidden))
        self.head.add_module("leaky1", nn.LeakyReLU(slope))
        self.head.add_module("maxout1", Maxout())
        self.head.add_module("dropout2", nn.Dropout(dropout))
        self.head.add_module("dense2", nn.Linear(hidden // 2, hidden))
        self.head.add_module("leaky2", nn.LeakyReLU(slope))
        self.head.add_module("maxout2", Maxout())
        self.answers = nn.ModuleDict({name: nn.Linear(hidden // 2, size) for name, size in outputs.items()})
        self._start()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The answers of each disease."""
        if images.shape[-2:] != (self.side, self.side):
            raise RetinalabError(
                f"The o_O network was built for {self.side}x{self.side} pixels and got {images.shape[-2]}x"
                f"{images.shape[-1]}. Set task.side and data.crop (or data.size) to the same number."
            )
        features = self.head(self.blocks(images).flatten(1))
        return {name: answer(features) for name, answer in self.answers.items()}

    @torch.no_grad()
    def _start(self) -> None:
        """Orthogonal weights of gain 1 and biases of 0.05; the answers start as Glorot's, around 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.orthogonal_(module.weight, 1.0)
                if module.bias is not None:
                    nn.init.constant_(module.bias, _INITIAL_BIAS)
        for answer in self.answers.values():
            if isinstance(answer, nn.Linear):
                nn.init.xavier_uniform_(answer.weight)
                nn.init.zeros_(answer.bias)


def _block(
    channels_in: int, channels: int, plan: BlockPlan, side: int, untied: bool, slope: float, last: bool
) -> tuple[nn.Sequential, int]:
    """One block for maps of that side, and the side of what it gives (below 1 where it gives nothing)."""
    block = nn.Sequential()
    for i, (kernel, stride, padding) in enumerate(plan.convolutions, start=1):
        if side + 2 * padding < kernel:
            return block, 0
        given = channels_in if i == 1 else channels
        convolution = (
            UntiedConv2d(given, channels, kernel, stride, padding, side)
            if untied
            else nn.Conv2d(given, channels, kernel, stride, padding)
        )
        block.add_module(f"conv{i}", convolution)
        block.add_module(f"leaky{i}", nn.LeakyReLU(slope))
        side = _after(side, kernel, stride, padding)
    stride = plan.rms_stride if last else 2
    block.add_module("pool", RMSPool(3, stride) if last else nn.MaxPool2d(3, 2))
    return block, _after(side, 3, stride, 0) if side >= 3 else 0


def _after(side: int, kernel: int, stride: int, padding: int) -> int:
    return (side + 2 * padding - kernel) // stride + 1
