"""Checkpoints of the authors' public code: their parameter names to ours, and back."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from retinalab.errors import RetinalabError
from retinalab_canet.network import CANet

__all__ = ["authors_names", "from_authors", "load_authors_checkpoint", "to_authors"]


def authors_names(network: CANet) -> dict[str, str]:
    """Name of each parameter and buffer here -> its name in the authors' code.

    There the first disease (DR) has the number 1 and the second (DME) 2: ``branch_bam1`` and
    ``branch_bam2`` are the disease-specific attention, ``branch_bam3`` weighs DR's features for DME,
    ``branch_bam4`` DME's for DR.

    Raises:
        RetinalabError: the network grades another number of diseases than two, which has no counterpart
            there.
    """
    if len(network.grades) != 2:
        raise RetinalabError(
            f"The authors' network grades two diseases, this one {len(network.grades)}: "
            f"{', '.join(network.grades)}. "
            "Build a network of two to load their checkpoint."
        )
    number = {disease: place for place, disease in enumerate(network.grades, start=1)}
    prefixes = {"backbone.net.": ""}
    for disease, place in number.items():
        bam = f"branch_bam{place}."
        prefixes |= {
            f"specific.{disease}.channel.mlp.0.": f"{bam}ChannelGate.mlp.1.",
            f"specific.{disease}.channel.mlp.2.": f"{bam}ChannelGate.mlp.3.",
            f"specific.{disease}.spatial.conv.": f"{bam}SpatialGate.spatial.conv.",
            f"specific.{disease}.spatial.norm.": f"{bam}SpatialGate.spatial.bn.",
            f"projection.{disease}.": f"classifier_dep{place}.",
            f"head.{disease}.": f"classifier{place}.",
            f"specific_head.{disease}.": f"classifier_specific_{place}.",
        }
    for source, target in network.pairs:
        bam = f"branch_bam{2 + number[source]}."
        prefixes |= {
            f"dependent.{source}2{target}.mlp.0.": f"{bam}ChannelGate.mlp.1.",
            f"dependent.{source}2{target}.mlp.2.": f"{bam}ChannelGate.mlp.3.",
        }
    return {name: _renamed(name, prefixes) for name in network.state_dict()}


def to_authors(network: CANet) -> dict[str, Tensor]:
    """The network's state under the authors' names."""
    state = network.state_dict()
    return {theirs: state[ours] for ours, theirs in authors_names(network).items()}


def from_authors(network: CANet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state under the authors' names, as the network's ``load_state_dict`` takes it.

    The prefix ``module.`` of a parallel wrapper is dropped. Where the network leaves out a direction of
    dependence, its attention in the checkpoint is left out: the authors' code keeps it there unused.

    Raises:
        RetinalabError: a name that is missing, does not belong, or has another shape.
    """
    given = {name.removeprefix("module."): value for name, value in state.items()}
    names = authors_names(network)
    own = network.state_dict()
    missing = [theirs for theirs in names.values() if theirs not in given]
    foreign = sorted(set(given) - set(names.values()))
    foreign = [name for name in foreign if not name.startswith(("branch_bam3.", "branch_bam4."))]
    if missing or foreign:
        raise RetinalabError(
            f"The checkpoint does not fit: {len(missing)} names missing{_first(missing)}, "
            f"{len(foreign)} unknown{_first(foreign)}. It must be the authors' CANet on the same backbone "
            "with default attention."
        )
    for ours, theirs in names.items():
        if given[theirs].shape != own[ours].shape:
            raise RetinalabError(
                f"The checkpoint's {theirs} has shape {tuple(given[theirs].shape)}, the network's "
                f"{tuple(own[ours].shape)}. Grade and build as it was trained."
            )
    return {ours: given[theirs] for ours, theirs in names.items()}


def load_authors_checkpoint(network: CANet, path: Path) -> None:
    """Load a checkpoint file of the authors' code: a state, or a mapping that holds it under ``state_dict``.

    The authors' first published version applied ``classifier_dep1`` to both diseases; a checkpoint of that
    version computes the same here once its ``classifier_dep1`` is copied over its unused
    ``classifier_dep2``.

    Raises:
        RetinalabError: no such file, a file that holds more than tensors and plain values, or one that does
            not fit.
    """
    if not path.is_file():
        raise RetinalabError(f"Checkpoint {path} does not exist. Give the path of a .pth or .pth.tar file.")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RetinalabError(
            f"Checkpoint {path} cannot be read as tensors: {cause}. Save its state_dict alone."
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RetinalabError(
            f"Checkpoint {path} holds no state_dict of tensors. Save the network's state_dict."
        )
    network.load_state_dict(from_authors(network, state))


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    for ours, theirs in prefixes.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def _first(names: list[str]) -> str:
    return f" (first: {names[0]})" if names else ""
