"""Work that several processes share: started as a stage's trainer section says, ended together where one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as distributed
from lightning import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from retinalab.config import TrainerConfig
from retinalab.errors import RetinalabError
from retinalab.runner.launch import launched, placed
from retinalab.runner.trainer import check_trainer, quiet

__all__ = ["agreed", "check_devices", "everywhere", "gathered", "on_devices", "share", "together"]

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


def check_devices(stages: Mapping[str, TrainerConfig]) -> None:
    """Refuse at once what would be refused when a stage begins, without starting a process.

    Args:
        stages: name -> trainer section.

    Raises:
        RetinalabError: Lightning does not know what a section says, or the machine does not have it; or stages ask for
            other numbers of processes than work on them.
    """
    together, counts = launched(), {}
    for name, config in stages.items():
        trainer = check_trainer(config, name)
        count = trainer.num_devices * trainer.num_nodes
        if together is not None and count != together.world:
            raise RetinalabError(
                f"{together.program} started {together.world} processes, and stages.{name}.trainer asks for {count}. "
                f"Leave out devices and num_nodes there, or set devices={together.local} "
                f"num_nodes={together.machines}."
            )
        if together is None and trainer.num_nodes > 1:
            raise RetinalabError(
                f"stages.{name}.trainer.num_nodes={trainer.num_nodes}: one command cannot start processes on other "
                "machines. Start it on each with torchrun, or with srun on a cluster."
            )
        launcher = getattr(trainer.strategy, "launcher", None)
        if launcher is None or isinstance(launcher, _SubprocessScriptLauncher):
            counts[name] = count  # others end their processes with the stage
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise RetinalabError(
            f"Stages ask for different numbers of processes ({each}), and a process stays for all of them. Set the "
            "same accelerator, devices and strategy in the trainer section of every stage."
        )


@contextmanager
def together(config: TrainerConfig, stage: str) -> Iterator[None]:
    """Let processes that another program started meet before they read anything; they part at the end.

    Args:
        config: the trainer section of the stage that comes first.
        stage: its name.

    Raises:
        RetinalabError: Lightning refuses the section; a process that fails ends the others.
    """
    if launched() is None or distributed.is_initialized():
        yield
        return
    with quiet():
        _fabric(config, stage).launch()
    rank, world = share()
    try:
        yield
    except RuntimeError as error:
        if not _lost(error):
            raise
        raise RetinalabError(
            f"Process {rank} of {world} ends since another has failed, whose own message says why. The same command "
            "goes on where it stopped."
        ) from error
    distributed.destroy_process_group()


def _lost(error: RuntimeError) -> bool:
    """Whether the fault is that another process no longer answers."""
    if isinstance(error, distributed.DistError):
        return True
    return "gloo" in str(error) or "Connection closed by peer" in str(error)


def everywhere(work: Callable[[], T]) -> T:
    """Do the same on every process, and go on when all have done it.

    Raises:
        RetinalabError, RuntimeError: as :func:`agreed`.
    """
    done: list[T] = []
    agreed(lambda: done.append(work()))
    return done[0]


def _fabric(config: TrainerConfig, stage: str) -> Fabric:
    try:
        return Fabric(
            accelerator=config.accelerator,
            **placed(config),
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
        Exception: a process raised something else; it raises that, and the others a RetinalabError that says which.
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
    number = next((number for number, (_, told) in enumerate(everyone) if told is not None), None)
    if number is None:
        return [one for one, _ in everyone]
    ours, lines = everyone[number][1]
    if raised is not None and not ours:
        raise raised
    fault = RetinalabError(*lines) if ours else _elsewhere(number, world, lines[0])
    fault.told = number != share()[0]
    raise fault from raised


def _elsewhere(number: int, world: int, line: str) -> RetinalabError:
    return RetinalabError(f"Process {number} of {world} has failed: {line}")


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
