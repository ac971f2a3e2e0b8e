"""Decoding of photographs and masks: every odd file gives the right pixels or an error that names it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from retinalab.data.jpeg import decode_scaled, exif_orientation, jpeg_orientation, jpeg_size
from retinalab.data.pam import PAM, decode_pam, pam_size
from retinalab.data.refusal import (
    FAULTS,
    MIN_SIDE,
    absent,
    check_file,
    check_size,
    damaged,
    not_an_image,
    too_large,
)
from retinalab.data.wholeness import PNG, is_as_told, png_is_whole
from retinalab.errors import RetinalabError

__all__ = ["FORMATS", "decode", "decode_bytes", "image_size", "read_mask"]

_JPEG = b"\xff\xd8\xff"
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF", "SUN")
"""What files may be, as Pillow calls it, besides PAM; Pillow knows others, of which PostScript starts a program."""
_HEAD = 1 << 16
_OPENCV_FORMATS = ("PNG", "BMP", "WEBP", "PPM")
_OPENCV_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B")


def decode(path: Path | str, shortest: int | None = None) -> np.ndarray:
    """Decode a photograph to RGB, 8 bit.

    The format follows from the first bytes, not from the suffix. EXIF orientation is applied once, whatever
    the format; grey becomes three equal channels; a palette is expanded; CMYK is converted; 16 bit are scaled
    to 8 (65535 to 255); transparency is laid over black.

    Args:
        path: JPEG, PNG, TIFF, BMP, WebP, GIF, PPM, PGM, PBM, PAM, JPEG 2000, AVIF or Sun raster file.
        shortest: the shorter side that is needed later. A JPEG is then decoded at the smallest scale of 1/8,
            2/8, 3/8, 4/8 and 1 whose shorter side is at least 1.3 times that (2 times at 1/8); other formats are
            decoded whole.

    Shape:
        - Returns: ``(H, W, 3)``, uint8, RGB.

    Raises:
        RetinalabError: the file is absent, empty, truncated, no image, beyond ``MAX_PIXELS`` or under
            ``MIN_SIDE``.
    """
    path = Path(path)
    return decode_bytes(_read(path), path, shortest)


def decode_bytes(data: bytes, path: Path, shortest: int | None = None) -> np.ndarray:
    """Decode a photograph whose file was read already; ``path`` is named in errors.

    Shape:
        - Returns: ``(H, W, 3)``, uint8, RGB.

    Raises:
        RetinalabError: as for :func:`decode`.
    """
    if not data:
        raise not_an_image(path, data)
    image = _pixels(path, data, shortest, photograph=True)
    return np.ascontiguousarray(image) if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def image_size(path: Path | str) -> tuple[int, int]:
    """Height and width in pixels after EXIF orientation, from the header alone.

    Raises:
        RetinalabError: as for :func:`decode`, as far as the header shows it.
    """
    path = Path(path)
    head = _read(path, _HEAD)
    if head.startswith(_JPEG):
        try:
            height, width = jpeg_size(head)
        except ValueError:
            head = _read(path)
            with _damage(path):
                height, width = jpeg_size(head)
        turned = jpeg_orientation(head) >= 5
    elif head.startswith(PAM):
        with _damage(path):
            (height, width), turned = pam_size(head), False
    else:
        with _open(path, path, head) as header:
            width, height = header.size
            turned = _orientation(header) >= 5
    check_size(path, height, width)
    return (width, height) if turned else (height, width)


def read_mask(
    path: Path | str, size: tuple[int, int] | None = None, above: int = 0, binary: bool = False
) -> np.ndarray:
    """Read a lesion mask: present wherever any colour channel exceeds ``above``.

    Args:
        path: TIFF, PNG or any format of :func:`decode`.
        size: height and width of the photograph that the mask belongs to.
        above: for anti-aliased or JPEG-compressed masks, the value up to which a pixel counts as absent.
        binary: refuse a mask with more than two values, or with two of which none is 0.

    Shape:
        - Returns: ``(H, W)``, bool.

    Raises:
        RetinalabError: unreadable, of another size than the photograph, or not binary although that was asked
            for.
    """
    path = Path(path)
    pixels = _pixels(path, _read(path), None, photograph=False)
    grey = pixels if pixels.ndim == 2 else _brightest(pixels)
    if size is not None and grey.shape != tuple(size):
        raise _of_another_size(path, (grey.shape[0], grey.shape[1]), (size[0], size[1]))
    if binary:
        _check_binary(path, grey)
    return np.asarray(grey > above)


def _of_another_size(path: Path, mask: tuple[int, int], photograph: tuple[int, int]) -> RetinalabError:
    (height, width), (wanted_height, wanted_width) = mask, photograph
    remedy = "Give the mask that was drawn on this photograph."
    if mask == photograph[::-1]:
        remedy = "Turn it by 90 degrees as the photograph is turned, or give the mask that was drawn on it."
    elif abs(height * wanted_width / (width * wanted_height) - 1) < 0.01:
        remedy = (
            f"Give the mask at the photograph's size, or resize it to {wanted_width}x{wanted_height} by the nearest "
            "pixel."
        )
    return RetinalabError(
        f"{path}: the mask is {width}x{height} pixels but its photograph {wanted_width}x{wanted_height} "
        f"(width x height). {remedy}"
    )


def _check_binary(path: Path, grey: np.ndarray) -> None:
    values = np.unique(grey)
    if len(values) > 2:
        more = f" … {values[-1]}" if len(values) > 4 else ""
        raise RetinalabError(
            f"{path}: a binary mask was expected but it has {len(values)} values "
            f"({', '.join(map(str, values[:4]))}{more}), as after smoothing, resizing or JPEG compression. Give the "
            "original, or save it as PNG with 0 for absent and 255 for present."
        )
    if len(values) == 2 and values[0]:
        raise RetinalabError(
            f"{path}: a binary mask was expected whose absent pixels are 0, but it has the values {values[0]} and "
            f"{values[1]}. Save it as PNG with 0 for absent and 255 for present."
        )


def _brightest(pixels: np.ndarray) -> np.ndarray:
    """The largest channel: a reduction over a short last axis is slow in NumPy."""
    first, *others = cv2.split(pixels)
    for channel in others:
        first = cv2.max(first, channel)
    return np.asarray(first)


def _read(path: Path, length: int = -1) -> bytes:
    try:
        with open(path, "rb", opener=_opened) as file:
            check_file(path, file.fileno())
            data = file.read(length)
    except FileNotFoundError:
        raise absent(path) from None
    except OSError as error:
        raise RetinalabError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None
    if not data:
        raise not_an_image(path, data)
    return data


def _opened(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _pixels(path: Path, data: bytes, shortest: int | None, photograph: bool) -> np.ndarray:
    least = MIN_SIDE if photograph else 1
    if data.startswith(_JPEG):
        with _damage(path):
            check_size(path, *jpeg_size(data), least)
            return _turn(decode_scaled(data, shortest), jpeg_orientation(data))
    if data.startswith(PAM):
        with _damage(path):
            check_size(path, *pam_size(data), least)
        return _pam_pixels(path, data)
    with _open(path, io.BytesIO(data), data) as header:
        check_size(path, header.height, header.width, least)
        if not is_as_told(header, data):
            raise damaged(path, "it holds more or fewer pixels than its header tells")
        if header.format in _OPENCV_FORMATS and header.mode in _OPENCV_MODES:
            image = _with_opencv(path, data)
        else:
            image = _with_pillow(path, header)
        return _turn(image, _orientation(header))


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Name the file that a decoder refuses."""
    try:
        yield
    except ValueError as error:
        raise damaged(path, error) from None


