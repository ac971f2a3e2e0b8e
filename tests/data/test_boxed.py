"""JPEG 2000 and AVIF of several writers are read as Pillow shows them, and refused where a header does not hold."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from retinalab.data.boxed import _item_places, jpeg2000_is_as_told
from retinalab.data.decode import decode, image_size
from retinalab.errors import RetinalabError

HEIGHT, WIDTH = 90, 130
RIGHT = Image.Exif()
RIGHT[274] = 6


@pytest.fixture
def picture() -> Image.Image:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([60 + rows, 40 + columns, 30 + rows // 2], -1)
    return Image.fromarray((pixels + np.random.default_rng(0).integers(0, 30, pixels.shape)).astype(np.uint8))


def encoded(picture: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
        ("JPEG2000", {"tile_size": (64, 64)}),
        ("JPEG2000", {"irreversible": True, "quality_layers": [20, 10, 5], "progression": "RPCL"}),
        ("JPEG2000", {"offset": (20, 10), "tile_offset": (5, 5), "tile_size": (50, 40)}),
        ("AVIF", {"quality": 60}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
        ("AVIF", {"tile_rows": 1, "tile_cols": 1}),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_what_pillow_writes(
    tmp_path: Path, picture: Image.Image, format_: str, options: dict[str, object], mode: str
) -> None:
    path = tmp_path / "eye"
    path.write_bytes(encoded(picture.convert(mode), format_, **options))
    with Image.open(path) as shown:
        expected = np.asarray(shown.convert("RGB"))
    np.testing.assert_array_equal(decode(path), expected)
    assert image_size(path) == expected.shape[:2]


@pytest.mark.parametrize("suffix", [".jp2", ".avif"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_what_opencv_writes(tmp_path: Path, picture: Image.Image, suffix: str, depth: type) -> None:
    path = tmp_path / f"eye{suffix}"
    pixels = np.asarray(picture)[..., ::-1].astype(depth)
    scale = 1 if depth is np.uint8 else 257 if suffix == ".jp2" else 1023 / 255
    options = [cv2.IMWRITE_AVIF_DEPTH, 10] if depth is np.uint16 and suffix == ".avif" else []
    assert cv2.imwrite(str(path), (pixels * scale).astype(depth), options)
    shown = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1] / scale
    # 16 bits are divided by 256, not 257; the two programs spread AVIF's halved colours differently
    assert np.abs(decode(path) - shown).max() <= {".jp2": 1.5, ".avif": 3}[suffix]


def test_an_avif_is_turned_once(tmp_path: Path, picture: Image.Image) -> None:
    path = tmp_path / "eye.avif"
    path.write_bytes(encoded(picture, "AVIF", exif=RIGHT, quality=100, subsampling="4:4:4"))
    turned = np.asarray(picture.transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert image_size(path) == (WIDTH, HEIGHT)
    assert np.abs(decode(path) - turned).mean() < 3


@pytest.mark.parametrize("factor", [(2, 1), (1, 2), (1, 1.2), (0.5, 1)])
def test_a_container_that_tells_another_size_than_avif_has(
    tmp_path: Path, picture: Image.Image, factor: tuple[float, float]
) -> None:
    data = bytearray(encoded(picture, "AVIF"))
    place = data.index(b"ispe") + 8
    assert struct.unpack_from(">II", data, place) == (WIDTH, HEIGHT)
    struct.pack_into(">II", data, place, int(WIDTH * factor[0]), int(HEIGHT * factor[1]))
    refused(tmp_path, data, "more or fewer pixels than its header tells")


@pytest.mark.parametrize("where", ["box", "stream", "both"])
def test_a_jpeg2000_that_tells_more_than_it_has(tmp_path: Path, picture: Image.Image, where: str) -> None:
    data = bytearray(encoded(picture, "JPEG2000"))
    if where != "stream":
        struct.pack_into(">II", data, data.index(b"ihdr") + 4, 2 * HEIGHT, WIDTH)
    if where != "box":
        struct.pack_into(">II", data, data.index(b"\xff\x4f\xff\x51") + 8, WIDTH, 2 * HEIGHT)
    refused(tmp_path, data, "more or fewer pixels than its header tells")


def test_a_jpeg2000_without_one_of_its_tiles_or_its_end(tmp_path: Path, picture: Image.Image) -> None:
    data = encoded(picture, "JPEG2000", tile_size=(64, 64), no_jp2=True)
    first = data.index(b"\xff\x90\x00\x0a\x00\x00")
    (length,) = struct.unpack_from(">I", data, first + 6)
    refused(tmp_path, data[:first] + data[first + length :], "more or fewer pixels than its header tells")
    refused(tmp_path, data[:-2], "more or fewer pixels than its header tells")
    refused(tmp_path, encoded(picture, "JPEG2000")[:-2], "truncated or damaged")


def test_a_million_tiles_and_parts_without_a_length_take_no_time(
    tmp_path: Path, picture: Image.Image
) -> None:
    data = bytearray(encoded(picture, "JPEG2000", no_jp2=True))
    struct.pack_into(">8I", data, 8, 13_000, 13_000, 0, 0, 1, 1, 0, 0)
    tracemalloc.start()
    assert not jpeg2000_is_as_told(bytes(data), 13_000, 13_000)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    items = struct.pack(">BxxxHH", 0, 0, 1000) + struct.pack(">HHH", 1, 0, 65535) * 1000
    assert list(_item_places(items, 0)) == [0] * 1000


def test_50000_by_50000_is_refused_before_it_is_decoded(tmp_path: Path, picture: Image.Image) -> None:
    data = bytearray(encoded(picture, "JPEG2000"))
    struct.pack_into(">II", data, data.index(b"ihdr") + 4, 50_000, 50_000)
    struct.pack_into(">II", data, data.index(b"\xff\x4f\xff\x51") + 8, 50_000, 50_000)
    refused(tmp_path, data, "claims more than 179 million pixels")
    boxes = bytearray(encoded(picture, "AVIF"))
    struct.pack_into(">II", boxes, boxes.index(b"ispe") + 8, 50_000, 50_000)
    refused(tmp_path, boxes, "truncated or damaged|is no image|claims more than")


def refused(tmp_path: Path, data: bytes | bytearray, said: str) -> None:
    path = tmp_path / "odd.img"
    path.write_bytes(data)
    with pytest.raises(RetinalabError, match=said) as error:
        decode(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
