"""Model randomisation: whether a map changes when what the network has learned is destroyed.

Reference: J. Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 4.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch import nn

from retinalab.errors import RetinalabError
from retinalab.tasks.base import Task

__all__ = ["DEPTHS", "cascade", "rank_correlation", "weighted_modules"]

DEPTHS = (0.25, 0.5, 1.0)
"""Shares of the modules with weights that are randomised, from the head downwards; 1 is the whole network."""


def cascade(task: Task, depths: Sequence[float] = DEPTHS, seed: int = 0) -> Iterator[Task]:
    """A copy of the task, randomised from the head downwards step by step.

    The entries of each weight are put into random order: its distribution, and with it the scale of what the layer
    gives, stays; what was learned goes. A weight of one entry cannot change. Running statistics stay.

    Differs from the paper: it draws weights as at the start of training, which the modules of an arbitrary network do
    not tell. Modules are taken in the order in which the network registers them, the last first.

    Args:
        task: is left as it is.
        depths: ascending shares of the modules with weights.
        seed: of the permutations; a module's permutation does not depend on the depths.

    Yields:
        For each depth the same copy, randomised so far.

    Raises:
        RetinalabError: depths that do not ascend within 0 to 1.
    """
    if list(depths) != sorted(set(depths)) or not depths or not (depths[0] > 0 and depths[-1] <= 1):
        raise RetinalabError(
            f"Depths {', '.join(map(str, depths))} of a cascade. Give ascending shares above 0, up to 1."
        )
    changed = copy.deepcopy(task)
    modules = weighted_modules(changed.network)[::-1]
    done = 0
    for depth in depths:
        upto = max(1, int(np.ceil(depth * len(modules) - 1e-9)))
        for number in range(done, upto):
            _shuffle(modules[number], np.random.default_rng((seed, number)))
        done = max(done, upto)
        yield changed


def weighted_modules(network: nn.Module) -> list[nn.Module]:
    """The modules that hold parameters of their own, in the order in which the network registers them."""
    return [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]


def rank_correlation(
    first: npt.NDArray[np.floating], second: npt.NDArray[np.floating], fields: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Spearman's rank correlation of two maps of each photograph, over the field of view.

    Ranks of equal values are averaged. Where one of the maps has one value throughout the field, or is not finite
    there, no correlation exists.

    Shape:
        - ``first``, ``second``: ``(B, h, w)``. ``fields``: ``(B, h, w)`` bool.
        - Returns: ``(B,)`` float64, 0 where none exists; ``(B,)`` bool, whether it exists.
    """
    values, known = np.zeros(len(first)), np.zeros(len(first), bool)
    for row, (a, b, field) in enumerate(zip(first, second, fields, strict=True)):
        inside = np.stack([a[field], b[field]]).astype(np.float64)
        if not inside.size or not np.isfinite(inside).all() or (np.ptp(inside, axis=1) == 0).any():
            continue
        ranks = rankdata(inside, axis=1)
        ranks -= ranks.mean(axis=1, keepdims=True)
        one, two = ranks
        values[row] = one @ two / np.sqrt((one @ one) * (two @ two))
        known[row] = True
    return values, known


def _shuffle(module: nn.Module, rng: np.random.Generator) -> None:
    with torch.no_grad():
        for parameter in module.parameters(recurse=False):
            order = torch.from_numpy(rng.permutation(parameter.numel())).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view(parameter.shape))