def _pam_pixels(path: Path, data: bytes) -> np.ndarray:
    with _damage(path):
        image = decode_pam(data)
    image = _eight_bit(path, image)
    shown = _over_black(image[..., :-1], image[..., -1]) if image.shape[2] in (2, 4) else image
    return shown if shown.shape[2] == 3 else shown[..., 0]


def _open(path: Path, source: io.BytesIO | Path, start: bytes) -> Image.Image:
    try:
        return Image.open(source, formats=FORMATS[1:])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_large(path) from None
    except UnidentifiedImageError:
        raise not_an_image(path, start[:512]) from None
    except FAULTS as error:
        raise damaged(path, error) from None


def _orientation(header: Image.Image) -> int:
    if header.format == "TIFF":
        return 1  # Pillow turns a TIFF while reading it
    return exif_orientation(header.info.get("exif", b""))


def _with_opencv(path: Path, data: bytes) -> np.ndarray:
    if data.startswith(PNG) and not png_is_whole(data):
        raise damaged(path, "a checksum does not match")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise damaged(path, "its pixels cannot be decoded")
    image = _eight_bit(path, image)
    if image.ndim == 2:
        return np.asarray(image)
    rgb: np.ndarray = cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)
    return _over_black(rgb, image[..., 3]) if image.shape[2] == 4 else rgb


def _with_pillow(path: Path, header: Image.Image) -> np.ndarray:
    try:
        if header.mode in ("1", "L"):
            return np.asarray(header.convert("L"))
        if header.mode.startswith(("I", "F")):
            return _eight_bit(path, np.asarray(header))
        if "A" in header.getbands() or "transparency" in header.info:
            pixels = np.asarray(header.convert("RGBA"))
            return _over_black(pixels[..., :3], pixels[..., 3])
        return np.asarray(header.convert("RGB"))
    except FAULTS as error:
        raise damaged(path, error) from None


def _eight_bit(path: Path, image: np.ndarray) -> np.ndarray:
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:
        return np.asarray((image.astype(np.uint32) + 128) // 257, dtype=np.uint8)
    if image.dtype != np.uint8:
        raise RetinalabError(f"{path} has {image.dtype} pixels. Convert it to 8 or 16 bit per channel.")
    return image


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
