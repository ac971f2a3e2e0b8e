"""What tests of the core and of plugins share: drawn copies of data sets in their official layouts."""

from __future__ import annotations

import zlib
from pathlib import Path

from retinalab.data.sets import set_class

__all__ = ["write_fake_set"]


def write_fake_set(name: str, folder: Path, photographs: int | None = None, seed: int = 0) -> Path:
    """Write a small copy of a data set's official layout with drawn pictures.

    Args:
        name: as :func:`retinalab.data.sets.open_set` takes it.
        folder: an empty folder.
        photographs: how many, about; the adapter's own number where None.
        seed: of the drawing; under one seed, two sets still show different pictures.

    Returns:
        The root to open the set at.
    """
    adapter = set_class(name)
    seed += 10_000 * (zlib.crc32(adapter.info.name.encode()) % 10_000)
    if photographs is None:
        return adapter.write_fake(folder, seed=seed)
    return adapter.write_fake(folder, photographs, seed)
