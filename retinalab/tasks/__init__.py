"""Tasks: LightningModules that join a network to data, loss, optimiser and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retinalab.tasks.base import Task
    from retinalab.tasks.cam import CamLayers
    from retinalab.tasks.outputs import Outputs

__all__ = ["CamLayers", "Outputs", "Task"]


def __getattr__(name: str) -> Any:
    """Import torch only when a task is asked for: entry points of light modules pass through this package."""
    if name in __all__:
        from retinalab.tasks import base, cam, outputs

        return getattr({"CamLayers": cam, "Outputs": outputs, "Task": base}[name], name)
    raise AttributeError(name)
