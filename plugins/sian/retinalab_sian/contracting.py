"""The contracting path: feature maps of a timm network at one half to one thirty-second of the side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from retinalab.errors import RetinalabError
from retinalab.tasks.network import timm_model
from retinalab_sian.inception import LAYERS, LEVELS, padded_inception

__all__ = ["STRIDE", "ContractingPath"]

STRIDE = 32
"""How often the whole path reduces the side."""

_INCEPTION = "inception_v3"
_WIDTHS = {2: 64, 4: 192, 8: 288, 16: 768, 32: 2048}


class ContractingPath(nn.Module):
    """Feature maps of Inception-v3, padded (:func:`padded_inception`), or of any timm network with features of its own.

    Reference: section 3.1, Figure 4.

    Args:
        backbone: any timm network whose last features have a thirty-second of the side; the paper's is
            ``inception_v3``.
        weights: ``none``, ``timm`` (its hub), or the path of a file.
        reductions: which maps are returned; what is not asked for is not kept.
        dilated: the last map at a sixteenth of the side, by dilated convolutions; it still goes by 32.

    Attributes:
        channels: reduction -> channels of its map, for the reductions asked for.

    Shape:
        - ``images``: ``(B, 3, 32h, 32w)``, float32.
        - Returns: reduction r -> ``(B, channels[r], 32h/r, 32w/r)``; Inception-v3 has 64, 192, 288, 768, 2048.

    Raises:
        RetinalabError: unknown backbone, weights that cannot be loaded, a reduction that the backbone does not have,
            or photographs whose sides are no multiples of 32.

    Example:
        >>> import torch
        >>> path = ContractingPath("resnet18", reductions=(16, 32))
        >>> {r: tuple(maps.shape) for r, maps in path(torch.zeros(1, 3, 64, 64)).items()}
        {16: (1, 256, 4, 4), 32: (1, 512, 2, 2)}
    """

    def __init__(
        self,
        backbone: str = _INCEPTION,
        weights: str = "none",
        reductions: Sequence[int] = (2, 4, 8, 16, 32),
        dilated: bool = False,
    ) -> None:
        super().__init__()
        self.reductions = tuple(reductions)
        self._inception = backbone.split(".")[0] == _INCEPTION
        if self._inception:
            self.net = padded_inception(weights, dilated, backbone)
            widths = _WIDTHS
            self._order: tuple[int, ...] = tuple(_WIDTHS)
        else:
            self.net = _features(backbone, weights, dilated)
            info: Any = self.net.feature_info
            self._order = (*info.reduction()[:-1], STRIDE if dilated else info.reduction()[-1])
            widths = dict(zip(self._order, info.channels(), strict=True))
        for reduction in self.reductions:
            if reduction not in widths:
                raise RetinalabError(
                    f"Backbone {backbone!r} has no features at 1/{reduction} of the side; it has "
                    f"{', '.join(f'1/{r}' for r in widths)}. Use one such as inception_v3 or resnet18, or a network "
                    "with a shorter expansive path."
                )
        self.channels = {reduction: widths[reduction] for reduction in self.reductions}

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Compute the maps that were asked for."""
        height, width = images.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise RetinalabError(
                f"Photographs of {height}x{width} pixels cannot be halved five times. Set data.size (or data.crop, "
                f"data.windows.size) to a multiple of {STRIDE}, such as {max(STRIDE, round(height / STRIDE) * STRIDE)}."
            )
        if not self._inception:
            net: Any = self.net
            given = dict(zip(self._order, net(images), strict=True))
            return {reduction: self._ordered(given[reduction], reduction) for reduction in self.reductions}
        maps: dict[int, Tensor] = {}
        ends = {LEVELS[reduction]: reduction for reduction in self.reductions}
        for name in LAYERS:
            images = self.net.get_submodule(name)(images)
            if name in ends:
                maps[ends[name]] = images
        return {reduction: maps[reduction] for reduction in self.reductions}

    def halves(self) -> tuple[nn.Sequential, nn.Sequential]:
        """The layers up to a sixteenth of the side, and those after.

        Raises:
            RetinalabError: a backbone whose layers do not stand in one row.
        """
        net: Any = self.net
        if self._inception:
            names, end = list(LAYERS), LEVELS[16]
        elif isinstance(net, nn.ModuleDict):
            kept: Any = net.return_layers
            names, end = list(net), list(kept)[self._order.index(16)]
        else:
            raise RetinalabError(
                f"Backbone {type(net).__name__} cannot be cut in two, since its layers do not stand in one row. Use "
                "one such as inception_v3 or resnet18."
            )
        cut = names.index(end) + 1
        first, last = ([net.get_submodule(name) for name in part] for part in (names[:cut], names[cut:]))
        return nn.Sequential(*first), nn.Sequential(*last)

    def _ordered(self, maps: Tensor, reduction: int) -> Tensor:
        return maps if maps.shape[1] == self.channels[reduction] else maps.permute(0, 3, 1, 2)


def _features(backbone: str, weights: str, dilated: bool) -> nn.Module:
    if not dilated:
        return timm_model(backbone, weights, features_only=True)
    try:
        return timm_model(backbone, weights, features_only=True, output_stride=16)
    except (TypeError, AssertionError) as error:  # timm's two ways to say that a network cannot be dilated
        raise RetinalabError(
            f"Backbone {backbone!r} gives no dilated feature maps ({type(error).__name__}). Use one such as "
            "inception_v3 or resnet18."
        ) from error
