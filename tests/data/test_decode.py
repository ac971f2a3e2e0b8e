"""Odd files, written here with known pixels, must decode to those pixels or be refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from retinalab.data.decode import decode, image_size, read_mask
from retinalab.errors import RetinalabError

HEIGHT, WIDTH = 40, 56
ORIENTATION = 274


@pytest.fixture
def picture() -> np.ndarray:
    """Smooth RGB with four unmistakable corners: red, green, blue, grey."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:20, :28] = (200, 20, 20)
    image[:20, 28:] = (20, 200, 20)
    image[20:, :28] = (20, 20, 200)
    image[20:, 28:] = (90, 90, 90)
    return image


@pytest.mark.parametrize(
    ("suffix", "options"), [("png", {}), ("tif", {}), ("bmp", {}), ("webp", {"lossless": True})]
)
def test_lossless_formats_keep_every_pixel(
    tmp_path: Path, picture: np.ndarray, suffix: str, options: dict
) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture).save(path, **options)
    np.testing.assert_array_equal(decode(path), picture)
    assert image_size(path) == (HEIGHT, WIDTH)


def test_jpeg_is_rgb_within_its_loss(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).save(path, quality=98, subsampling=0)
    assert np.abs(decode(path).astype(int) - picture).max() <= 6


def test_format_follows_the_bytes_not_the_suffix(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).save(path, format="PNG")
    np.testing.assert_array_equal(decode(path), picture)


EXPECTED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "options"),
    [("jpg", {"quality": 98, "subsampling": 0}), ("png", {}), ("tif", {}), ("webp", {"lossless": True})],
)
def test_exif_orientation_is_applied_once(
    tmp_path: Path, picture: np.ndarray, suffix: str, options: dict, orientation: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(picture).save(path, exif=exif, **options)
    expected = EXPECTED[orientation](picture)
    assert image_size(path) == expected.shape[:2]
    assert np.abs(decode(path).astype(int) - expected).max() <= 6


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    grey = np.tile(np.linspace(10, 240, WIDTH).astype(np.uint8), (HEIGHT, 1))
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(grey).save(path)
    image = decode(path)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert (image[..., 0] == image[..., 2]).all()
    assert np.abs(image[..., 0].astype(int) - grey).max() <= 4


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_is_scaled_to_eight(tmp_path: Path, suffix: str, channels: int) -> None:
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, 3)
    levels = np.zeros(shape, np.uint16)
    levels[0, 0], levels[0, 1], levels[0, 2], levels[0, 3] = 65535, 257 * 100, 257, 32768
    levels[0, 5] = 2470  # 9.6 of 255
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), levels)
    image = decode(path)
    assert image.dtype == np.uint8
    assert image[0, :5, 1].tolist() == [255, 100, 1, 128, 0]
    assert image[0, 5, 1] == (10 if suffix == "png" or channels == 1 else 9)  # Pillow cuts off the lower byte


