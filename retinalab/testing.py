"""What tests of the core and of plugins share: drawn copies of data sets in their official layouts."""

from __future__ import annotations

from pathlib import Path

from retinalab.data.sets import set_class

__all__ = ["write_fake_set"]


def write_fake_set(name: str, folder: Path, photographs: int | None = None, seed: int = 0) -> Path:
    """Write a small copy of a data set's official layout with drawn pictures.

    Args:
        name: as :func:`retinalab.data.sets.open_set` takes it.
        folder: an empty folder.
        photographs: how many, about; the adapter's own number where None.
        seed: of the drawing.

    Returns:
        The root to open the set at.
    """
    adapter = set_class(name)
    if photographs is None:
        return adapter.write_fake(folder, seed=seed)
    return adapter.write_fake(folder, photographs, seed)
