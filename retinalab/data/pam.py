"""The portable arbitrary map (PAM) of Netpbm, whose colours OpenCV takes for the reverse and Pillow does not read."""

from __future__ import annotations

import re

import numpy as np

__all__ = ["PAM", "decode_pam", "pam_size"]

PAM = b"P7\n"
_HEAD = re.compile(rb"P7\n((?:[^\n]*\n){1,64}?)ENDHDR\n")
_FIELD = re.compile(rb"(WIDTH|HEIGHT|DEPTH|MAXVAL)[ \t]+([0-9]{1,9})[ \t\r]*$", re.MULTILINE)
_COLOURS = re.compile(rb"^TUPLTYPE[ \t]+RGB(?:_ALPHA)?[ \t\r]*$", re.MULTILINE)
_HIGHEST = (1, 255, 65535)


def pam_size(data: bytes) -> tuple[int, int]:
    """Height and width in pixels, from the header alone.

    Raises:
        ValueError: the header is none.
    """
    height, width, _, _, _ = _header(data)
    return height, width


def decode_pam(data: bytes) -> np.ndarray:
    """The pixels as they are stored; black and white as 0 and 255.

    Shape:
        - Returns: ``(H, W, C)`` uint8 or uint16, C from 1 to 4: grey or RGB, each with or without transparency.

    Raises:
        ValueError: another header, or more or fewer pixels than it tells.
    """
    height, width, depth, highest, start = _header(data)
    kind = np.dtype(">u2" if highest > 255 else "u1")
    if len(data) - start != height * width * depth * kind.itemsize:
        raise ValueError("it holds more or fewer pixels than its header tells")
    pixels = np.frombuffer(data, kind, offset=start).reshape(height, width, depth)
    if pixels.size and pixels.max() > highest:
        raise ValueError("a pixel is brighter than its header allows")
    if highest == 1:
        return np.asarray(pixels * np.uint8(255))
    return pixels.astype(np.uint16 if highest > 255 else np.uint8)


def _header(data: bytes) -> tuple[int, int, int, int, int]:
    """Height, width, channels, value of white, and where the pixels begin."""
    head = _HEAD.match(data, 0, 4096)
    if head is None:
        raise ValueError("its header has no end")
    fields = {name: int(value) for name, value in _FIELD.findall(head[1])}
    try:
        height, width, depth, highest = (fields[one] for one in (b"HEIGHT", b"WIDTH", b"DEPTH", b"MAXVAL"))
    except KeyError as error:
        raise ValueError(f"its header has no {error.args[0].decode()}") from None
    if not 1 <= depth <= 4 or highest not in _HIGHEST:
        raise ValueError(f"{depth} channels up to {highest}, where 1 to 4 up to 1, 255 or 65535 are read")
    if depth > 2 and not _COLOURS.search(head[1]):
        raise ValueError(
            "without TUPLTYPE RGB the order of its colours is not told; OpenCV writes them reversed"
        )
    return height, width, depth, highest, head.end()
