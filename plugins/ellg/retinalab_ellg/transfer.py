"""What a stage at another side carries over, and what starts anew."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Transfer", "transfer"]


@dataclass(frozen=True)
class Transfer:
    """Names of weights, in the order of the network that begins.

    Attributes:
        carried: they take the earlier stage's values.
        resized: the earlier stage has them in another shape; they start anew.
        added: the earlier stage has them not; they start anew.
    """

    carried: tuple[str, ...]
    resized: tuple[str, ...]
    added: tuple[str, ...]

    def __str__(self) -> str:
        """One line."""
        return (
            f"{len(self.carried)} weights are carried over; {len(self.resized)} have another shape and "
            f"{len(self.added)} are added, which start anew"
        )


def transfer(
    there: Mapping[str, Tensor], here: Mapping[str, Tensor], prefixes: Collection[str] = ("network.blocks.",)
) -> Transfer:
    """Compare the weights of two stages by name and shape.

    Args:
        there: weights of the earlier stage, such as its ``state_dict``.
        here: weights of the stage that begins.
        prefixes: of the names that are carried over: the convolutions alone, as in the o_O solution. An empty prefix
            stands for every name.

    Example:
        >>> import torch
        >>> old = {"network.blocks.stage1.conv1.weight": torch.zeros(2)}
        >>> print(transfer(old, old | {"network.answers.dr.bias": torch.zeros(1)}))
        1 weights are carried over; 0 have another shape and 1 are added, which start anew
    """
    named = {name for name in there if any(name.startswith(prefix) for prefix in prefixes)}
    carried = tuple(name for name in here if name in named and there[name].shape == here[name].shape)
    resized = tuple(name for name in here if name in named and there[name].shape != here[name].shape)
    return Transfer(carried, resized, tuple(name for name in here if name not in named))
