"""Follow where the cells of every feature map lie while a network runs, whatever modules it is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from retinalab.explain.grid import Grid

__all__ = ["GridTracking"]

_aten = torch.ops.aten


class GridTracking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside this context every feature map is given its :class:`Grid` as it is computed.

    Followed are the operations themselves (convolutions, pooling, padding, resizing, crops), not modules, so that a
    network's own layers, functional calls, branches and gates need nothing special. What joins maps of one size (a
    residual sum, concatenated branches, an attention's weights) gives the mean of their centres, whatever weight
    training gave to each. A map that comes out of tokens or another order of axes lies where the last map of that size
    lay, and one of a size never seen before covers the input evenly. Values are computed as without the context.

    A flipped, rolled or freely warped map would be placed wrongly; networks that grade photographs have none.

    Args:
        images: what the network is given, whose pixels are cells of their own.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, 2), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2))
        >>> images = torch.zeros(1, 3, 64, 64)
        >>> with torch.no_grad(), GridTracking(images) as tracking:
        ...     answer = network(images)
        >>> tracking.grid(answer)
        Grid(first=(4.0, 4.0), step=(4.0, 4.0))
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size = (int(images.shape[-2]), int(images.shape[-1]))
        self._known = WeakTensorKeyDictionary()
        self._known[images] = Grid()
        self._last = {self.size: Grid()}

    def grid(self, features: Tensor) -> Grid:
        """Where the cells of a map ``(B, C, h, w)`` that was computed inside the context lie."""
        if features in self._known:
            known: Grid = self._known[features]
            return known
        cells = _cells(features)
        return self._last.get(cells) or Grid.even(self.size, cells)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute, and note where the result lies."""
        named = kwargs or {}
        result = func(*args, **named)
        made = [one for one in _tensors(result) if one.dim() == 4]
        if made:
            rule = _RULES.get(func.overloadpacket)
            values = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)} | named
            found = rule(self, values, made[0]) if rule else None
            for one in made:
                self._note(one, found or self._joined((*args, *named.values()), one))
        return result

    def _note(self, made: Tensor, grid: Grid | None) -> None:
        if grid is not None:
            self._known[made] = grid
            if _cells(made) != self.size:
                self._last[_cells(made)] = grid

    def _joined(self, given: Sequence[Any], made: Tensor) -> Grid | None:
        """The mean over the maps of the same size that went in."""
        beside = [one for one in _tensors(given) if one.dim() == 4 and _cells(one) == _cells(made)]
        grids = [self._known[one] for one in beside if one in self._known]
        return _mean(grids) if grids else None


def _cells(features: Tensor) -> tuple[int, int]:
    return int(features.shape[-2]), int(features.shape[-1])


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return [one for value in values for one in _tensors(value)] if isinstance(values, list | tuple) else []


def _mean(grids: Sequence[Grid]) -> Grid:
    first, step = (
        tuple(sum(getattr(one, name)[axis] for one in grids) / len(grids) for axis in (0, 1))
        for name in ("first", "step")
    )
    return Grid((first[0], first[1]), (step[0], step[1]))


Values = dict[str, Any]
Rule = Callable[[GridTracking, Values, Tensor], Grid | None]


def _two(value: Any, default: Sequence[int] = (1, 1)) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    given = tuple(value) if value else tuple(default)
    return (given[0], given[-1])


def _convolved(tracking: GridTracking, values: Values, made: Tensor) -> Grid | None:
    kernel = tuple(values["weight"].shape[-2:])
    stride, dilation = _two(values.get("stride")), _two(values.get("dilation"))
    padding = values.get("padding", 0)
    if padding == "same":  # the odd one of an even kernel's rows of padding lies below
        before = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    else:
        before = (0, 0) if padding == "valid" else _two(padding, (0, 0))
    grid = tracking.grid(values["input"])
    place = grid.transposed if values.get("transposed") else grid.windowed
    return place(kernel, stride, before, dilation)


def _pooled(tracking: GridTracking, values: Values, made: Tensor) -> Grid | None:
    kernel = _two(values["kernel_size"])
    stride, before = _two(values.get("stride"), kernel), _two(values.get("padding"), (0, 0))
    return tracking.grid(values["self"]).windowed(kernel, stride, before, _two(values.get("dilation")))


def _padded(tracking: GridTracking, values: Values, made: Tensor) -> Grid | None:
    pad = [*values["pad" if "pad" in values else "padding"], 0, 0, 0, 0]
    return tracking.grid(values["self"]).moved((-pad[2], -pad[0]))


def _resized(tracking: GridTracking, values: Values, made: Tensor) -> Grid | None:
    given: Tensor = values["input" if "input" in values else "self"]  # named so where a scale is given
    before, after, grid = _cells(given), _cells(made), tracking.grid(given)
    if values.get("align_corners"):
        return grid.stepped([(a - 1) / max(1, b - 1) for a, b in zip(before, after, strict=True)])
    return grid.reduced([a / b for a, b in zip(before, after, strict=True)])


def _sliced(tracking: GridTracking, values: Values, made: Tensor) -> Grid | None:
    given: Tensor = values["self"]
    axis = values.get("dim", 0) % given.dim() - 2
    if axis < 0 or given.dim() != 4:
        return None
    start = values.get("start") or 0
    moved, stepped = [0, 0], [1, 1]
    moved[axis] = min(max(start + given.shape[axis + 2] if start < 0 else start, 0), given.shape[axis + 2])
    stepped[axis] = values.get("step", 1)
    return tracking.grid(given).moved(moved).stepped(stepped)


_RULES: dict[Any, Rule] = (
    dict.fromkeys((_aten.convolution, _aten.conv2d), _convolved)
    | dict.fromkeys((_aten.max_pool2d, _aten.max_pool2d_with_indices, _aten.avg_pool2d), _pooled)
    | dict.fromkeys(
        (_aten.pad, _aten.constant_pad_nd, _aten.reflection_pad2d, _aten.replication_pad2d), _padded
    )
    | dict.fromkeys(
        (
            _aten._adaptive_avg_pool2d, _aten.adaptive_avg_pool2d, _aten.adaptive_max_pool2d, _aten.pixel_shuffle,
            _aten.pixel_unshuffle, _aten.upsample_nearest2d, _aten._upsample_nearest_exact2d,
            _aten.upsample_bilinear2d, _aten.upsample_bicubic2d, _aten._upsample_bilinear2d_aa,
            _aten._upsample_bicubic2d_aa,
        ),
        _resized,
    )
    | {_aten.slice: _sliced}
)  # fmt: skip
