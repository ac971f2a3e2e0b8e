"""Work that several processes share: started as a stage's trainer section says, ended together where one fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as distributed
from lightning import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException

from retinalab.config import TrainerConfig
from retinalab.errors import RetinalabError
from retinalab.runner.trainer import quiet

__all__ = ["agreed", "check_devices", "gathered", "on_devices", "share"]

T = TypeVar("T")


def on_devices(config: TrainerConfig, stage: str, work: Callable[[torch.device], None]) -> None:
    """Call some work on every process that a stage's trainer section asks for, as a training would be started.

    Args:
        config: the trainer section; accelerator, devices, num_nodes and strategy count.
        stage: its name.
        work: what a process does on its device; it must be picklable where the strategy spawns processes.

    Raises:
        RetinalabError: Lightning does not know what the section says, the machine does not have it, or a process
            raised it from :func:`agreed`.
    """
    fabric = _fabric(config, stage)
    with quiet():
        refused: list[str] = fabric.launch(partial(_begin, work))
    if refused:
        raise RetinalabError(*refused)


def check_devices(config: TrainerConfig, stage: str) -> None:
    """Refuse at once what :func:`on_devices` would refuse, without starting a process.

    Raises:
        RetinalabError: Lightning does not know what the section says, or the machine does not have it.
    """
    with quiet():
        _fabric(config, stage)


def _fabric(config: TrainerConfig, stage: str) -> Fabric:
    try:
        return Fabric(
            accelerator=config.accelerator,
            devices=list(config.devices) if isinstance(config.devices, tuple) else config.devices,
            num_nodes=config.num_nodes,
            strategy=config.strategy,
            precision="32-true",
        )
    except (MisconfigurationException, ImportError, RuntimeError, TypeError, ValueError) as error:
        raise RetinalabError(
            f"Lightning refuses stages.{stage}.trainer: {error} Correct that section (accelerator, devices, strategy)."
        ) from error


def _begin(work: Callable[[torch.device], None], fabric: Fabric) -> list[str]:
    """The lines of a refusal: a process that Lightning forked or spawned cannot hand an exception back as it is."""
    try:
        work(fabric.device)
    except RetinalabError as error:
        return str(error).splitlines()
    return []


def share() -> tuple[int, int]:
    """Number of this process, and of how many."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def agreed(work: Callable[[], T]) -> list[T]:
    """Do this process' part of some work, and wait until every process has done its own.

    Returns:
        What the work gave, of each process.

    Raises:
        RetinalabError: a process raised it; all of them raise it then, instead of waiting for ever.
        RuntimeError: a process raised something else; it raises that, and the others say which did.
    """
    world = share()[1]
    if world == 1:
        return [work()]
    given, raised = None, None
    try:
        given = work()
    except Exception as error:  # noqa: BLE001  # raised below, once the others know
        raised = error
    everyone: list[Any] = [None] * world
    distributed.all_gather_object(everyone, (given, _told(raised)))
    if raised is not None:
        raise raised
    for number, (_, told) in enumerate(everyone):
        if told is not None:
            ours, lines = told
            raise RetinalabError(*lines) if ours else RuntimeError(f"Process {number} of {world}: {lines[0]}")
    return [one for one, _ in everyone]


def gathered(value: T) -> list[T]:
    """What every process gives, on the first one; nothing on the others."""
    rank, world = share()
    if world == 1:
        return [value]
    everyone: list[Any] = [None] * world
    distributed.gather_object(value, everyone if rank == 0 else None)
    return everyone if rank == 0 else []


def _told(error: Exception | None) -> tuple[bool, list[str]] | None:
    """What others are told of an error: whether it is a refusal, and its lines."""
    if error is None:
        return None
    if isinstance(error, RetinalabError):
        return True, str(error).splitlines()
    return False, [f"{type(error).__name__}: {error}"]
