"""A network translated by torch's compiler, under the names that its weights have without it."""

from __future__ import annotations

from torch import nn

from retinalab.config import TrainerConfig
from retinalab.tasks.base import Task

__all__ = ["compile_network"]


def compile_network(task: Task, config: TrainerConfig, backend: str = "inductor") -> bool:
    """Compile a task's network in place where its trainer section asks for it.

    Weights keep their names, so that checkpoints load with or without a compiler. ``auto`` compiles nothing: on a
    processor it does not pay, and on a GPU the minutes of translation pay in long trainings only, which the one who
    plans them knows.

    Args:
        task: of which each part that is called by itself is compiled.
        config: the trainer section.
        backend: torch's name of the compiler.

    Returns:
        Whether anything was compiled.
    """
    if config.compile is not True:
        return False
    network = task.network
    for part in network.values() if isinstance(network, nn.ModuleDict) else (network,):
        part.compile(backend=backend)
    return True