def test_sixteen_bit_colour_keeps_the_channel_order(tmp_path: Path) -> None:
    bgr = np.zeros((HEIGHT, WIDTH, 3), np.uint16)
    bgr[..., 2] = 257 * 200
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), bgr)
    assert decode(path)[0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_transparency_is_laid_over_black(tmp_path: Path, suffix: str) -> None:
    rgba = np.full((HEIGHT, WIDTH, 4), 200, np.uint8)
    rgba[..., 3] = 255
    rgba[:10, :, 3] = 0
    rgba[10:20, :, 3] = 51
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    Image.fromarray(rgba).save(path, **options)
    image = decode(path)
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[15, 0].tolist() == [40, 40, 40]
    assert image[30, 0].tolist() == [200, 200, 200]


def test_grey_with_alpha(tmp_path: Path) -> None:
    pixels = np.full((HEIGHT, WIDTH, 2), 120, np.uint8)
    pixels[:, :28, 1], pixels[:, 28:, 1] = 0, 255
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    assert decode(path)[0, [0, 40]].tolist() == [[0, 0, 0], [120, 120, 120]]


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif"])
def test_palette_is_expanded(tmp_path: Path, suffix: str) -> None:
    indices = np.zeros((HEIGHT, WIDTH), np.uint8)
    indices[:, 28:] = 1
    image = Image.frombytes("P", (WIDTH, HEIGHT), indices.tobytes())
    image.putpalette([180, 40, 10, 5, 60, 220] + [0] * 762)
    path = tmp_path / f"a.{suffix}"
    image.save(path)
    assert decode(path)[0, [0, 40]].tolist() == [[180, 40, 10], [5, 60, 220]]


def test_one_bit_image(tmp_path: Path) -> None:
    bits = np.zeros((HEIGHT, WIDTH), bool)
    bits[5, 6] = True
    for suffix in ("png", "tif"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(bits).save(path)
        assert np.argwhere(decode(path)[..., 0] == 255).tolist() == [[5, 6]]
        assert np.argwhere(read_mask(path, binary=True)).tolist() == [[5, 6]]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_is_converted(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture).convert("CMYK").save(path, **({"quality": 98} if suffix == "jpg" else {}))
    image = decode(path).astype(int)
    for row, column in ((5, 5), (5, 50), (35, 5), (35, 50)):
        assert np.abs(image[row, column] - picture[row, column]).max() <= 12


@pytest.mark.parametrize(
    ("shortest", "side"),
    [
        (None, 800),
        (1000, 800),
        (308, 800),
        (307, 400),
        (231, 400),
        (230, 300),
        (154, 300),
        (153, 200),
        (51, 200),
        (50, 100),
    ],
)
def test_jpeg_scale_is_the_smallest_with_1_3_times_as_much_or_at_an_eighth_twice_as_much(
    tmp_path: Path, shortest: int | None, side: int
) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (1200, 800), (120, 60, 20)).save(path)
    image = decode(path, shortest)
    assert image.shape == (side, side * 3 // 2, 3)
    assert np.abs(image.astype(int) - (120, 60, 20)).max() <= 2


def test_scaled_jpeg_of_odd_size(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (1203, 805), (120, 60, 20)).save(path)
    for shortest in range(20, 600, 37):
        image = decode(path, shortest)
        allowed = {-(-805 * k // 8): 2.0 if k == 1 else 1.3 for k in (1, 2, 3, 4, 8)}
        fitting = [rows for rows, least in allowed.items() if rows >= least * shortest]
        assert image.shape[0] == (min(fitting) if fitting else 805)


def write_jpeg(path: Path) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    data: bytes = simplejpeg.encode_jpeg(noise, quality=90)
    path.write_bytes(data)
    return data


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp"])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"eye.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(RetinalabError, match=rf"eye\.{suffix}.*Fetch it again"):
        decode(path)


def test_damaged_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "eye.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(RetinalabError, match=r"eye\.png is truncated or damaged"):
        decode(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"this is a note, not a photograph\n", "is text"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "web page"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 64 +X 64\n" + bytes(99), "amounts of light"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (bytes(range(256)) * 4, "no image in a known format"),
        (b"\xff\xd8\xff\xe0", "truncated|no image"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "eye.jpg"
    path.write_bytes(content)
    for read in (decode, image_size, read_mask):
        with pytest.raises(RetinalabError, match=words) as caught:
            read(path)
        assert "eye.jpg" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert ("Convert" if b"RADIANCE" in content else "Fetch") in str(caught.value)


def test_absent_file_is_named(tmp_path: Path) -> None:
    for read in (decode, image_size, read_mask):
        with pytest.raises(RetinalabError, match=r"No file .*gone\.jpg"):
            read(tmp_path / "gone.jpg")


@pytest.mark.parametrize("size", [(1, 1), (31, 400)])
def test_placeholder_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "eye.png"
    Image.new("RGB", size).save(path)
    with pytest.raises(RetinalabError, match=rf"eye\.png is {size[0]}x{size[1]} pixels.*at least 32"):
        decode(path)


def test_huge_header_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path = tmp_path / "eye.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(RetinalabError, match=r"eye\.png claims more than 179 million pixels"):
        decode(path)


def test_mask_of_another_size_names_both(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.new("L", (50, 40)).save(path)
    assert read_mask(path, (40, 50)).shape == (40, 50)
    with pytest.raises(RetinalabError, match=r"mask\.png: the mask is 50x40 pixels but its photograph 60x40"):
        read_mask(path, (40, 60))
    for size, remedy in (
        ((50, 40), "Turn it by 90 degrees"),
        ((80, 100), "resize it to 100x80 by the nearest pixel"),
        ((40, 60), "Give the mask that was drawn on this photograph"),
    ):
        with pytest.raises(RetinalabError, match=remedy):
            read_mask(path, size)


def test_mask_values(tmp_path: Path) -> None:
    grey = np.zeros((40, 50), np.uint8)
    grey[3, 4], grey[5, 6], grey[7, 8] = 1, 128, 255
    path = tmp_path / "mask.png"
    Image.fromarray(grey).save(path)
    assert read_mask(path).sum() == 3
    assert np.argwhere(read_mask(path, above=127)).tolist() == [[5, 6], [7, 8]]
    said = (
        r"mask\.png: a binary mask was expected but it has 4 values \(0, 1, 128, 255\).* 0 for absent and 255"
    )
    with pytest.raises(RetinalabError, match=said):
        read_mask(path, binary=True)
    Image.fromarray(np.where(grey == 255, 2, 1).astype(np.uint8)).save(path)
    with pytest.raises(RetinalabError, match=r"absent pixels are 0, but it has the values 1 and 2\. Save it"):
        read_mask(path, binary=True)
    assert read_mask(path).all()


def test_red_mask_counts(tmp_path: Path) -> None:
    colour = np.zeros((40, 50, 3), np.uint8)
    colour[3, 4, 0] = 128
    path = tmp_path / "mask.png"
    Image.fromarray(colour).save(path)
    assert np.argwhere(read_mask(path)).tolist() == [[3, 4]]


def test_in_memory_and_on_disk_agree(tmp_path: Path, picture: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    path = tmp_path / "no_suffix"
    path.write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(decode(str(path)), picture)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_altered_bytes_give_an_image_or_one_clear_line(
    tmp_path: Path, picture: np.ndarray, format_: str
) -> None:
    generator = np.random.default_rng(0)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    buffer = io.BytesIO()
    options = {"exif": exif} if format_ in ("JPEG", "PNG", "TIFF", "WEBP") else {}
    Image.fromarray(picture).save(buffer, format=format_, **options)
    path = tmp_path / "eye"
    lines = []
    for attempt in range(80):
        data = bytearray(buffer.getvalue())
        limit = min(len(data), 200) if attempt % 2 else len(data)
        for place in generator.integers(0, limit, 3):
            data[place] = generator.integers(256)
        path.write_bytes(data)
        for read in (decode, image_size, read_mask):
            try:
                read(path)
            except RetinalabError as error:
                lines.append(str(error))
    assert lines
    assert all(str(path) in line and "\n" not in line for line in lines)


def test_damaged_png_pixels_never_pass(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "eye.png"
    Image.fromarray(picture).save(path)
    whole = path.read_bytes()
    for place in range(len(whole) - 12):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(RetinalabError, match="eye"):
            decode(path)


def test_jpeg_with_a_preview_behind_it(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    first = Image.fromarray(picture)
    first.save(path, format="MPO", save_all=True, append_images=[first.resize((20, 20))], quality=98)
    assert decode(path).shape == picture.shape
    assert image_size(path) == picture.shape[:2]


def test_orientation_behind_a_large_block(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[ORIENTATION] = 8
    exif[271] = "x" * 60_000
    Image.fromarray(picture).save(path, exif=exif, icc_profile=bytes(150_000))
    assert image_size(path) == (WIDTH, HEIGHT)
    assert decode(path).shape == (WIDTH, HEIGHT, 3)
