"""Checkpoints that are there whole or not at all, whatever interrupts their writing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from retinalab.data.files import write_file
from retinalab.errors import RetinalabError

__all__ = ["WholeCheckpoints"]


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    Lightning's own writes into the system's folder for temporary files and moves it from there, which copies it where
    that lies on another file system: a kill within the copy leaves half a checkpoint in the place of a whole one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write one, in place of what stood there.

        Raises:
            RetinalabError: it cannot be written; what stood there stays.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        place = Path(path)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_file(place, content.getbuffer())
        except OSError as error:
            raise RetinalabError(
                f"Cannot write {place}: {error.strerror or error}. What was written before stays. Free space or mend "
                "the folder, then the same command goes on."
            ) from error
