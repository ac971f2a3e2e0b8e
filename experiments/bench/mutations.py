"""Damaged files: images, label files and experiments, altered at random from valid ones by a seed."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from PIL import Image

__all__ = [
    "FORMATS",
    "IMAGE_KINDS",
    "SILENT",
    "TEXT_KINDS",
    "altered_image",
    "altered_text",
    "images",
    "masks",
]

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "PAM", "JPEG2000", "AVIF", "SUN")
IMAGE_KINDS = (
    "flip",
    "start",
    "truncated",
    "inserted",
    "removed",
    "blank",
    "number",
    "foreign",
    "size",
    "mode",
)
SILENT = ("truncated", "foreign", "size")
"""Damages that must be refused, or leave every pixel as it was."""
TEXT_KINDS = ("flip", "truncated", "line", "cell", "quote", "coding", "foreign", "removed")
HEIGHT, WIDTH = 48, 64

_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"II*\x00",
    b"MM\x00*",
    b"BM",
    b"RIFF",
    b"GIF89a",
    b"P6\n",
    b"P7\n",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    b"\xff\x4f\xff\x51",
    b"\x00\x00\x00\x1cftypavif",
    b"\x59\xa6\x6a\x95",
)
_FOREIGN = (
    b"<!DOCTYPE html><html><body>Log in</body></html>", b"%PDF-1.7\n" + bytes(99), b"PK\x03\x04" + bytes(99),
    pickle.dumps({"image": [1, 2]}), b"\x7fELF\x02\x01\x01" + bytes(99), b"\x1f\x8b\x08\x00" + bytes(99),
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\nshowpage\n", b"8BPS\x00\x01" + bytes(99),
    b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='48'/>", b"\x93NUMPY\x01\x00" + bytes(99),
    bytes(128) + b"DICM" + bytes(99), b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(99), b"PAR1" + bytes(99), b"",
    b"version https://git-lfs.github.com/spec/v1\n", b"\x00" * 4096, b"\xff" * 4096, b"text\n" * 99,
)  # fmt: skip
_CELLS = (
    "", "-1", "5", "99", "NaN", "inf", "1e400", "9" * 5000, "mild", "0.5", "1,000", "../../../../etc/passwd",
    "/etc/passwd", "..\\..\\windows\\win.ini", "C:\\x.jpg", "a\x00b.jpg", "https://user:pass@host/x.jpg", "=1+1",
    "x" * 100_000, "\u202e", "é.jpg", "e\u0301.jpg", "<img src=x onerror=alert(1)>.jpg",
    "!!python/object/apply:os.system [true]", "&a [*a]", "[[[[[[", "{a: {a: {a: 1}}}", "null", "true", "2001-13-45",
    "0x", "1:2:3", "'", '"', "!!int ''", "*b", "? a", "~", ".", "/", "…", "\ud7ff",
)  # fmt: skip
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def _encoded(picture: Image.Image, format_: str, **options: object) -> bytes:
    if format_ in ("PAM", "SUN"):
        if picture.mode not in ("L", "RGB", "RGBA"):
            raise ValueError(picture.mode)
        return _pam(picture) if format_ == "PAM" else _sun(picture)
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def _pam(picture: Image.Image) -> bytes:
    depth, kind = len(picture.getbands()), {"L": "GRAYSCALE", "RGB": "RGB", "RGBA": "RGB_ALPHA"}[picture.mode]
    head = f"P7\nWIDTH {picture.width}\nHEIGHT {picture.height}\nDEPTH {depth}\nMAXVAL 255\nTUPLTYPE {kind}\nENDHDR\n"
    return head.encode() + picture.tobytes()


def _sun(picture: Image.Image) -> bytes:
    if picture.mode == "RGBA":
        raise ValueError(picture.mode)
    depth, padding = 8 * len(picture.getbands()), picture.width * len(picture.getbands()) % 2
    rows = np.asarray(picture).reshape(picture.height, picture.width, -1)[..., ::-1]
    held = b"".join(row.tobytes() + bytes(padding) for row in rows)
    return struct.pack(">8I", 0x59A66A95, picture.width, picture.height, depth, len(held), 1, 0, 0) + held


def _picture() -> Image.Image:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    plain = np.stack([60 + 2 * rows, 40 + columns, 30 + rows // 2], axis=-1)
    noise = np.random.default_rng(0).integers(0, 40, (HEIGHT, WIDTH, 3))
    return Image.fromarray((plain + noise).astype(np.uint8))


@cache
def images(format_: str) -> tuple[bytes, ...]:
    """Valid photographs of one format, in the ways that it is written."""
    picture = _picture()
    if format_ == "DICOM":
        from dicom_files import dicom_files

        return dicom_files(picture.tobytes(), HEIGHT, WIDTH)
    exif = Image.Exif()
    exif[274] = 6
    ways: dict[str, list[dict[str, object]]] = {
        "JPEG": [
            {"quality": 90},
            {"progressive": True},
            {"exif": exif},
            {"subsampling": 0, "optimize": True},
        ],
        "PNG": [{}, {"exif": exif}, {"compress_level": 0}],
        "TIFF": [
            {},
            {"compression": "tiff_lzw"},
            {"compression": "tiff_adobe_deflate"},
            {"compression": "packbits"},
        ],
        "WEBP": [{"lossless": True}, {"quality": 90}, {"exif": exif}],
        "JPEG2000": [{}, {"irreversible": True, "quality_layers": [8]}, {"no_jp2": True}],
        "AVIF": [{"quality": 90}, {"exif": exif}, {"quality": 100, "subsampling": "4:4:4"}],
    }
    return tuple(_encoded(picture, format_, **options) for options in ways.get(format_, [{}]))


@cache
def masks(format_: str) -> tuple[bytes, ...]:
    """Valid masks of one format."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[10:20, 20:50] = 255
    kinds: dict[str, tuple[str, ...]] = {
        "JPEG": ("L",),
        "WEBP": ("RGB",),
        "TIFF": ("1", "L", "RGB"),
        "PPM": ("1", "L"),
        "PAM": ("L", "RGB"),
        "JPEG2000": ("L", "RGB"),
        "AVIF": ("L", "RGB"),
        "SUN": ("L", "RGB"),
    }
    options = {"lossless": True} if format_ == "WEBP" else {}
    modes = kinds.get(format_, ("1", "L", "P"))
    return tuple(_encoded(Image.fromarray(drawn).convert(mode), format_, **options) for mode in modes)


