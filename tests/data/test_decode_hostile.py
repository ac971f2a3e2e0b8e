"""Files made to mislead or exhaust a decoder are refused in one line; valid files of every layout still decode."""

from __future__ import annotations

import importlib
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from retinalab.data.decode import decode, image_size, read_mask
from retinalab.errors import RetinalabError

HEIGHT, WIDTH = 80, 112


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def refused(path: Path, *words: str) -> None:
    for read in (decode, read_mask):
        with pytest.raises(RetinalabError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not words or any(word in str(caught.value) for word in words), str(caught.value)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge(format_: str, side: int = 50_000) -> bytes:
    """A small file whose header tells ``side`` x ``side`` pixels."""
    if format_ == "PNG":
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    buffer = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(buffer, format_, lossless=True)
    data = bytearray(buffer.getvalue())
    if format_ == "JPEG":
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, side, side)
    elif format_ == "GIF":
        struct.pack_into("<HH", data, 6, side, side)
        struct.pack_into("<HH", data, data.index(b",\0\0\0\0") + 5, side, side)
    elif format_ == "BMP":
        struct.pack_into("<ii", data, 18, side, side)
    elif format_ == "TIFF":
        (start,) = struct.unpack_from("<I", data, 4)
        for entry in range(struct.unpack_from("<H", data, start)[0]):
            place = start + 2 + 12 * entry
            if struct.unpack_from("<H", data, place)[0] in (256, 257):
                struct.pack_into("<HII", data, place + 2, 4, 1, side)
    else:
        return bytes(data).replace(b"%d %d" % (WIDTH, HEIGHT), b"%d %d" % (side, side))
    return bytes(data)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("read", [decode, read_mask, image_size])
def test_headers_of_2500_million_pixels(tmp_path: Path, format_: str, read: object) -> None:
    path = tmp_path / "eye"
    path.write_bytes(huge(format_))
    with pytest.raises(RetinalabError, match="eye claims more than 179 million pixels"):
        read(path)  # type: ignore[operator]


