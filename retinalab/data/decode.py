"""Decoding of photographs and masks: every odd file gives the right pixels or an error that names it."""

from __future__ import annotations

import io
import math
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from retinalab.errors import RetinalabError

__all__ = ["MAX_PIXELS", "MIN_SIDE", "decode", "image_size", "read_mask"]

MAX_PIXELS = 178_956_970
"""Pillow's own bound against decompression bombs; the largest fundus cameras make under 50 million pixels."""
MIN_SIDE = 32
"""A photograph with a shorter side is a placeholder or a thumbnail of nothing."""

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM")
_JPEG_SCALES = (1, 2, 3, 4, 8)  # eighths; 5/8 to 7/8 are slower than a full decode
_OVERSAMPLING = 1.5  # keeps the contrast of microaneurysms through the later antialiased resize
_ORIENTATION = 274
_PLAIN_MODES = ("1", "L", "P", "RGB", "I;16", "I;16B", "I;16L")
_ALPHA_MODES = ("LA", "RGBA")


def decode(path: Path | str, shortest: int | None = None) -> np.ndarray:
    """Decode a photograph to RGB, 8 bit.

    The format follows from the first bytes, not from the suffix. EXIF orientation is applied once, whatever
    the format; grey becomes three equal channels; a palette is expanded; CMYK is converted; 16 bit are scaled
    to 8 (65535 to 255); transparency is laid over black.

    Args:
        path: JPEG, PNG, TIFF, BMP, WebP, GIF or PPM file.
        shortest: the shorter side that is needed later. A JPEG is then decoded at the smallest scale of 1/8,
            2/8, 3/8, 4/8 and 1 whose shorter side is at least 1.5 times that; other formats are decoded
            whole.

    Shape:
        - Returns: ``(H, W, 3)``, uint8, RGB.

    Raises:
        RetinalabError: the file is absent, empty, truncated, no image, beyond ``MAX_PIXELS`` or under
            ``MIN_SIDE``.
    """
    path = Path(path)
    data = _read(path)
    with _open(path, io.BytesIO(data), len(data)) as header:
        _check_size(path, header.size)
        image = _pixels(path, data, header, shortest)
    return np.ascontiguousarray(image) if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def image_size(path: Path | str) -> tuple[int, int]:
    """Height and width in pixels after EXIF orientation, from the header alone.

    Raises:
        RetinalabError: as for :func:`decode`, as far as the header shows it.
    """
    path = Path(path)
    try:
        length = path.stat().st_size
    except OSError:
        raise _absent(path) from None
    with _open(path, path, length) as header:
        _check_size(path, header.size)
        return _turned(header)


def read_mask(
    path: Path | str, size: tuple[int, int] | None = None, above: int = 0, binary: bool = False
) -> np.ndarray:
    """Read a lesion mask: present wherever any colour channel exceeds ``above``.

    Args:
        path: TIFF, PNG or any format of :func:`decode`.
        size: height and width of the photograph that the mask belongs to.
        above: for anti-aliased or JPEG-compressed masks, the value up to which a pixel counts as absent.
        binary: refuse a mask with more than two values.

    Shape:
        - Returns: ``(H, W)``, bool.

    Raises:
        RetinalabError: unreadable, of another size than the photograph, or not binary although that was asked
            for.
    """
    path = Path(path)
    data = _read(path)
    with _open(path, io.BytesIO(data), len(data)) as header:
        pixels = _pixels(path, data, header, None)
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    if size is not None and grey.shape != tuple(size):
        raise RetinalabError(
            f"{path}: the mask is {grey.shape[1]}x{grey.shape[0]} pixels "
            f"but its photograph {size[1]}x{size[0]} "
            "(width x height). Give the mask that was drawn on this photograph."
        )
    if binary:
        values = np.unique(grey)
        if len(values) > 2:
            raise RetinalabError(
                f"{path}: a binary mask was expected but it has {len(values)} values "
                f"({values[0]} to {values[-1]}). "
                "Give the value that separates absent from present, or export the mask without anti-aliasing."
            )
    return np.asarray(grey > above)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _absent(path) from None
    except OSError as error:
        raise RetinalabError(
            f"{path} cannot be read ({error.strerror}). Check the path and its permissions."
        ) from None


