"""JPEG files: orientation from their EXIF block, and strict decoding at a reduced scale."""

from __future__ import annotations

import math
import struct

import numpy as np
import simplejpeg

__all__ = ["decode_at", "decode_scaled", "exif_orientation", "jpeg_orientation", "jpeg_size"]

_SCALES = (1, 2, 3, 4, 8)  # eighths; 5/8 to 7/8 are slower than a full decode
_OVERSAMPLING = {1: 2.0, 2: 1.3, 3: 1.3, 4: 1.3, 8: 0.0}
"""Eighths -> least shorter side over what is wanted: with a field of view 0.92 times as wide and more, 1.2 times as
many pixels as are kept, through which microaneurysms come with more contrast than through the usual bilinear resizing
of a full decode (``experiments/bench/lesion_contrast.py``). At 1/8 no detail within a block of 8 pixels is left, only
its mean."""
_ORIENTATION = 0x0112
_EXIF = b"Exif\x00\x00"
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_SHORT = 3
_MAX_SCANS = 500
"""Progressive files have about ten; each costs a pass over all pixels, so that a small file could take hours."""


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width in pixels as stored, before any turning.

    Raises:
        ValueError: the header is damaged or cut off.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except KeyError:
        raise ValueError("the header is cut off") from None
    return int(height), int(width)


def decode_scaled(data: bytes, shortest: int | None = None) -> np.ndarray:
    """Decode strictly, at the smallest of 1/8, 2/8, 3/8, 4/8 and 1 whose shorter side is 1.3 times ``shortest``.

    At 1/8 it must be twice ``shortest``.

    Shape:
        - Returns: ``(H, W, 3)``, uint8, RGB, as stored.

    Raises:
        ValueError: the file is damaged or cut off, or made to take long.
    """
    if shortest is None:
        return decode_at(data, 8)
    least = min(jpeg_size(data))
    return decode_at(
        data, next(k for k in _SCALES if math.ceil(least * k / 8) >= _OVERSAMPLING[k] * shortest)
    )


def decode_at(data: bytes, eighths: int) -> np.ndarray:
    """Decode strictly at so many eighths of the size: 1, 2, 3, 4 or 8.

    Shape and errors: as of :func:`decode_scaled`.
    """
    height, width = jpeg_size(data)
    if data.count(b"\xff\xda") > _MAX_SCANS:
        raise ValueError(f"it has more than {_MAX_SCANS} scans")
    image: np.ndarray = simplejpeg.decode_jpeg(
        data,
        colorspace="RGB",
        min_height=math.ceil(height * eighths / 8),
        min_width=math.ceil(width * eighths / 8),
    )
    return image


def jpeg_orientation(data: bytes) -> int:
    """EXIF orientation 1 to 8; 1 where the file has none, or none that can be read."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _START_OF_SCAN or length < 2:
            break
        segment = data[position + 4 : position + 2 + length]
        if marker == _APP1 and segment.startswith(_EXIF):
            return exif_orientation(segment)
        position += 2 + length
    return 1


def exif_orientation(block: bytes) -> int:
    """Orientation in an EXIF block, with or without its ``Exif`` mark; 1 where it cannot be read."""
    block = block.removeprefix(_EXIF)
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, start)
        for entry in range(entries):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * entry)
            if tag == _ORIENTATION and kind == _SHORT and 1 <= value <= 8:
                return int(value)
    except struct.error:
        return 1
    return 1
