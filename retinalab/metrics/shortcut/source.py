"""What the file of a photograph gives away before anything is decoded: its kind, its size, its compression."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retinalab.errors import RetinalabError

__all__ = ["FILE", "file_features", "jpeg_quality"]

_KINDS = ("JPEG", "PNG", "TIFF", "BMP")
_MARKS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"BM", "BMP"),
)

FILE = (
    *(f"type {kind}" for kind in _KINDS),
    "bytes",
    "bytes per pixel",
    "width",
    "height",
    "aspect",
    "JPEG quality",
)

_TABLES, _SCAN = 0xDB, 0xDA
_LUMINANCE = 3685
"""Sum of the luminance table of quality 50 in the JPEG standard, Annex K, Table K.1."""


def file_features(path: Path | None, height: float, width: float) -> npt.NDArray[np.float64]:
    """Features of the file, named by :data:`FILE`.

    Four of 0 or 1 for the type, which the first bytes tell whatever the suffix says (all 0: another type); base-2
    logarithms of the bytes on disk and of the bytes per pixel; base-2 logarithms of width and height in pixels; width
    over height; quality 1 to 100 of a JPEG as :func:`jpeg_quality` estimates it.

    Args:
        path: the file; None (or an absent file) leaves everything but the size of the picture unknown.
        height: of the picture in pixels; nan unknown.
        width: likewise.

    Shape:
        - Returns: ``(10,)``, float64, nan where unknown.

    Raises:
        RetinalabError: the file cannot be read.
    """
    size = [np.log2(width), np.log2(height), width / height]
    if path is None or not path.is_file():
        return np.array([np.nan] * (len(_KINDS) + 2) + size + [np.nan])
    try:
        with path.open("rb") as file:
            head = file.read(8)
        count = max(1, path.stat().st_size)
    except OSError as error:
        raise RetinalabError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None
    kind = next((name for mark, name in _MARKS if head.startswith(mark)), "")
    types = [float(kind == name) for name in _KINDS]
    quality = jpeg_quality(path) if kind == "JPEG" else np.nan
    return np.array([*types, np.log2(count), np.log2(count / (height * width)), *size, quality])


def jpeg_quality(path: Path) -> float:
    """Quality 1 to 100 that the first quantisation table of a JPEG stands for; nan where it has none.

    The table is taken as the standard's own, scaled as the Independent JPEG Group's library does: by 5000 / q percent
    below quality 50 and by 200 - 2 q percent from there on; the scale is the ratio of the sums. That is exact to one
    unit between 25 and 97; below, steps end at 255 and the estimate is too high by up to five. The tables of other
    makers get the quality nearest in coarseness.

    Reference: ITU-T T.81 (1992), Annex K.1; jpeg_quality_scaling in the IJG's jcparam.c.
    """
    with path.open("rb") as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF:
            marker, length = head[1], int.from_bytes(head[2:4], "big")
            if marker == _SCAN or length < 2:
                break
            if marker == _TABLES:
                body = file.read(length - 2)
                wide = body[:1] > b"\x0f"
                values = np.frombuffer(body[1 : 1 + 64 * (1 + wide)], ">u2" if wide else np.uint8)
                return _quality(100 * float(values.sum()) / _LUMINANCE) if values.size == 64 else np.nan
            file.seek(length - 2, os.SEEK_CUR)
    return np.nan


def _quality(percent: float) -> float:
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return float(np.clip(quality, 1, 100))