@cache
def _odd(format_: str) -> tuple[bytes, ...]:
    """Valid files in modes that photographs seldom have."""
    if format_ == "DICOM":
        from dicom_files import odd_dicom_files

        return odd_dicom_files(_picture().tobytes(), HEIGHT, WIDTH)
    found = []
    for mode in ("1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F", "RGBX"):
        try:
            found.append(
                _encoded(_picture().convert("L" if mode == "I;16" else "RGB").convert(mode), format_)
            )
        except (OSError, ValueError, KeyError):
            continue
    return tuple(found)


def altered_image(format_: str, kind: str, seed: int, mask: bool = False) -> tuple[bytes, bytes]:
    """A valid file and what is left of it.

    Args:
        format_: one of ``FORMATS``; or DICOM, whose ``mask`` is never asked for.
        kind: one of ``IMAGE_KINDS``.
        seed: of everything drawn.
        mask: begin with a mask.
    """
    draw = random.Random(f"{format_} {kind} {seed} {mask}")
    whole = draw.choice((masks if mask else images)(format_))
    if kind == "mode":
        whole = draw.choice(_odd(format_))
        return whole, whole
    if kind == "foreign":
        start, other = draw.choice(_SIGNATURES), draw.choice(images(draw.choice(FORMATS)))
        content = draw.choice([draw.choice(_FOREIGN), start + draw.choice(_FOREIGN)])
        mixed = start + other[len(start) :]
        return whole, content if draw.random() < 0.7 or mixed == other else mixed[: len(start)] + other[40:]
    if kind == "size":
        return whole, _resized(whole, format_, draw)
    return whole, _damaged(whole, kind, draw)


