"""Tasks: LightningModules that join a network to data, loss, optimiser and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retinalab.tasks.base import Outputs, Task

__all__ = ["Outputs", "Task"]


def __getattr__(name: str) -> Any:
    """Import torch only when a task is asked for: entry points of light modules pass through this package."""
    if name in __all__:
        from retinalab.tasks import base

        return getattr(base, name)
    raise AttributeError(name)
