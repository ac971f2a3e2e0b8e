"""PAM against the same pixels in PPM and PNG, which other decoders read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retinalab.data.decode import decode, image_size, read_mask
from retinalab.errors import RetinalabError

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (37, 51, 4), dtype=np.uint8)


def pam(pixels: np.ndarray, highest: int = 255, head: str = "") -> bytes:
    height, width, depth = pixels.shape
    kind = ">u2" if highest > 255 else "u1"
    name = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}[depth]
    told = head or f"WIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {highest}\nTUPLTYPE {name}\n"
    return b"P7\n# of a camera\n" + told.encode() + b"ENDHDR\n" + pixels.astype(kind).tobytes()


@pytest.mark.parametrize(("depth", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_each_number_of_channels_is_read_as_the_png_of_it(tmp_path: Path, depth: int, mode: str) -> None:
    pixels = COLOURS[..., :depth]
    (tmp_path / "a.pam").write_bytes(pam(pixels))
    Image.fromarray(pixels.squeeze(), mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.pam"), decode(tmp_path / "a.png"))
    assert image_size(tmp_path / "a.pam") == (37, 51)


def test_16_bits_and_black_and_white(tmp_path: Path) -> None:
    path = tmp_path / "a.pam"
    path.write_bytes(pam(COLOURS[..., :3].astype(np.uint16) * 257, 65535))
    np.testing.assert_array_equal(decode(path), COLOURS[..., :3])
    drawn = COLOURS[..., :1] > 99
    path.write_bytes(pam(drawn, 1))
    np.testing.assert_array_equal(read_mask(path, binary=True), drawn[..., 0])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pam(COLOURS)[:-1], "more or fewer pixels"),
        (pam(COLOURS) + b"\0", "more or fewer pixels"),
        (
            pam(COLOURS, head="WIDTH 51\nHEIGHT 38\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\n"),
            "more or fewer pixels",
        ),
        (pam(COLOURS, head="WIDTH 51\nDEPTH 4\nMAXVAL 255\n"), "no HEIGHT"),
        (pam(COLOURS, head="WIDTH 51\nHEIGHT 37\nDEPTH 9\nMAXVAL 255\n"), "9 channels up to 255"),
        (pam(COLOURS[..., :1], head="WIDTH 51\nHEIGHT 37\nDEPTH 1\nMAXVAL 1\n"), "brighter than its header"),
        (
            pam(COLOURS, head="WIDTH 50000\nHEIGHT 50000\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\n"),
            "claims more than 179 million",
        ),
        (pam(COLOURS, head="WIDTH 51\nHEIGHT 37\nDEPTH 4\nMAXVAL 255\n"), "order of its colours is not told"),
        (b"P7\n" + b"a\n" * 5000, "has no end"),
    ],
)
def test_a_header_that_does_not_hold_is_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.pam"
    path.write_bytes(data)
    with pytest.raises(RetinalabError, match=said) as error:
        decode(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