def _damaged(data: bytes, kind: str, draw: random.Random) -> bytes:
    changed = bytearray(data)
    place = draw.randrange(len(data))
    length = min(1 << draw.randrange(8), len(data) - place)
    if kind in ("flip", "start"):
        for _ in range(draw.choice((1, 1, 2, 8, 32))):
            changed[draw.randrange(min(64, len(data)) if kind == "start" else len(data))] ^= (
                1 << draw.randrange(8)
            )
    elif kind == "truncated":
        del changed[draw.choice((place, len(data) - 1 - place % 16)) :]
    elif kind == "inserted":
        changed[place:place] = draw.randbytes(length)
    elif kind == "removed":
        del changed[place : place + length]
    elif kind == "blank":
        changed[place : place + length] = bytes([draw.choice((0, 255))]) * length
    else:
        size, order = draw.choice((1, 2, 4)), draw.choice("<>")
        place = min(draw.choice((place, place % 64)), len(data) - size)
        struct.pack_into(f"{order}{' BH I'[size]}", changed, place, draw.choice(_NUMBERS) & (256**size - 1))
    return bytes(changed)


def _resized(data: bytes, format_: str, draw: random.Random) -> bytes:
    """The same file whose header tells another size."""
    larger: list[tuple[float, float]] = [(2, 1), (1, 2), (2, 2), (1000, 1000)]
    smaller: list[tuple[float, float]] = [(0.5, 1), (1, 0.5)]
    compressed = (
        b"VP8 " in data
        or format_ in ("JPEG2000", "AVIF")
        or (format_ == "TIFF" and Image.open(io.BytesIO(data)).info["compression"] != "raw")
    )
    wide, high = draw.choice(larger if compressed else larger + smaller)  # what is over is not known of these
    if format_ == "DICOM":
        from dicom_files import resized

        return resized(data, int(HEIGHT * high), int(WIDTH * wide))
    if format_ == "JPEG2000":
        return _jpeg2000(
            bytearray(data), int(WIDTH * wide), int(HEIGHT * high), draw.choice(("box", "stream", "both"))
        )
    return _SIZES[format_](bytearray(data), int(WIDTH * wide), int(HEIGHT * high))


def _jpeg(data: bytearray, width: int, height: int) -> bytes:
    place = 2
    while data[place + 1] not in (0xC0, 0xC1, 0xC2):
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    struct.pack_into(">HH", data, place + 5, min(height, 65535), min(width, 65535))
    return bytes(data)


def _png(data: bytearray, width: int, height: int) -> bytes:
    struct.pack_into(">II", data, 16, width, height)
    if width * height > WIDTH * HEIGHT:  # a lower height under its own checksum is a valid crop
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


def _tiff(data: bytearray, width: int, height: int) -> bytes:
    (start,) = struct.unpack_from("<I", data, 4)
    for entry in range(struct.unpack_from("<H", data, start)[0]):
        tag, kind = struct.unpack_from("<HH", data, place := start + 2 + 12 * entry)
        if tag in (256, 257):
            value = width if tag == 256 else height
            struct.pack_into(
                "<I" if kind == 4 else "<H", data, place + 8, value & (0xFFFFFFFF if kind == 4 else 0xFFFF)
            )
    return bytes(data)


def _bmp(data: bytearray, width: int, height: int) -> bytes:
    struct.pack_into("<ii", data, 18, width, height)
    return bytes(data)


