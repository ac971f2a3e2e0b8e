"""Weights of an earlier stage as the beginning of a later one: which fit, by name and shape."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from retinalab.config import StartFrom
from retinalab.errors import RetinalabError
from retinalab.protocol import SCALES
from retinalab.runner.origin import read_origin
from retinalab.runner.stamp import check_stamp
from retinalab.tasks.base import Task
from retinalab.tasks.stored import read_stored

__all__ = ["Compared", "Transfer", "compared", "fitting", "load_weights", "transfer"]


_BACKBONE = ("backbone", "encoder")


@dataclass(frozen=True)
class Transfer:
    """What a stage carries over from an earlier one, by the names of weights in the network that begins.

    Attributes:
        carried: they take the earlier stage's values.
        resized: the earlier stage has them in another shape; they start anew.
        added: the earlier stage has them not, or its prefix is not mapped; they start anew.
        heads: what is graded otherwise than there, in words.
    """

    carried: tuple[str, ...]
    resized: tuple[str, ...]
    added: tuple[str, ...]
    heads: tuple[str, ...] = ()

    def __str__(self) -> str:
        anew = f"{len(self.resized)} of another shape and {len(self.added)} further ones start anew"
        heads = f"; heads made afresh: {', '.join(self.heads)}" if self.heads else ""
        return f"{len(self.carried)} weights are carried over, {anew}{heads}"


def load_weights(task: Task, checkpoints: Path, start: StartFrom) -> Transfer:
    """Begin with the weights of an earlier stage, or of another run.

    Args:
        task: receives them.
        checkpoints: folder of the stages' checkpoints.
        start: which stage, which checkpoint, and how prefixes of names are mapped.

    Raises:
        RetinalabError: the checkpoint holds more than plain data or no weights; or as :func:`fitting`.
    """
    own = task.state_dict()
    if start.run is not None:
        stored, start, anew, heads = compared(task, start)
        told = replace(transfer(own, stored, start), heads=heads)
        task.load_state_dict({**own, **fitting(own, stored, start, anew)})
        return told
    path = checkpoints / start.stage / f"{start.which}.ckpt"
    remedy = f"Run stage {start.stage!r} again."
    kept = read_stored(path, remedy)
    check_stamp(kept, path)
    stored = _weights(kept, path, remedy)
    told = transfer(own, stored, start)
    task.load_state_dict({**own, **fitting(own, stored, start)})
    return told


class Compared(NamedTuple):
    """Weights of another run beside a task.

    Attributes:
        stored: the weights there.
        start: as the experiment says it.
        anew: names of weights, here or there, that belong to what is graded otherwise than there.
        heads: the same in words.
    """

    stored: Mapping[str, Tensor]
    start: StartFrom
    anew: frozenset[str]
    heads: tuple[str, ...]


def compared(task: Task, start: StartFrom) -> Compared:
    """Read the weights of another run, and tell which may differ since other diseases or grades are learned.

    Args:
        task: that will begin with them.
        start: with ``run``.

    Raises:
        RetinalabError: the run or its checkpoint cannot be read, or it is of another task or backbone, unless
            prefixes are mapped or ``strict`` is off.
    """
    path, kept = read_origin(start)
    remedy = "Name a checkpoint that a run wrote."
    check_stamp(kept, path)
    stored = _weights(kept, path, remedy)
    options = kept.get("hyper_parameters")
    if not isinstance(options, Mapping) or not isinstance(options.get("config"), Mapping):
        raise RetinalabError(f"{path} does not say of which task it is. {remedy}")
    theirs = options["config"]
    mine = task.config.model_dump(mode="json")
    if start.strict and not start.map and _network(mine) != _network(theirs):
        raise RetinalabError(
            f"start_from: {start.run} holds {_described_network(theirs)}, and this stage trains "
            f"{_described_network(mine)}. Start from a run of the same task and backbone, set the task's options as "
            "there, or name the parts that fit with start_from.map."
        )
    scales: Mapping[str, str] = options.get("scales") or {}
    here = {disease: scale.name for disease, scale in task.scales.items()}
    own = task.state_dict()
    renamed = _renamed(stored, start.map)
    anew = {
        name for name in {*own, *renamed} if _of_others(name, own.get(name), renamed.get(name), here, scales)
    }
    return Compared(stored, start, frozenset(anew), _heads(here, scales))


def _weights(kept: Any, path: Path, remedy: str) -> Mapping[str, Tensor]:
    stored: Mapping[str, Any] | None = kept.get("state_dict") if isinstance(kept, Mapping) else None
    if not isinstance(stored, Mapping) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise RetinalabError(f"{path} holds no weights. {remedy}")
    return stored


def _network(config: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(config.get(key) for key in ("name", *_BACKBONE))


def _described_network(config: Mapping[str, Any]) -> str:
    backbone = next((config[key] for key in _BACKBONE if config.get(key)), None)
    return f"task {config.get('name')!r}" + (f" on {backbone}" if backbone else "")


def _of_others(
    name: str, mine: Tensor | None, theirs: Tensor | None, here: Mapping[str, str], there: Mapping[str, str]
) -> bool:
    """Whether a weight belongs to a disease that only one side grades, or to a head with another number of grades."""
    words = set(re.findall("[a-z]+", name.lower()))
    diseases = {one for one in (*here, *there) if one.lower() in words}
    if mine is None or theirs is None:
        return any((one in here) != (one in there) for one in diseases)
    longer = mine.shape[1:] == theirs.shape[1:] and mine.shape[:1] != theirs.shape[:1]
    return longer and any(here.get(one) != there.get(one) for one in diseases)


def _heads(here: Mapping[str, str], there: Mapping[str, str]) -> tuple[str, ...]:
    told = []
    for disease, name in here.items():
        if disease not in there:
            told.append(f"{disease} (not graded there)")
        elif SCALES[name].size != SCALES[there[disease]].size:
            sizes = f"{SCALES[there[disease]].size} grades there, {SCALES[name].size} here"
            told.append(f"{disease} ({sizes})")
    return tuple(told)


def transfer(own: Mapping[str, Tensor], stored: Mapping[str, Tensor], start: StartFrom) -> Transfer:
    """Which weights :func:`fitting` gives, and why the others start anew.

    Args:
        own, stored, start: as :func:`fitting` takes them.
    """
    renamed = _renamed(stored, start.map)
    carried = tuple(name for name in own if name in renamed and renamed[name].shape == own[name].shape)
    resized = tuple(name for name in own if name in renamed and renamed[name].shape != own[name].shape)
    return Transfer(carried, resized, tuple(name for name in own if name not in renamed))


def fitting(
    own: Mapping[str, Tensor], stored: Mapping[str, Tensor], start: StartFrom, anew: Collection[str] = ()
) -> dict[str, Tensor]:
    """The stored weights that have a place of their shape, under the names that they have there.

    Args:
        own: weights of the stage that begins; only their shapes count.
        stored: weights of the earlier stage.
        start: how prefixes of names are mapped, and whether every weight must find its place.
        anew: names of weights that need not fit.

    Raises:
        RetinalabError: none fits, or, under ``strict``, weights without a place, of another shape or not given, with
            their names.
    """
    renamed = _renamed(stored, start.map)
    found = {key: value for key, value in renamed.items() if key in own and own[key].shape == value.shape}
    left = sorted(set(renamed) - set(found) - set(anew))
    missing = sorted(set(own) - set(found) - set(anew)) if not start.map else []
    if (start.strict and (left or missing)) or not found:
        wrong = ", ".join(_described(key, own, renamed) for key in dict.fromkeys([*left, *missing][:4]))
        of = f" of {start.run}" if start.run is not None else ""
        raise RetinalabError(
            f"Weights of stage {start.stage!r}{of} do not fit: {len(left)} find no place of their shape, "
            f"{len(missing)} are not given ({wrong or 'none has a prefix of start_from.map'}). Set the options of both "
            "stages alike, name the parts with start_from.map, or allow it with start_from.strict=false."
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
