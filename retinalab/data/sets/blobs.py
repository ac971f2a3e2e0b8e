"""What was marked on a photograph of HEI-MED: the owners' picture of numbered blobs, and their names."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from retinalab.data.refusal import MAX_PIXELS
from retinalab.errors import RetinalabError

__all__ = ["KINDS", "MAPS", "NAMES", "map_size", "read_blobs", "read_map", "stem", "write_fake_blobs"]

MAPS = (".map.gz", ".map")
"""Suffixes of the picture of numbered blobs."""

NAMES = ".GND"
"""Suffix of the file that names them."""

_MOST = 4 * (3 + MAX_PIXELS)
"""Bytes of a map; a compressed one may announce more than fits into memory."""

KINDS: Mapping[str, str] = {"EX": "exudate", "other": "other bright lesion"}
"""Lesion -> the words that a blob's name has, in lower case."""


def read_blobs(path: Path) -> list[str]:
    """Names of the blobs in a ``.GND`` file, the first belonging to value 1 of the map.

    Raises:
        RetinalabError: it cannot be read or names fewer blobs than it announces.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="latin-1").splitlines()]
    except OSError as error:
        raise RetinalabError(f"{path} cannot be read ({error.strerror}). Complete the copy.") from None
    if lines and lines[0].upper().startswith("GNDVERSION"):
        lines = lines[1:]
    if not lines or not re.fullmatch("[0-9]{1,9}", lines[0]) or len(lines) <= int(lines[0]):
        raise RetinalabError(
            f"{path} is no readable GND file: it starts with {lines[0][:40] if lines else ''!r} and has {len(lines)} "
            "lines, where the number of blobs and a line for each were expected. Fetch it again."
        )
    return lines[1 : 1 + int(lines[0])]


def map_size(path: Path) -> tuple[int, int]:
    """Height and width of a map in pixels.

    Raises:
        RetinalabError: it is damaged.
    """
    numbers = _integers(path)
    return int(numbers[2]), int(numbers[1])


def read_map(path: Path, kind: str, size: tuple[int, int]) -> np.ndarray:
    """Where blobs of one kind were marked.

    Args:
        path: ``<id>.map.gz`` or ``<id>.map``; ``<id>.GND`` lies beside it.
        kind: EX, or other for what is bright without being an exudate.
        size: height and width of the photograph.

    Shape:
        - Returns: ``(H, W)``, bool.

    Raises:
        RetinalabError: it is damaged, of another size than the photograph, or marks a blob without a name.
    """
    numbers = _integers(path)
    height, width = int(numbers[2]), int(numbers[1])
    if (height, width) != tuple(size):
        raise RetinalabError(
            f"{path}: the mask is {width}x{height} pixels but its photograph {size[1]}x{size[0]} (width x "
            "height). Give the mask that was drawn on this photograph."
        )
    blobs = read_blobs(path.with_name(f"{stem(path.name)}{NAMES}"))
    picture = numbers[3 : 3 + height * width].reshape(height, width)
    if picture.min(initial=0) < 0 or picture.max(initial=0) > len(blobs):
        raise RetinalabError(
            f"{path} marks blob {max(picture.max(), picture.min(), key=abs)} but its {NAMES} file names "
            f"{len(blobs)}. Fetch both again."
        )
    wanted = np.array([False, *(KINDS[kind] in blob.lower() for blob in blobs)])
    return np.asarray(wanted[picture])


def stem(name: str) -> str:
    """The name of a map without its suffix."""
    return re.sub(r"\.map(\.gz)?$", "", name)


def write_fake_blobs(
    base: Path, kinds: tuple[str, ...], version: int = 1, shape: tuple[int, int] = (72, 96)
) -> None:
    """Map and names of blobs as the owners write them; no files where nothing is marked."""
    if not kinds:
        return
    picture = np.zeros(shape, "<i4")
    for number, _ in enumerate(kinds, start=1):
        picture[10 + 12 * number : 14 + 12 * number, 40:46] = number
    header = np.array([len(kinds), shape[1], shape[0]], "<i4")
    content = gzip.compress(header.tobytes() + picture.tobytes(), mtime=0)
    base.with_name(f"{base.name}{MAPS[0]}").write_bytes(content)
    head = ["GNDVERSION2.0 (includes notes at the end of the file)"] if version == 2 else []
    lines = [*head, str(len(kinds)), *kinds, "0", "0", "0", *["NA"] * 7]
    base.with_name(f"{base.name}{NAMES}").write_text("\n".join(lines) + "\n", encoding="latin-1")


def _integers(path: Path) -> np.ndarray:
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            content = file.read(_MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise RetinalabError(f"{path} cannot be read ({error}). Fetch it again.") from None
    if len(content) > _MOST:
        raise RetinalabError(f"{path} holds more than {MAX_PIXELS} pixels. Fetch it again.")
    numbers = np.frombuffer(content[: len(content) // 4 * 4], "<i4")
    if len(numbers) < 3 or len(content) < 4 * (3 + int(numbers[1]) * int(numbers[2])):
        shown = f"{numbers[1]}x{numbers[2]} pixels" if len(numbers) > 2 else "nothing"
        raise RetinalabError(f"{path} announces {shown} but holds {len(content)} bytes. Fetch it again.")
    return numbers