def _webp(data: bytearray, width: int, height: int) -> bytes:
    wide, high = min(width, 16383), min(height, 16383)
    if (place := data.find(b"VP8L")) >= 0:
        bits = int.from_bytes(data[place + 9 : place + 13], "little")
        struct.pack_into("<I", data, place + 9, bits & 0xF0000000 | (high - 1) << 14 | wide - 1)
    elif (place := data.find(b"VP8 ")) >= 0:
        struct.pack_into("<HH", data, place + 14, wide, high)
    return bytes(data)


def _gif(data: bytearray, width: int, height: int) -> bytes:
    place = data.index(b"," + struct.pack("<HHHH", 0, 0, WIDTH, HEIGHT))
    for start in (6, place + 5):
        struct.pack_into("<HH", data, start, min(width, 65535), min(height, 65535))
    return bytes(data)


def _ppm(data: bytearray, width: int, height: int) -> bytes:
    return bytes(data).replace(b"%d %d" % (WIDTH, HEIGHT), b"%d %d" % (width, height), 1)


def _pam_sized(data: bytearray, width: int, height: int) -> bytes:
    return bytes(data).replace(
        b"WIDTH %d\nHEIGHT %d" % (WIDTH, HEIGHT), b"WIDTH %d\nHEIGHT %d" % (width, height), 1
    )


def _jpeg2000(data: bytearray, width: int, height: int, which: str) -> bytes:
    box = data.find(b"ihdr")
    if which != "stream" and box >= 0:
        struct.pack_into(">II", data, box + 4, height, width)
    if which != "box" or box < 0:
        struct.pack_into(">II", data, data.index(b"\xff\x4f\xff\x51") + 8, width, height)
    return bytes(data)


def _avif(data: bytearray, width: int, height: int) -> bytes:
    struct.pack_into(">II", data, data.index(b"ispe") + 8, width, height)
    return bytes(data)


def _sun_sized(data: bytearray, width: int, height: int) -> bytes:
    struct.pack_into(">II", data, 4, width, height)
    return bytes(data)


_SIZES: Mapping[str, Callable[[bytearray, int, int], bytes]] = {
    "JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "BMP": _bmp, "WEBP": _webp, "GIF": _gif, "PPM": _ppm,
    "PAM": _pam_sized, "AVIF": _avif, "SUN": _sun_sized,
}  # fmt: skip


def altered_text(data: bytes, kind: str, seed: int) -> bytes:
    """A label file or experiment with one damage.

    Args:
        data: a valid one.
        kind: one of ``TEXT_KINDS``.
        seed: of everything drawn.
    """
    draw = random.Random(f"{kind} {seed}")
    if kind == "foreign" or not data:
        return draw.choice(_FOREIGN)
    if kind in ("flip", "truncated", "removed"):
        return _damaged(data, kind, draw)
    if kind == "coding":
        text = data.decode("utf-8", errors="replace")
        return draw.choice(
            (text.encode("utf-16"), b"\xef\xbb\xbf" * 2 + data, data.replace(b"\n", b"\r"), b"\xff" + data)
        )
    lines = data.split(b"\n")
    row = draw.randrange(len(lines))
    if kind == "line":
        other = draw.choice(lines)
        lines[row : row + draw.choice((0, 1))] = draw.choice(
            ([], [other], [other] * 3, [b""], [b",".join(lines[:3])])
        )
    elif kind == "quote":
        place = draw.randrange(len(lines[row]) + 1)
        lines[row] = (
            lines[row][:place]
            + draw.choice((b'"', b"'", b"\t", b";", b",", b":", b"#", b"\x00"))
            + lines[row][place:]
        )
    else:
        marks = [k for k, byte in enumerate(lines[row]) if byte in b",:{}[] "]
        begin = draw.choice([-1, *marks]) + 1
        end = next((k for k in marks if k >= begin), len(lines[row]))
        cell = draw.choice(_CELLS).encode("utf-8", errors="surrogatepass")
        lines[row] = lines[row][:begin] + cell + lines[row][end:]
    return b"\n".join(lines)
