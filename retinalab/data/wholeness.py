"""Whether an image file holds what its header tells: decoders fill in, cut off or shear what does not, in silence."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from PIL import Image

from retinalab.data.boxed import avif_is_as_told, jpeg2000_is_as_told
from retinalab.data.refusal import FAULTS

__all__ = ["PNG", "is_as_told", "png_is_whole"]

PNG = b"\x89PNG\r\n\x1a\n"
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS, _STRIPS, _PLANAR = 258, 259, 262, 277, 278, 279, 284
_YCBCR = 6
_MAX_GIF = 0xFFFF
_RUN = re.compile(rb"\x80(?:\x00|..)", re.DOTALL)


def is_as_told(header: Image.Image, data: bytes) -> bool:
    """Whether the file holds as many rows as its header tells, where that can be known: a wrong size shears them.

    A compressed TIFF or lossy WebP file whose header tells a smaller size than it has cannot be known by this.
    """
    try:
        if header.format == "GIF":
            return not _gif_holds_more(header, data)
        if header.format == "JPEG2000":
            return jpeg2000_is_as_told(data, *header.size)
        if header.format == "AVIF":
            return avif_is_as_told(data)
        row, held = _rows_held(header, data)
        return row == 0 or abs(held - row * header.height) < row
    except FAULTS:
        return False


def _rows_held(header: Image.Image, data: bytes) -> tuple[int, int]:
    """Bytes of a row, and of all that the file holds; 0 where they are compressed."""
    opened: Any = header
    codec, _, start, args = [*(opened.tile[0] if opened.tile else ("", None, 0, ()))][:4]
    if header.format == "BMP" and codec == "raw":
        (size,) = struct.unpack_from("<I", data, 14)
        profile = struct.unpack_from("<I", data, 14 + 116)[0] if size >= 124 and len(data) >= 138 else 0
        return int(args[1]), len(data) - start - profile
    if header.format == "PPM" and data[:2] in (b"P4", b"P5", b"P6"):
        wide = args == "I;16B" or (codec == "ppm" and args[1] > 255)
        bits = {b"P4": 1, b"P5": 8, b"P6": 24}[data[:2]] * (1 + wide)
        return (header.width * bits + 7) // 8, len(data) - start
    if header.format == "SUN":
        row = -(-header.width * int.from_bytes(data[12:16]) // 16) * 2
        return row, _held_by_sun(codec, data[start:])
    if header.format == "TIFF" and _STRIPS in opened.tag_v2:
        return _strips_held(header.width, header.height, opened.tag_v2)
    return 0, 0


def _strips_held(width: int, height: int, tags: Mapping[int, Any]) -> tuple[int, int]:
    """The same of a TIFF by its strips: their bytes, or where these are compressed their number."""
    planes = tags.get(_SAMPLES, 1) if tags.get(_PLANAR, 1) == 2 else 1
    if tags.get(_COMPRESSION, 1) == 1 and tags.get(_PHOTOMETRIC) != _YCBCR:
        bits = tags.get(_BITS, (1,))
        return sum((width * (sum(bits) if planes == 1 else one) + 7) // 8 for one in bits[:planes]), sum(
            tags[_STRIPS]
        )
    needed = planes * -(-height // min(tags.get(_ROWS, height), height))
    return (0, 0) if needed == len(tags[_STRIPS]) else (1, -height)


def _held_by_sun(codec: str, pixels: bytes) -> int:
    """Bytes of a Sun raster's pixels, unpacked where runs are written as a mark, their length less one and a value."""
    if codec == "raw":
        return len(pixels)
    runs = [found[0] for found in _RUN.finditer(pixels)]
    return len(pixels) + sum(run[1] + 1 - len(run) for run in runs)


def _gif_holds_more(header: Image.Image, data: bytes) -> bool:
    """Whether the codes of a GIF's first picture fill one row more than it has."""
    opened: Any = header
    if not opened.tile:
        return False
    (left, top, right, bottom), start = opened.tile[0][1:3]
    place = data.rfind(b"," + struct.pack("<HHHH", left, top, right - left, bottom - top), 0, start)
    if place < 0 or bottom >= _MAX_GIF:
        return False
    taller = bytearray(data)
    struct.pack_into("<H", taller, 8, bottom + 1)
    struct.pack_into("<H", taller, place + 7, bottom - top + 1)
    try:
        with Image.open(io.BytesIO(taller), formats=("GIF",)) as longer:
            longer.load()
    except FAULTS:
        return False
    return True


def png_is_whole(data: bytes) -> bool:
    """Whether every chunk up to the end mark has its checksum: the library would only print what it finds."""
    position = len(PNG)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data) or zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return False
        if data[position + 4 : position + 8] == b"IEND":
            return True
        position = end + 4
    return False
