"""Weights of an earlier stage as the beginning of a later one: which fit, by name and shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from retinalab.config import StartFrom
from retinalab.errors import RetinalabError
from retinalab.tasks.base import Task
from retinalab.tasks.stored import read_stored

__all__ = ["Transfer", "fitting", "load_weights", "transfer"]


@dataclass(frozen=True)
class Transfer:
    """What a stage carries over from an earlier one, by the names of weights in the network that begins.

    Attributes:
        carried: they take the earlier stage's values.
        resized: the earlier stage has them in another shape; they start anew.
        added: the earlier stage has them not, or its prefix is not mapped; they start anew.
    """

    carried: tuple[str, ...]
    resized: tuple[str, ...]
    added: tuple[str, ...]

    def __str__(self) -> str:
        anew = f"{len(self.resized)} of another shape and {len(self.added)} further ones start anew"
        return f"{len(self.carried)} weights are carried over, {anew}"


def load_weights(task: Task, checkpoints: Path, start: StartFrom) -> Transfer:
    """Begin with the weights of an earlier stage.

    Args:
        task: receives them.
        checkpoints: folder of the stages' checkpoints.
        start: which stage, which checkpoint, and how prefixes of names are mapped.

    Raises:
        RetinalabError: the checkpoint holds more than plain data or no weights; or as :func:`fitting`.
    """
    path = checkpoints / start.stage / f"{start.which}.ckpt"
    remedy = f"Run stage {start.stage!r} again."
    kept = read_stored(path, remedy)
    stored: Mapping[str, Any] | None = kept.get("state_dict") if isinstance(kept, Mapping) else None
    if not isinstance(stored, Mapping) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise RetinalabError(f"{path} holds no weights. {remedy}")
    own = task.state_dict()
    told = transfer(own, stored, start)
    task.load_state_dict({**own, **fitting(own, stored, start)})
    return told


def transfer(own: Mapping[str, Tensor], stored: Mapping[str, Tensor], start: StartFrom) -> Transfer:
    """Which weights :func:`fitting` gives, and why the others start anew.

    Args:
        own, stored, start: as :func:`fitting` takes them.
    """
    renamed = _renamed(stored, start.map)
    carried = tuple(name for name in own if name in renamed and renamed[name].shape == own[name].shape)
    resized = tuple(name for name in own if name in renamed and renamed[name].shape != own[name].shape)
    return Transfer(carried, resized, tuple(name for name in own if name not in renamed))


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
