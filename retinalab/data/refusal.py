"""Why a file cannot be used as a photograph, in one line that names it and what to do."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from pathlib import Path

import cv2

from retinalab.errors import RetinalabError

__all__ = [
    "FAULTS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MIN_SIDE",
    "absent",
    "check_file",
    "check_size",
    "damaged",
    "not_an_image",
    "too_large",
]

MAX_PIXELS = 178_956_970
"""Pillow's own bound against decompression bombs; the largest fundus cameras make under 50 million pixels."""
MIN_SIDE = 32
"""A photograph with a shorter side is a placeholder or a thumbnail of nothing."""
MAX_BYTES = 1 << 31
"""``MAX_PIXELS`` of four channels of 16 bit take less."""
FAULTS = (
    OSError, ValueError, SyntaxError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError,
    AssertionError, RuntimeError, struct.error, zlib.error, cv2.error,
)  # fmt: skip
"""What decoders raise on damaged bytes."""

_AGAIN = "Fetch it again from its source."


def absent(path: Path) -> RetinalabError:
    """There is no such file."""
    return RetinalabError(
        f"No file {path}. Check the data set's folder, or fetch the file again from its source."
    )


def damaged(path: Path, reason: Exception | str) -> RetinalabError:
    """The file begins like an image and does not go on like one."""
    return RetinalabError(f"{path} is truncated or damaged ({reason}). {_AGAIN}")


def too_large(path: Path) -> RetinalabError:
    """The header claims more pixels than any fundus camera makes."""
    return RetinalabError(
        f"{path} claims more than {MAX_PIXELS / 1e6:.0f} million pixels, which no fundus camera makes. "
        "Fetch it again from its source, or shrink it."
    )


def not_an_image(path: Path, start: bytes) -> RetinalabError:
    """The first bytes are those of no known image format; says what they look like instead."""
    head, remedy = start.lstrip().lower(), _AGAIN
    if not start:
        what = "is empty (0 bytes)"
    elif head.startswith((b"<!doctype html", b"<html")):
        what = "is a web page, not an image (a failed download?)"
    elif head.startswith(b"version https://git-lfs"):
        what = "is a Git LFS pointer, not the image itself"
    elif start.startswith((b"#?RADIANCE", b"#?RGBE")):
        what = "holds amounts of light (Radiance HDR) without a white"
        remedy = "Convert it to 8 or 16 bit per channel."
    elif all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        what = "is text, not an image"
    else:
        what = "is no image in a known format (JPEG, PNG, TIFF, BMP, WebP, GIF, PPM, PAM, JPEG 2000, AVIF, Sun raster)"
    return RetinalabError(f"{path} {what}. {remedy}")


def check_file(path: Path, opened: int) -> None:
    """Refuse what has no end or would be waited for: a pipe, a device, a file beyond any photograph.

    Args:
        path: named in the error.
        opened: its file descriptor.

    Raises:
        RetinalabError: no regular file, or beyond ``MAX_BYTES``.
    """
    found = os.fstat(opened)
    if not stat.S_ISREG(found.st_mode):
        raise RetinalabError(f"{path} is a pipe or device, not a file. Name a photograph.")
    if found.st_size > MAX_BYTES:
        raise RetinalabError(
            f"{path} has {found.st_size / 1e9:.1f} GB, which no photograph of a fundus camera has. {_AGAIN}"
        )


def check_size(path: Path, height: int, width: int, least: int = MIN_SIDE) -> None:
    """Refuse what is too large to be real or too small to be of use.

    Raises:
        RetinalabError: beyond ``MAX_PIXELS``, or a side under ``least``.
    """
    if width * height > MAX_PIXELS:
        raise too_large(path)
    if min(width, height) < least:
        raise RetinalabError(
            f"{path} is {width}x{height} pixels; a photograph needs at least {MIN_SIDE} on its shorter side. "
            "Fetch the original or remove it from the list."
        )
