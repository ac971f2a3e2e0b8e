"""The world as files: photographs, masks and a record table, for use elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from retinalab.errors import RetinalabError
from retinalab.records import LESIONS, Records
from retinalab.synthetic.render import Photograph
from retinalab.synthetic.world import World

__all__ = ["write_photograph", "write_world"]


def write_world(
    world: World, out: Path, size: int = 512, progress: Callable[[int, int], None] | None = None
) -> Records:
    """Write every photograph of a world, its masks and ``records.csv`` into a folder.

    Layout: ``000000.png`` ..., ``masks/<lesion>/000000.png`` where the lesion is present (255 inside),
    ``masks/disc`` and ``masks/vessels`` for every photograph, ``records.csv`` with the columns of the record
    table. The table is written last and at once, so a folder that has it is whole.

    Args:
        world: what is written.
        out: the folder, made if absent.
        size: pixels across the field of view.
        progress: called with (done, all) after each photograph.

    Raises:
        RetinalabError: the folder already holds a ``records.csv``, or a file cannot be written.
    """
    out = Path(out)
    table_path = out / "records.csv"
    if table_path.exists():
        raise RetinalabError(
            f"{table_path} exists already. Give an empty folder, or remove the old world first."
        )
    records = world.records(out, size)
    table = records.table.copy()
    for index in range(len(world)):
        for name, path in write_photograph(world.render(index, size), out, index).items():
            table.at[index, f"mask_{name}"] = path
            table.at[index, f"present_{name}"] = np.int8(1)
        if progress is not None:
            progress(index + 1, len(world))
    part = table_path.with_suffix(".part")
    table.to_csv(part, index=False)
    os.replace(part, table_path)
    return replace(records, table=table)


def write_photograph(photograph: Photograph, out: Path, index: int) -> dict[str, str]:
    """Write one photograph and its masks; returns lesion -> path of its mask relative to the folder."""
    name = f"{index:06d}.png"
    _write(out / name, photograph.image[..., ::-1])
    _write(out / "masks" / "disc" / name, photograph.disc.astype(np.uint8) * 255)
    _write(out / "masks" / "vessels" / name, photograph.vessels.astype(np.uint8) * 255)
    paths = {}
    for lesion, mask in zip(LESIONS, photograph.masks, strict=True):
        if mask.any():
            paths[lesion] = f"masks/{lesion}/{name}"
            _write(out / paths[lesion], mask.astype(np.uint8) * 255)
    return paths


def _write(path: Path, pixels: np.ndarray) -> None:
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    if not done:
        raise RetinalabError(f"Cannot encode {path} ({pixels.shape}, {pixels.dtype}).")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise RetinalabError(f"Cannot write {path}: {error}. Free space or choose another folder.") from error
