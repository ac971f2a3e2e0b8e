"""A trained task read back from the checkpoint that its run wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retinalab.config import TaskConfig
from retinalab.errors import RetinalabError
from retinalab.registry import task_class
from retinalab.runner.stamp import check_stamp
from retinalab.tasks.base import Task
from retinalab.tasks.stored import read_stored

__all__ = ["load_task"]

_BEGINNING: Mapping[str, Any] = {"weights": "none", "checkpoint": None}
"""Options of tasks that say where training began; the checkpoint of a finished run holds what it came to."""


def load_task(checkpoint: Path, name: str) -> Task:
    """A task with the weights and options of a checkpoint, ready to predict.

    Args:
        checkpoint: a run's; read as plain data, so that nothing in it is executed.
        name: of the task.

    Raises:
        RetinalabError: the file holds something else, a later retinalab wrote it, or the weights do not fit the task.
    """
    kind = task_class(name)
    stored = read_stored(checkpoint, "Use the checkpoint that the run wrote, or run the experiment again.")
    check_stamp(stored, checkpoint)
    try:
        options = dict(stored["hyper_parameters"])
        options["config"] = _trained(kind.config_class, options["config"])
        task: Task = kind(**options)
        task.load_state_dict(stored["state_dict"])
    except (OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RetinalabError(
            f"{checkpoint} cannot be used by task {name!r} ({reason}). Use the checkpoint that the run wrote, with the "
            "version of the plugin that wrote it, or run the experiment again."
        ) from error
    return task.eval().requires_grad_(False)


def _trained(kind: type[TaskConfig], options: Any) -> TaskConfig:
    """The task's options without the weights that training began with."""
    config = kind.model_validate(options)
    return config.model_copy(update={k: v for k, v in _BEGINNING.items() if k in type(config).model_fields})
