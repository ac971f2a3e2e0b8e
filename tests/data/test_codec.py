"""Codecs: what comes back, held against the pixels that went in and against other decoders."""

from __future__ import annotations

import io

import numpy as np
import pytest
import simplejpeg
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from retinalab.data.codec import CODECS, LOSSLESS, Codec, as_kept, decode_into, encoded, folder_ending


def back(codec: Codec, pixels: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    out = np.full_like(pixels, 9) if out is None else out
    decode_into(codec, np.frombuffer(encoded(codec, pixels), np.uint8), out)
    return out


def fundus(side: int = 64) -> np.ndarray:
    """A bright disc with smooth colours and a little noise, ``(1, side, side, 3)``."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    disc = np.hypot(x, y)[..., None] < 0.48
    colour = np.stack([180 - 80 * x, 90 + 40 * y, 40 + 20 * x], -1)
    noise = np.random.default_rng(0).normal(0, 2, colour.shape)
    return ((colour + noise) * disc).astype(np.uint8)[None]


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["raw", "delta", "zstd"]),
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
    st.integers(0, 2**32),
)
def test_every_pixel_comes_back(codec: Codec, shape: tuple[int, ...], seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    assert np.array_equal(back(codec, pixels), pixels)


def test_delta_stores_the_differences_of_neighbours_in_a_row() -> None:
    pixels = np.array([[[[5, 250], [7, 3], [4, 3]], [[0, 1], [0, 0], [255, 0]]]], np.uint8)
    stored = zstandard.ZstdDecompressor().decompress(encoded("delta", pixels))
    assert list(stored) == [5, 250, 2, 9, 253, 0, 0, 1, 0, 255, 255, 0]


def test_jpeg_is_read_alike_by_another_decoder_and_keeps_the_colours_of_every_pixel() -> None:
    pixels = fundus()
    content = encoded("jpeg", pixels)
    assert simplejpeg.decode_jpeg_header(content)[3] == "444"
    other = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    found = back("jpeg", pixels)
    assert np.abs(found[0] - other).max() <= 2
    error = np.square(found.astype(float) - pixels).mean()
    assert 10 * np.log10(255**2 / error) > 38
    assert np.array_equal(as_kept("jpeg", pixels), found)
    for codec in ("auto", *LOSSLESS):
        assert as_kept(codec, pixels) is pixels


def test_smaller_codecs_are_smaller_and_lie_in_folders_of_their_own() -> None:
    sizes = [len(encoded(codec, fundus(256))) for codec in CODECS]
    assert sizes[0] == 256 * 256 * 3
    assert sizes == sorted(sizes, reverse=True)
    assert len({folder_ending(codec) for codec in CODECS}) == len(CODECS)
    assert folder_ending("raw") == ""


@pytest.mark.parametrize("codec", [*CODECS, "zstd"])
def test_bytes_of_another_size_or_kind_are_refused(codec: Codec) -> None:
    content = np.frombuffer(encoded(codec, fundus(32)), np.uint8)
    for wrong, side in ((content, 16), (content, 48), (content[: len(content) // 2], 32)):
        with pytest.raises(ValueError):
            decode_into(codec, wrong, np.empty((1, side, side, 3), np.uint8))
    if codec != "raw":
        with pytest.raises(ValueError):
            decode_into(codec, np.full(len(content), 7, np.uint8), np.empty((1, 32, 32, 3), np.uint8))
