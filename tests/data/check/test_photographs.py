"""What one look at a file says of it, whatever is wrong with the file."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from retinalab.data.check.photographs import look_at
from retinalab.data.sets.fake import fake_image

SHAPE = (180, 240)


def jpeg(image: np.ndarray, **how: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95, **how)
    return buffer.getvalue()


def textured() -> np.ndarray:
    image = fake_image(3, 2, SHAPE)
    noise = np.random.default_rng(0).integers(-15, 15, image.shape)
    return np.where(image > 0, np.clip(image + noise, 0, 255), 0).astype(np.uint8)


def seen(tmp_path: Path, data: bytes, name: str = "a.jpg") -> tuple[str, str]:
    (tmp_path / name).write_bytes(data)
    found = look_at(tmp_path / name, name)
    return found.kind, found.reason


def test_a_whole_photograph(tmp_path: Path) -> None:
    data = jpeg(textured())
    (tmp_path / "a.png").write_bytes(data)  # the suffix is wrong
    found = look_at(tmp_path / "a.png", "x/a.png")
    assert (found.image, found.kind, found.format) == ("x/a.png", "", "JPEG")
    assert (found.height, found.width, found.size) == (*SHAPE, len(data))
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.likeness is not None
    assert found.likeness.shape == (4,)
    assert found.field is not None
    assert found.field.ellipse is not None
    assert found.field.ellipse.rx / found.field.width == pytest.approx(0.46 * SHAPE[0] / SHAPE[1], abs=0.01)


def test_height_and_width_are_those_looked_at(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(jpeg(textured(), exif=turned))
    found = look_at(tmp_path / "a.jpg", "a.jpg")
    assert (found.height, found.width) == SHAPE[::-1]


def test_a_large_jpeg_tells_the_size_of_the_file(tmp_path: Path) -> None:
    large = cv2.resize(textured(), (2400, 1800), interpolation=cv2.INTER_LINEAR)
    (tmp_path / "a.jpg").write_bytes(jpeg(large))
    found = look_at(tmp_path / "a.jpg", "a.jpg")
    assert (found.height, found.width) == (1800, 2400)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_cut_off(tmp_path: Path, share: float) -> None:
    data = jpeg(textured())
    assert seen(tmp_path, data[: int(share * len(data))])[0] == "unreadable"


def test_end_mark_lost(tmp_path: Path) -> None:
    assert seen(tmp_path, jpeg(textured())[:-2])[0] == "unreadable"


def test_a_hole_that_lenient_decoders_pass_over(tmp_path: Path) -> None:
    data = bytearray(jpeg(textured()))
    middle = len(data) // 2
    data[middle : middle + 1024] = bytes(1024)
    Image.open(io.BytesIO(bytes(data))).load()
    assert seen(tmp_path, bytes(data))[0] == "damaged"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<html>404</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "LFS"),
    ],
)
def test_no_image_at_all(tmp_path: Path, data: bytes, words: str) -> None:
    kind, reason = seen(tmp_path, data)
    assert kind == "unreadable"
    assert words in reason
    assert str(tmp_path) not in reason


def test_a_png_with_a_wrong_checksum(tmp_path: Path) -> None:
    data = bytearray(cv2.imencode(".png", textured())[1].tobytes())
    data[len(data) // 2] ^= 0xFF
    assert seen(tmp_path, bytes(data), "a.png")[0] == "unreadable"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((200, 200, 3), np.uint8),
        np.full((200, 200, 3), 255, np.uint8),
        np.full((200, 200, 3), (120, 60, 30), np.uint8),
        textured()[:20, :20],
    ],
    ids=["black", "white", "one colour", "tiny"],
)
def test_nothing_of_a_retina(tmp_path: Path, image: np.ndarray) -> None:
    assert seen(tmp_path, cv2.imencode(".png", image)[1].tobytes(), "a.png")[0] == "empty-field"


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    assert look_at(tmp_path / "nowhere.jpg", "nowhere.jpg").kind == "missing"
    (tmp_path / "folder.jpg").mkdir()
    assert look_at(tmp_path / "folder.jpg", "folder.jpg").kind == "unreadable"
