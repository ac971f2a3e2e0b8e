"""Batch normalisation folded into the convolutions before it, which gives the same answers with less to compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["fold_normalisation"]


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """How often each tensor is taken by an operator."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.taken: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self.taken[id(leaf)] = self.taken.get(id(leaf), 0) + 1
        return func(*args, **(kwargs or {}))


def fold_normalisation(network: nn.Module, run: Callable[[], object]) -> int:
    """Fold every batch normalisation that is all that a convolution's output goes to, in place.

    Which those are is seen while the network runs, so that any network will do. Modules keep their names and places:
    a normalisation that is folded passes on what it is given (or, where it holds its activation, activates it), so that
    hooks find what they found.

    Args:
        network: in evaluation mode; its weights are single precision and no longer trained.
        run: calls the network, in single precision, with gradients disabled.

    Returns:
        How many were folded.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()).eval()
        >>> fold_normalisation(network, lambda: network(torch.zeros(1, 3, 2, 2)))
        1
    """
    pairs = _pairs(network, run)
    for convolution, norm in pairs:
        _fold(convolution, norm)
    return len(pairs)


def _pairs(network: nn.Module, run: Callable[[], object]) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions that run once and whose output only a normalisation takes, with that."""
    watch = _Watch()
    held: list[Tensor] = []  # an id may not pass to another tensor
    outputs: dict[int, nn.Conv2d] = {}
    calls: dict[nn.Module, int] = {}
    taken_by: list[tuple[int, nn.BatchNorm2d]] = []

    def after_convolution(module: nn.Module, given: Sequence[Any], output: Tensor) -> None:
        held.append(output)
        calls[module] = calls.get(module, 0) + 1
        outputs[id(output)] = module  # type: ignore[assignment]
        watch.taken[id(output)] = 0

    def before_norm(module: nn.Module, given: Sequence[Any]) -> None:
        calls[module] = calls.get(module, 0) + 1
        if id(given[0]) in outputs:
            taken_by.append((id(given[0]), module))  # type: ignore[arg-type]

    hooks = []
    for module in network.modules():
        if type(module) is nn.Conv2d:
            hooks.append(module.register_forward_hook(after_convolution))
        elif _foldable(module):
            hooks.append(module.register_forward_pre_hook(before_norm))
    try:
        with watch, torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return [
        (outputs[key], norm)
        for key, norm in taken_by
        if watch.taken[key] == 1 and calls[norm] == calls[outputs[key]] == 1
    ]


def _foldable(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.BatchNorm2d)
        and not module.training
        and module.running_mean is not None
        and (type(module) is nn.BatchNorm2d or hasattr(module, "act"))  # timm's, which activates too
    )


@torch.no_grad()
def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    order = (
        torch.channels_last
        if convolution.weight.is_contiguous(memory_format=torch.channels_last)
        else torch.contiguous_format
    )
    weight, bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    convolution.weight = nn.Parameter(weight.contiguous(memory_format=order), requires_grad=False)
    convolution.bias = nn.Parameter(bias, requires_grad=False)
    norm.forward = _after(norm)  # type: ignore[assignment, method-assign]


def _after(norm: nn.BatchNorm2d) -> Callable[[Tensor], Tensor]:
    """What is left of a normalisation: timm's drops (nothing, in evaluation) and activates."""
    activation: nn.Module | None = getattr(norm, "act", None)

    def forward(maps: Tensor) -> Tensor:
        return maps if activation is None else activation(maps)

    return forward