def _absent(path: Path) -> RetinalabError:
    return RetinalabError(
        f"No file {path}. Check the data set's folder, or fetch the file again from its source."
    )


def _open(path: Path, source: io.BytesIO | Path, length: int) -> Image.Image:
    if length == 0:
        raise RetinalabError(f"{path} is empty (0 bytes). Fetch it again from its source.")
    try:
        return Image.open(source, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path) from None
    except UnidentifiedImageError:
        raise RetinalabError(f"{path} {_what_instead(path)}. Fetch it again from its source.") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise _damaged(path, error) from None


def _what_instead(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(512)
    head = start.lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "is a web page, not an image (a failed download?)"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the image itself"
    if start and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "is text, not an image"
    return "is no image in a known format (JPEG, PNG, TIFF, BMP, WebP, GIF, PPM)"


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise _too_large(path)
    if min(size) < MIN_SIDE:
        raise RetinalabError(
            f"{path} is {width}x{height} pixels; a photograph needs at least {MIN_SIDE} on its shorter side. "
            "Fetch the original or remove it from the list."
        )


def _too_large(path: Path) -> RetinalabError:
    return RetinalabError(
        f"{path} claims more than {MAX_PIXELS / 1e6:.0f} million pixels, which no fundus camera makes. "
        "Fetch it again from its source, or shrink it."
    )


def _damaged(path: Path, error: Exception | str) -> RetinalabError:
    return RetinalabError(f"{path} is truncated or damaged ({error}). Fetch it again from its source.")


def _turned(header: Image.Image) -> tuple[int, int]:
    width, height = header.size
    return (width, height) if _orientation(header) >= 5 else (height, width)


def _orientation(header: Image.Image) -> int:
    if header.format == "TIFF":
        return 1  # Pillow and OpenCV both turn a TIFF themselves
    value = header.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _pixels(path: Path, data: bytes, header: Image.Image, shortest: int | None) -> np.ndarray:
    if header.format in ("JPEG", "MPO"):  # MPO: a JPEG with a preview behind it
        image = _decode_jpeg(path, data, header, shortest)
    elif header.format != "GIF" and header.mode in _opencv_modes(header):
        image = _decode_opencv(path, data)
    else:
        image = _decode_pillow(path, header)
    return _turn(image, _orientation(header))


def _opencv_modes(header: Image.Image) -> tuple[str, ...]:
    # OpenCV multiplies a TIFF's colours by its alpha while reading, other formats' not.
    return _PLAIN_MODES if header.format == "TIFF" else _PLAIN_MODES + _ALPHA_MODES


def _decode_jpeg(path: Path, data: bytes, header: Image.Image, shortest: int | None) -> np.ndarray:
    width, height = header.size
    scale = 8
    if shortest is not None:
        wanted = _OVERSAMPLING * shortest
        scale = next((k for k in _JPEG_SCALES if math.ceil(min(width, height) * k / 8) >= wanted), 8)
    try:
        image: np.ndarray = simplejpeg.decode_jpeg(
            data,
            colorspace="RGB",
            min_height=math.ceil(height * scale / 8),
            min_width=math.ceil(width * scale / 8),
        )
    except ValueError as error:
        raise _damaged(path, error) from None
    return image


def _decode_opencv(path: Path, data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise _damaged(path, "its pixels cannot be decoded")
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise RetinalabError(f"{path} has {image.dtype} pixels. Convert it to 8 or 16 bit per channel.")
    if image.ndim == 2:
        return np.asarray(image)
    rgb: np.ndarray = cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)
    return _over_black(rgb, image[..., 3]) if image.shape[2] == 4 else rgb


def _decode_pillow(path: Path, header: Image.Image) -> np.ndarray:
    if header.mode in ("I", "F"):
        raise RetinalabError(f"{path} has 32-bit pixels. Convert it to 8 or 16 bit per channel.")
    try:
        if "A" in header.getbands() or "transparency" in header.info:
            pixels = np.asarray(header.convert("RGBA"))
            return _over_black(pixels[..., :3], pixels[..., 3])
        return np.asarray(header.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise _damaged(path, error) from None


def _over_black(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    if alpha.min() == 255:
        return rgb
    return np.asarray((rgb.astype(np.uint16) * alpha[..., None] + 127) // 255, dtype=np.uint8)


def _turn(image: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image