def test_bombs_are_refused_in_a_little_memory(tmp_path: Path) -> None:
    for format_ in ("JPEG", "PNG", "TIFF", "GIF", "PPM", "BMP"):
        (tmp_path / format_).write_bytes(huge(format_))
    text = zlib.compress(bytes(200_000_000), 9)
    whole = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(whole, "PNG")
    first, rest = whole.getvalue()[:33], whole.getvalue()[33:]
    (tmp_path / "text").write_bytes(first + chunk(b"zTXt", b"a\0\0" + text) + rest)
    (tmp_path / "profile").write_bytes(first + chunk(b"iCCP", b"a\0\0" + text) + rest)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from retinalab.data.decode import decode, read_mask\nfrom retinalab.errors import RetinalabError\n"
        "for name in sys.argv[1:]:\n  for read in (decode, read_mask):\n"
        "    try: read(Path(name))\n    except RetinalabError: pass\n"
        "print(*[int(line.split()[1]) // 1024 for line in open('/proc/self/status') if line.startswith('VmHWM')])\n"
    )
    names = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, timeout=120, check=True
    )
    assert (
        int(done.stdout) < 700
    )  # of these, importing the libraries takes some 200; the bombs hold 7,500 MB each


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("BMP", lambda data: struct.pack_into("<i", data, 22, HEIGHT // 2)),
        ("PPM", lambda data: data.__setitem__(slice(3, 9), b"056 80")),
        ("TIFF", lambda data: struct.pack_into("<H", data, data.index(b"\x00\x01", 8) + 8, WIDTH // 2)),
        ("GIF", None),
    ],
)
def test_a_header_that_tells_fewer_pixels_than_there_are(
    tmp_path: Path, picture: np.ndarray, name: str, change: object
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, name)
    data = bytearray(buffer.getvalue())
    if name == "GIF":
        for place in (6, data.index(b"," + struct.pack("<HHHH", 0, 0, WIDTH, HEIGHT)) + 5):
            struct.pack_into("<HH", data, place, WIDTH, HEIGHT // 2)
    elif name == "TIFF":
        (start,) = struct.unpack_from("<I", data, 4)
        places = [start + 2 + 12 * k for k in range(struct.unpack_from("<H", data, start)[0])]
        (width,) = (place for place in places if struct.unpack_from("<H", data, place)[0] == 256)
        struct.pack_into("<H", data, width + 8, WIDTH // 2)
    else:
        change(data)  # type: ignore[operator]
    path = tmp_path / "eye"
    path.write_bytes(data)
    refused(path, "more or fewer pixels than its header tells")


WAYS = {
    "tif": [
        {}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "jpeg"},
        {"compression": "tiff_lzw", "strip_size": 600}, {"compression": "raw", "strip_size": 600},
        {"compression": "tiff_lzw", "tiffinfo": {278: 7}}, {"big_tiff": True},
    ],
    "bmp": [{}],
    "gif": [{}, {"interlace": 0}, {"interlace": 1}, {"comment": b"of a camera"}],
    "ppm": [{}],
    "webp": [{"lossless": True}, {"lossless": False}],
}  # fmt: skip


@pytest.mark.parametrize("suffix", WAYS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_valid_layouts_decode_as_pillow_shows_them(
    tmp_path: Path, picture: np.ndarray, suffix: str, mode: str
) -> None:
    """Odd widths, so that rows end within a byte or are padded."""
    plain = Image.fromarray(picture[:37, :51])
    image = (
        Image.fromarray(picture[:37, :51, 0].astype(np.uint16) * 257)
        if mode == "I;16"
        else plain.convert(mode)
    )
    written = 0
    for options in WAYS[suffix]:
        path = tmp_path / f"{mode.replace(';', '')}{written}.{suffix}"
        try:
            image.save(path, **options)
        except (OSError, ValueError, KeyError, RuntimeError):
            continue
        written += 1
        if (suffix, mode) == ("ppm", "I;16"):
            refused(path, "has int32 pixels")
            continue
        found = decode(path)
        if (
            mode in ("1", "L", "RGB")
            and options.get("compression") != "jpeg"
            and options.get("lossless", True)
        ):
            with Image.open(path) as shown:
                np.testing.assert_array_equal(found, np.asarray(shown.convert("RGB")))
        assert found.shape == (37, 51, 3)
    assert written or mode in ("CMYK", "RGBA", "I;16", "P", "1")


@pytest.mark.parametrize(
    ("suffix", "depth"),
    [
        ("tif", np.uint8),
        ("tif", np.uint16),
        ("bmp", np.uint8),
        ("ppm", np.uint8),
        ("ppm", np.uint16),
        ("pgm", np.uint8),
    ],
)
def test_files_of_another_writer(tmp_path: Path, picture: np.ndarray, suffix: str, depth: type) -> None:
    path = tmp_path / f"a.{suffix}"
    pixels = picture[:37, :51] if suffix != "pgm" else picture[:37, :51, 0]
    cv2.imwrite(str(path), pixels.astype(depth) * (257 if depth is np.uint16 else 1))
    expected = pixels[..., ::-1] if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    assert np.abs(decode(path).astype(int) - expected).max() <= 1


def test_a_bitmap_may_end_in_padding_or_a_profile(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.bmp"
    Image.fromarray(picture).save(path)
    path.write_bytes(path.read_bytes() + b"\0\0")
    np.testing.assert_array_equal(decode(path), picture)


def test_several_pictures_in_one_file(tmp_path: Path, picture: np.ndarray) -> None:
    first = Image.fromarray(picture)
    for suffix in ("gif", "tif"):
        path = tmp_path / f"a.{suffix}"
        first.save(path, save_all=True, append_images=[first.rotate(90), first.resize((33, 35))])
        assert decode(path).shape == picture.shape


def test_a_jpeg_of_very_many_scans(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "eye.jpg"
    Image.fromarray(picture).save(path, progressive=True)
    data = path.read_bytes()
    last = data.rindex(b"\xff\xda")
    path.write_bytes(data[:last] + data[last:-2] * 501 + data[-2:])
    refused(path, "more than 500 scans")


def test_what_has_no_end_or_would_be_waited_for(tmp_path: Path) -> None:
    pipe, link = tmp_path / "eye.png", tmp_path / "zero.png"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    sparse = tmp_path / "sparse.png"
    with sparse.open("wb") as file:
        file.truncate(1 << 32)
    for path, words in ((pipe, "pipe or device"), (link, "pipe or device"), (sparse, "4.3 GB")):
        refused(path, words)
        with pytest.raises(RetinalabError, match=words):
            image_size(path)


def test_directories_that_lead_in_a_circle(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "eye.tif"
    Image.fromarray(picture).save(path)
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    entries = struct.unpack_from("<H", data, start)[0]
    struct.pack_into("<I", data, start + 2 + 12 * entries, start)
    path.write_bytes(data)
    np.testing.assert_array_equal(decode(path), picture)
    assert image_size(path) == (HEIGHT, WIDTH)


def test_an_orientation_block_that_points_to_itself(tmp_path: Path, picture: np.ndarray) -> None:
    block = (
        b"Exif\0\0II*\0"
        + struct.pack("<I", 8)
        + struct.pack("<H", 0xFFFF)
        + struct.pack("<HHII", 0x8769, 4, 1, 8)
    )
    path = tmp_path / "eye.jpg"
    Image.fromarray(picture).save(path, exif=block)
    assert decode(path).shape == picture.shape


def test_checks_open_no_format_that_runs_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostScript is drawn by Ghostscript, a language that can read and write files."""
    photographs, thumbnails = (
        importlib.import_module(f"retinalab.data.check.{name}") for name in ("photographs", "thumbnails")
    )
    started = []
    monkeypatch.setattr(subprocess, "check_call", lambda *words, **_: started.append(words))
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **_: started.append(words))
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
    assert photographs._shown_by_others(data) == "unreadable"
    assert thumbnails._shown_by_others(data) is None
    path = tmp_path / "eye.jpg"
    path.write_bytes(data)
    refused(path, "is text")
    assert not started
