"""Whether JPEG 2000 and AVIF files hold the picture that their headers tell: decoders fill in or stretch in silence.

Both lie in boxes of a length, a kind and a content. Reference: ITU-T T.800, annexes A and I; ISO/IEC 14496-12 and
23008-12; AV1 Bitstream & Decoding Process Specification, sections 5.3 and 5.5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["avif_is_as_told", "jpeg2000_is_as_told"]

_CODESTREAM, _TILE, _END = b"\xff\x4f\xff\x51", b"\xff\x90", b"\xff\xd9"
_TILE_HEAD = 12
_SEQUENCE_HEADER, _TEMPORAL_DELIMITER = 1, b"\x12\x00"


def jpeg2000_is_as_told(data: bytes, width: int, height: int) -> bool:
    """Whether the codestream is of that size, and has every tile and its end mark.

    Args:
        data: the file.
        width, height: that its header tells, in pixels.

    Raises:
        LookupError, struct.error: there is no codestream, or it ends within a header.
    """
    start, end = 0, len(data)
    if not data.startswith(_CODESTREAM):
        ((start, end),) = (place for kind, *place in _boxes(data, 0, end) if kind == b"jp2c")
    right, lower, left, upper, wide, high, first, top = struct.unpack_from(">8I", data, start + 8)
    if not data.startswith(_CODESTREAM, start) or (width, height) != (right - left, lower - upper):
        return False
    place, held = start + 2, set[int]()
    while not data.startswith(_TILE, place):
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    while data.startswith(_TILE, place):
        tile, length = struct.unpack_from(">HI", data, place + 4)
        held.add(tile)
        if 0 < length < _TILE_HEAD:
            return False
        place = place + length if length else end - len(_END)
    tiles = -(-(right - first) // wide) * -(-(lower - top) // high)
    whole = place == end - len(_END) and data.startswith(_END, place)
    return whole and len(held) == tiles == max(held, default=-1) + 1


def avif_is_as_told(data: bytes) -> bool:
    """Whether the sizes in the container are those of the coded pictures, as far as these say them.

    A picture that is put together from several has a size that no coded one has.

    Raises:
        LookupError, ValueError, struct.error: the boxes end within a header.
    """
    (meta,) = ((start + 4, end) for kind, start, end in _boxes(data, 0, len(data)) if kind == b"meta")
    inside = {kind: (start, end) for kind, start, end in _boxes(data, *meta)}
    properties = {kind: (start, end) for kind, start, end in _boxes(data, *inside[b"iprp"])}
    told = {
        struct.unpack_from(">II", data, start + 4)
        for kind, start, _ in _boxes(data, *properties[b"ipco"])
        if kind == b"ispe"
    }
    coded = {size for place in _item_places(data, inside[b"iloc"][0]) for size in _coded_size(data, place)}
    several = b"grid" in data[slice(*inside[b"iinf"])]
    return not coded or (coded <= told if several else coded == told)


def _item_places(data: bytes, place: int) -> Iterator[int]:
    """Where the items that lie in the file itself begin, by the content of the box ``iloc``."""
    version, sizes = data[place], int.from_bytes(data[place + 4 : place + 6])
    offset, length, base, index = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    number = 4 if version == 2 else 2
    place += 6

    def take(count: int) -> int:
        nonlocal place
        if place + count > len(data):
            raise LookupError("the places of items end too soon")
        place += count
        return int.from_bytes(data[place - count : place])

    for _ in range(take(number)):
        take(number)
        elsewhere = version > 0 and take(2) & 15
        take(2)
        begin = take(base)
        extents, skipped = take(2), index if version > 0 else 0
        if extents:
            take(skipped)
            start = begin + take(offset)
            take(length + (extents - 1) * (skipped + offset + length))
            if not elsewhere:
                yield start


def _boxes(data: bytes, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of every box."""
    while place < end:
        length, kind = struct.unpack_from(">I4s", data, place)
        start = place + 8
        if length == 1:
            (length,), start = struct.unpack_from(">Q", data, start), start + 8
        last = place + length if length else end
        if not start <= last <= end:
            raise LookupError(f"box {kind!r} of {length} bytes")
        yield kind, start, last
        place = last


def _coded_size(data: bytes, place: int) -> list[tuple[int, int]]:
    """Width and height by the sequence header that coded pictures begin with; none in other data, and of video."""
    if data[place : place + 2] == _TEMPORAL_DELIMITER:
        place += 2
    if len(data) <= place or data[place] >> 3 & 15 != _SEQUENCE_HEADER or not data[place] & 2:
        return []
    head = place + 1 + (data[place] >> 2 & 1)
    bits = _Bits(data[head + 1 : head + 1 + data[head]])
    bits.take(3 + 1)  # profile, still picture
    if bits.take(1):  # reduced header: a level alone
        bits.take(5)
    else:
        if bits.take(2):  # times and delays
            return []
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
    wide, high = bits.take(4) + 1, bits.take(4) + 1
    return [(bits.take(wide) + 1, bits.take(high) + 1)]


class _Bits:
    """Bits from the most significant on."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def take(self, count: int) -> int:
        """The next so many, as a number."""
        self._left -= count
        if self._left < 0:
            raise LookupError("a sequence header ends too soon")
        return self._value >> self._left & ((1 << count) - 1)
