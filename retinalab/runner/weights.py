"""Weights of an earlier stage as the beginning of a later one: which fit, by name and shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retinalab.config import StartFrom
from retinalab.errors import RetinalabError
from retinalab.tasks.base import Task

__all__ = ["fitting", "load_weights"]


def load_weights(task: Task, checkpoints: Path, start: StartFrom) -> None:
    """Begin with the weights of an earlier stage.

    Args:
        task: receives them.
        checkpoints: folder of the stages' checkpoints.
        start: which stage, which checkpoint, and how prefixes of names are mapped.

    Raises:
        RetinalabError: as :func:`fitting`.
    """
    path = checkpoints / start.stage / f"{start.which}.ckpt"
    stored: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    own = task.state_dict()
    task.load_state_dict({**own, **fitting(own, stored, start)})


def fitting(own: Mapping[str, Tensor], stored: Mapping[str, Tensor], start: StartFrom) -> dict[str, Tensor]:
    """The stored weights that have a place of their shape, under the names that they have there.

    Args:
        own: weights of the stage that begins; only their shapes count.
        stored: weights of the earlier stage.
        start: how prefixes of names are mapped, and whether every weight must find its place.

    Raises:
        RetinalabError: none fits, or, under ``strict``, weights without a place, of another shape or not given, with
            their names.
    """
    renamed = _renamed(stored, start.map)
    found = {key: value for key, value in renamed.items() if key in own and own[key].shape == value.shape}
    left = sorted(set(renamed) - set(found))
    missing = sorted(set(own) - set(found)) if not start.map else []
    if (start.strict and (left or missing)) or not found:
        wrong = ", ".join(_described(key, own, renamed) for key in dict.fromkeys([*left, *missing][:4]))
        raise RetinalabError(
            f"Weights of stage {start.stage!r} do not fit: {len(left)} find no place of their shape, {len(missing)} "
            f"are not given ({wrong or 'none has a prefix of start_from.map'}). Set the options of both stages alike, "
            "name the parts with start_from.map, or allow it with start_from.strict=false."
        )
    return found


def _described(key: str, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    if key in own and key in given:
        return f"{key} {_shape(given[key])}, here {_shape(own[key])}"
    return key


def _shape(weight: Tensor) -> str:
    return "x".join(map(str, weight.shape)) or "scalar"


def _renamed(stored: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> dict[str, Tensor]:
    if not prefixes:
        return dict(stored)
    return {
        here + key.removeprefix(there): value
        for there, here in prefixes.items()
        for key, value in stored.items()
        if key.startswith(there)
    }
