"""How prepared pixels are written: as they are, smaller without loss, or as JPEG on request.

``raw`` is read the fastest, and a window of it without the rest of its photograph. ``delta`` holds the differences of
neighbouring pixels in a row, compressed with Zstandard: about a third of the bytes, every pixel kept. ``jpeg``
(quality 95, no chroma subsampling) is about a tenth and changes the pixels, so that it is never chosen unasked.
``zstd`` is for lesion planes, which are nearly empty: a thousandth of the bytes, and read no slower than raw ones.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import simplejpeg
import zstandard

__all__ = ["CODECS", "LOSSLESS", "LOSSY_NOTE", "Codec", "as_kept", "decode_into", "encoded", "folder_ending"]

Codec = Literal["raw", "delta", "jpeg", "zstd"]

CODECS: tuple[Codec, ...] = ("raw", "delta", "jpeg")
"""Those that photographs may be written in."""

LOSSLESS: tuple[Codec, ...] = ("raw", "delta")
"""Those that give back every pixel; a run that may choose takes the photographs from either."""

_QUALITY = 95
_LEVEL = 1

LOSSY_NOTE = f"prepared photographs are JPEG (quality {_QUALITY}, 4:4:4), which is lossy: data.codec=jpeg was asked for"
"""What a run says whose pixels were changed."""


def folder_ending(codec: Codec) -> str:
    """What tells the folder of a codec from those of the others."""
    return {"raw": "", "delta": "-delta", "jpeg": f"-jpeg{_QUALITY}", "zstd": "-zstd"}[codec]


def encoded(codec: Codec, pixels: np.ndarray) -> bytes:
    """A photograph's bytes.

    Shape:
        - ``pixels``: ``(planes, H, W, channels)`` uint8; ``(1, H, W, 3)`` for ``jpeg``.
    """
    if codec == "raw":
        return pixels.tobytes()
    if codec == "jpeg":
        picture = np.ascontiguousarray(pixels[0])
        return bytes(simplejpeg.encode_jpeg(picture, _QUALITY, colorspace="RGB", colorsubsampling="444"))
    if codec == "delta":
        differences = pixels.copy()
        np.subtract(pixels[..., 1:, :], pixels[..., :-1, :], out=differences[..., 1:, :])
        pixels = differences
    return zstandard.ZstdCompressor(level=_LEVEL).compress(np.ascontiguousarray(pixels).data)


def decode_into(codec: Codec, content: np.ndarray, out: np.ndarray) -> None:
    """Write a photograph's pixels into an array.

    Args:
        codec: that the bytes were written in.
        content: the bytes.
        out: C-contiguous, of the shape that was encoded.

    Raises:
        ValueError: the bytes are none of that codec, or of another shape.
    """
    if codec == "raw":
        _plain(content, out)
    elif codec == "jpeg":
        if simplejpeg.decode_jpeg_header(content)[:2] != out.shape[1:3]:
            raise ValueError("a picture of another size")
        simplejpeg.decode_jpeg(content, colorspace="RGB", buffer=out)
    else:
        try:
            plain = zstandard.ZstdDecompressor().decompress(content.data, max_output_size=out.nbytes)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
        stored = np.frombuffer(plain, np.uint8)
        if codec == "delta" and stored.size == out.size:
            np.cumsum(stored.reshape(out.shape), axis=-2, dtype=np.uint8, out=out)
        else:
            _plain(stored, out)


def as_kept(codec: Codec | Literal["auto"], pixels: np.ndarray) -> np.ndarray:
    """Photographs as they come back after having been written.

    Shape:
        - ``pixels`` and what is returned: ``(B, H, W, 3)`` uint8.
    """
    if codec != "jpeg":
        return pixels
    out = np.empty(pixels.shape, np.uint8)
    for picture, kept in zip(pixels, out, strict=True):
        content = np.frombuffer(encoded(codec, picture[None]), np.uint8)
        decode_into(codec, content, kept[None])
    return out


def _plain(stored: np.ndarray, out: np.ndarray) -> None:
    if stored.nbytes != out.nbytes:
        raise ValueError(f"{stored.nbytes} bytes, {out.nbytes} are needed")
    out[...] = stored.view(out.dtype).reshape(out.shape)
