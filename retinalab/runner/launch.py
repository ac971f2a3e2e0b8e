"""Processes that another program started, all with the same command: torchrun, or srun on a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from retinalab.config import TrainerConfig

__all__ = ["Launch", "launched", "placed"]


@dataclass(frozen=True)
class Launch:
    """What this process knows of the others before they have met.

    Attributes:
        program: that started them.
        rank: number of this process.
        world: how many there are.
        local: how many of them are on this machine.
    """

    program: str
    rank: int
    world: int
    local: int

    @property
    def machines(self) -> int:
        """On how many they are."""
        return max(1, self.world // self.local)


def launched() -> Launch | None:
    """How this process was started beside others, as Lightning sees it; None where it is the only one."""
    found = None
    if TorchElasticEnvironment.detect():
        found = Launch("torchrun", _number("RANK"), _number("WORLD_SIZE"), _number("LOCAL_WORLD_SIZE", 1))
    elif "SLURM_NTASKS" in os.environ and SLURMEnvironment.detect():
        world = _number("SLURM_NTASKS")
        found = Launch("srun", _number("SLURM_PROCID"), world, _number("SLURM_NTASKS_PER_NODE", world))
    return found if found is not None and found.world > 1 else None


def placed(config: TrainerConfig) -> dict[str, Any]:
    """How many processes on how many machines; those that were started where the section leaves it open."""
    devices = list(config.devices) if isinstance(config.devices, tuple) else config.devices
    found = launched()
    if found is not None and config.devices == "auto" and config.num_nodes == 1:
        return {"devices": found.local, "num_nodes": found.machines}
    return {"devices": devices, "num_nodes": config.num_nodes}


def _number(name: str, default: int = 0) -> int:
    return int(os.environ.get(name) or default)
