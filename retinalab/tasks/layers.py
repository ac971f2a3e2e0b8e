"""Parts of a network that stay as they are or learn slower than the rest. No Lightning here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from timm.models import group_parameters
from torch import nn

from retinalab.errors import RetinalabError, unknown

__all__ = ["BACKBONE", "backbones_of", "blocks_of", "layer_rates", "named_modules", "with_rates"]

BACKBONE = "backbone"
"""What ``freeze`` calls the whole of a task's backbone, or of its backbones."""


def backbones_of(network: nn.Module) -> tuple[str, ...]:
    """Names of the outermost timm networks in a network; timm's name their features.

    Example:
        >>> import timm
        >>> backbones_of(nn.ModuleDict({"trunk": timm.create_model("resnet18"), "head": nn.Linear(1, 1)}))
        ('trunk',)
    """
    found: list[str] = []
    for name, module in network.named_modules():
        inside = any(name.startswith(f"{one}.") or not one for one in found)
        if not inside and (hasattr(module, "group_matcher") or hasattr(module, "feature_info")):
            found.append(name)
    return tuple(found)


def named_modules(
    network: nn.Module, words: Sequence[str], backbones: Sequence[str], task: str
) -> tuple[str, ...]:
    """The modules that ``freeze`` names.

    Args:
        network: in which they are.
        words: ``backbone``, or names of modules.
        backbones: names of the modules that are the backbone.
        task: its name, for errors.

    Raises:
        RetinalabError: the network has no such module, or they hold all of its parameters.
    """
    modules = dict(network.named_modules())
    found: list[str] = []
    for word in words:
        name = word.removeprefix("network.")
        if word == BACKBONE and word not in modules:
            if not backbones:
                raise unknown(
                    "module", word, _choices(network), f"Task {task!r} has no backbone; freeze names modules."
                )
            found.extend(backbones)
        elif name in modules and name:
            found.append(name)
        else:
            raise unknown(
                "module", word, [BACKBONE, *_choices(network, name)], f"task.freeze names parts of {task!r}."
            )
    if all(_within(name, found) for name, _ in network.named_parameters()):
        raise RetinalabError(
            f"task.freeze={[*words]} freezes all of task {task!r}: nothing is left to learn. Name fewer parts, such as "
            "backbone."
        )
    return tuple(dict.fromkeys(found))


def blocks_of(module: nn.Module) -> list[list[str]]:
    """Names of a backbone's parameters, block by block from the input on.

    A timm network's blocks are those that it names itself: the stem, the stages of a convolutional network or the
    blocks of a transformer, and a last normalisation where it has one. Of another, its children in order, where those
    that hold no others belong together.

    Example:
        >>> import timm
        >>> [len(block) for block in blocks_of(timm.create_model("resnet18", num_classes=0))]
        [3, 12, 15, 15, 15]
    """
    matcher: Any = getattr(module, "group_matcher", None)
    if matcher is not None:
        depth = group_parameters(module, matcher(coarse=True), reverse=True)
        order = sorted(set(depth.values()))
        return [[name for name, one in depth.items() if one == rank] for rank in order]
    children = [
        (name, child) for name, child in module.named_children() if any(True for _ in child.parameters())
    ]
    if len(children) == 1:
        name, child = children[0]
        return [[f"{name}.{one}" for one in block] for block in blocks_of(child)]
    blocks: list[list[str]] = []
    joins = False
    for name, child in children:
        single = not any(True for _ in child.children())
        named = [f"{name}.{one}" for one, _ in child.named_parameters()]
        if single and joins:
            blocks[-1] += named
        else:
            blocks.append(named)
        joins = single
    return blocks


def layer_rates(network: nn.Module, backbones: Iterable[str], decay: float) -> dict[str, float]:
    """Parameter -> factor of its learning rate, where that is not 1: decay^(n - i) in block i = 0 ... n-1 of n.

    Args:
        network: whose parameters are named.
        backbones: names of the modules that are the backbone.
        decay: of one block against the next.

    Example:
        >>> import timm
        >>> network = nn.ModuleDict({"trunk": timm.create_model("resnet18", num_classes=0)})
        >>> rates = layer_rates(network, ["trunk"], 0.5)
        >>> rates["trunk.conv1.weight"], rates["trunk.layer4.0.conv1.weight"]
        (0.03125, 0.5)
    """
    found: dict[str, float] = {}
    for place in backbones:
        blocks = blocks_of(network.get_submodule(place))
        for rank, block in enumerate(blocks):
            for name in block:
                found[f"{place}.{name}" if place else name] = decay ** (len(blocks) - rank)
    return found


def with_rates(
    groups: Sequence[Mapping[str, Any]], rate: float, factors: Mapping[int, float]
) -> list[dict[str, Any]]:
    """An optimiser's groups, each parted by the factors of its parameters' rates; the order within a group stays.

    Args:
        groups: with ``params`` and whatever else; ``lr`` where it is not the common one.
        rate: the common one.
        factors: ``id`` of a parameter -> factor; 1 where it has none.
    """
    parted: list[dict[str, Any]] = []
    for group in groups:
        by_factor: dict[float, list[nn.Parameter]] = {}
        for one in group["params"]:
            by_factor.setdefault(factors.get(id(one), 1.0), []).append(one)
        for factor, parameters in sorted(by_factor.items()):
            parted.append({**group, "params": parameters, "lr": group.get("lr", rate) * factor})
    return parted


def _within(name: str, modules: Sequence[str]) -> bool:
    return any(name.startswith(f"{one}.") for one in modules)


def _choices(network: nn.Module, near: str = "") -> list[str]:
    """Modules at the highest level, or those beside the one that was meant."""
    above = near.rpartition(".")[0]
    modules = dict(network.named_modules())
    while above and above not in modules:
        above = above.rpartition(".")[0]
    parent = modules[above]
    return [f"{above}.{name}" if above else name for name, _ in parent.named_children()]
