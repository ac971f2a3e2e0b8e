"""What a file gives away: type by content, bytes, and the quality that Pillow was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retinalab.metrics.shortcut import file_features, jpeg_quality
from retinalab.metrics.shortcut.source import FILE


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8))


def named(path: Path | None, height: float = 40, width: float = 60) -> dict[str, float]:
    return dict(zip(FILE, file_features(path, height, width).tolist(), strict=True))


@pytest.mark.parametrize("quality", [25, 35, 50, 75, 85, 90, 95, 97])
def test_quality_is_what_the_encoder_was_asked_for(quality: int, tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg", quality=quality)
    assert jpeg_quality(tmp_path / "a.jpg") == pytest.approx(quality, abs=1)


def test_below_quality_25_the_estimate_is_too_high_but_keeps_the_order(tmp_path: Path) -> None:
    found = []
    for quality in (1, 5, 10, 20, 25):
        picture().save(tmp_path / "a.jpg", quality=quality)
        found.append(jpeg_quality(tmp_path / "a.jpg"))
    assert found == sorted(found)
    assert found[0] < found[-1] == pytest.approx(25, abs=1)


def test_quality_is_found_behind_metadata_and_absent_in_a_cut_header(tmp_path: Path) -> None:
    picture().save(
        tmp_path / "a.jpg", quality=80, exif=b"Exif\x00\x00" + b"\xff\xdb" * 20000, comment=b"x" * 60000
    )
    assert jpeg_quality(tmp_path / "a.jpg") == pytest.approx(80, abs=1)
    for length in (2, 5, 30):
        (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:length])
        assert np.isnan(jpeg_quality(tmp_path / "cut.jpg"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
def test_the_first_bytes_tell_the_type(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "photograph.dat"
    picture().save(path, format=kind)
    found = named(path)
    assert [name for name in FILE if name.startswith("type") and found[name]] == [f"type {kind}"]
    size = path.stat().st_size
    assert found["bytes"] == pytest.approx(np.log2(size))
    assert found["bytes per pixel"] == pytest.approx(np.log2(size / 2400))
    assert (found["width"], found["height"], found["aspect"]) == (np.log2(60), np.log2(40), 1.5)
    assert np.isnan(found["JPEG quality"]) == (kind != "JPEG")


def test_a_drawn_photograph_has_a_size_and_no_file(tmp_path: Path) -> None:
    for path in (None, tmp_path / "absent.jpg"):
        found = named(path)
        assert {name for name, value in found.items() if not np.isnan(value)} == {"width", "height", "aspect"}
    assert np.isnan(list(named(None, np.nan, np.nan).values())).all()
