"""What can grade photographs: a finished run, one of its checkpoints, or a file that was exported from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retinalab.errors import RetinalabError
from retinalab.predict.exported import EXPORTED_SUFFIXES, ExportedFile, read_exported
from retinalab.predict.finished import FinishedRun, Which, read_finished

__all__ = ["Opened", "open_all"]

Opened = FinishedRun | ExportedFile


def open_all(places: Sequence[Path], which: Which = "best") -> list[Opened]:
    """Open runs, checkpoints (``.ckpt``) and exported files (``.onnx``, ``.pt2``); no network is loaded of runs.

    Args:
        places: one or several, all of which are to grade the same.
        which: checkpoint of runs.

    Raises:
        RetinalabError: one that cannot be read, one that is named twice, or others' diseases or scales.
    """
    found = [
        read_exported(place)
        if place.is_file() and place.suffix in EXPORTED_SUFFIXES
        else read_finished(place, which)
        for place in places
    ]
    taken: dict[Path, Path] = {}
    for place, one in zip(places, found, strict=True):
        for file in one.files:
            if (other := taken.setdefault(file.resolve(), place)) is not place:
                raise RetinalabError(
                    f"{place} and {other} hold the same network {file}. Name each network once."
                )
    return found
