"""Local average colours of prepared photographs, kept beside them.

A window is evened out by the average of the photograph that it is cut from, which reaches beyond the window. It is
computed once for each photograph, at the reduced size that the transform works at.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from retinalab.config import BackgroundConfig
from retinalab.data.files import leftovers, remove_leftovers, write_file
from retinalab.data.shard_reader import read_whole, read_windows
from retinalab.data.shards import Index, Layout
from retinalab.errors import RetinalabError
from retinalab.transforms import background as transform
from retinalab.transforms.background import average_side, local_average

__all__ = ["average_pixels", "prepare_averages", "read_averages"]

_TYPES: dict[str, type[np.unsignedinteger]] = {"gaussian": np.uint16, "median": np.uint8}
"""Medians are whole levels of 255; a Gaussian lies between them and is multiplied by the gain."""
_BATCH = 4


def average_pixels(images: np.ndarray, background: BackgroundConfig) -> np.ndarray:
    """Reduced averages.

    Shape:
        - ``images``: ``(B, S, S, 3)`` uint8 RGB. Returns: ``(B, s, s, 3)`` float32 in [0, 1].
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return local_average(pixels, background).permute(0, 2, 3, 1).numpy()


def prepare_averages(
    folder: Path,
    images: Layout,
    rows: np.ndarray,
    background: BackgroundConfig,
    index: Index | None = None,
) -> None:
    """Compute what is missing of the averages of the files that the given photographs lie in.

    Args:
        folder: of the prepared photographs.
        images: layout of the photographs.
        rows: photographs whose averages will be read.
        background: which average.
        index: of the photographs, where they have one.

    Raises:
        RetinalabError: no space, or a folder that cannot be written.
    """
    layout = _layout(images, background)
    for shard in np.unique(rows // images.photographs).tolist():
        path = folder / f"{shard:05d}.{layout.suffix}"
        if path.is_file():
            continue
        try:
            with FileLock(f"{path}.lock"):
                if not path.is_file():
                    remove_leftovers(folder, leftovers(os.listdir(folder), path.name))
                    own = shard * images.photographs + np.arange(_count(folder, images, shard, index))
                    write_file(path, _computed(folder, images, layout, own, background, index))
        except OSError as error:
            raise RetinalabError(
                f"Cannot write local averages to {folder}: {error.strerror or error}. Free space, or name another "
                "folder with data.cache=PATH."
            ) from error


def read_averages(
    folder: Path,
    images: Layout,
    rows: np.ndarray,
    corners: np.ndarray,
    side: int,
    background: BackgroundConfig,
) -> np.ndarray:
    """Pieces of prepared averages.

    Shape:
        - ``rows``: ``(B,)`` int. ``corners``: ``(B, 2)`` int, upper left pixels of the reduced average; every piece
          lies within it.
        - Returns: ``(B, side, side, 3)`` float32 in [0, 1].
    """
    layout = _layout(images, background)
    stored = read_windows(folder, layout, rows, corners, side)[:, 0]
    return stored.astype(np.float32) / np.float32(np.iinfo(layout.dtype).max)


def _count(folder: Path, images: Layout, shard: int, index: Index | None) -> int:
    """Photographs in a file."""
    if index is not None:
        return min(images.photographs, len(index.ends) - shard * images.photographs)
    return (folder / f"{shard:05d}.{images.suffix}").stat().st_size // images.stride


def _computed(
    folder: Path,
    images: Layout,
    layout: Layout,
    rows: np.ndarray,
    background: BackgroundConfig,
    index: Index | None,
) -> bytes:
    top = np.iinfo(layout.dtype).max
    parts = []
    for several in np.array_split(rows, -(-len(rows) // _BATCH)):
        pixels = read_whole(folder, images, several, index=index)[:, 0]
        parts.append((average_pixels(pixels, background) * np.float32(top)).round().astype(layout.dtype))
    return np.concatenate(parts).tobytes()


@lru_cache(maxsize=32)
def _layout(images: Layout, background: BackgroundConfig) -> Layout:
    settings = json.dumps([background.kind, background.scale, _code()])
    key = hashlib.sha256(settings.encode()).hexdigest()[:12]
    side = average_side(images.size, background)
    return Layout(f"average-{key}", images.photographs, 1, side, 3, _TYPES[background.kind])


@lru_cache(maxsize=1)
def _code() -> str:
    """Digest of the module that computes averages: another computation, other files."""
    return hashlib.sha256(Path(str(transform.__file__)).read_bytes()).hexdigest()
