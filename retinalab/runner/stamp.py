"""Retinalab's own part of a checkpoint: of which version, paper, stage and task it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

import retinalab
from retinalab.config import Experiment
from retinalab.schema import SCHEMAS, check_schema

__all__ = ["Stamp", "check_stamp"]

_KEY = "retinalab"


class Stamp(Callback):
    """Writes into every checkpoint, as plain data, what it needs to be known by without the run's folder.

    Args:
        experiment: the whole experiment.
        stage: name of the stage.
        folder: of the stage's checkpoints, for the message where one is refused.
    """

    def __init__(self, experiment: Experiment, stage: str, folder: Path) -> None:
        task = experiment.stages[stage].task
        self.folder = folder
        self.content: dict[str, Any] = {
            "schema": SCHEMAS["checkpoint"],
            "version": retinalab.__version__,
            "paper": experiment.paper,
            "experiment": experiment.name,
            "stage": stage,
            "task": task.model_dump(mode="json"),
            "protocol": experiment.protocol.model_dump(mode="json"),
        }

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the stamp."""
        checkpoint[_KEY] = self.content

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on from no checkpoint of a later version."""
        check_stamp(checkpoint, self.folder)


def check_stamp(stored: object, path: Path) -> None:
    """Refuse a checkpoint that a later retinalab wrote; one without a stamp is an early one, and is read.

    Args:
        stored: its content.
        path: of the file.

    Raises:
        RetinalabError: with both versions and the remedy.
    """
    stamp = stored.get(_KEY) if isinstance(stored, Mapping) else None
    if isinstance(stamp, Mapping):
        check_schema("checkpoint", stamp.get("schema"), path, stamp.get("version"), retinalab.__version__)
