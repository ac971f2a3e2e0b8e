"""Room that prepared photographs take: estimates, and the choice between codecs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from retinalab.data import space
from retinalab.data.codec import Codec
from retinalab.data.space import Needed, as_text, available_memory, free_disk, lossless_codec, reserve
from retinalab.errors import RetinalabError

GB = 10**9


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch):
    """Sets memory and free disk."""

    def put(memory: int, disk: int) -> None:
        monkeypatch.setattr(space, "available_memory", lambda: memory)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": disk})())

    return put


def test_raw_photographs_take_three_bytes_a_pixel() -> None:
    assert Needed(88_702, 1024, masks=False).bytes_in("raw") == 88_702 * 1024 * 1024 * 3
    needed = Needed(10, 512, masks=True)
    assert needed.bytes_in("raw") > needed.bytes_in("delta") > needed.bytes_in("jpeg") > 0


@pytest.mark.parametrize(
    ("size", "codec", "kilobytes"),
    [
        (512, "delta", 255), (1024, "delta", 855), (512, "jpeg", 76), (1024, "jpeg", 235),
        (128, "delta", 19), (256, "jpeg", 21),
    ],
)  # fmt: skip
def test_estimates_are_near_what_photographs_take(size: int, codec: Codec, kilobytes: int) -> None:
    """Measured one by one on real photographs with other programs' encoders and with these."""
    found = Needed(1, size, masks=False).bytes_in(codec) / 1000
    assert found == pytest.approx(kilobytes, rel=0.15)


@pytest.mark.parametrize(
    ("memory", "disk", "expected"),
    [
        (400 * GB, 1000 * GB, "raw"),
        (300 * GB, 1000 * GB, "raw"),
        (290 * GB, 1000 * GB, "delta"),  # more than half of the memory
        (400 * GB, 160 * GB, "delta"),  # nine tenths of the disk are less
        (400 * GB, 170 * GB, "raw"),
    ],
)
def test_raw_is_for_what_memory_and_disk_hold(
    room, tmp_path: Path, memory: int, disk: int, expected: str
) -> None:
    room(memory, disk)
    needed = Needed(150 * GB // (3 * 1000 * 1000), 1000, masks=False)
    assert lossless_codec(needed, tmp_path / "not/there/yet") == expected


def test_what_cannot_fit_is_refused_with_a_codec_that_would(room, tmp_path: Path) -> None:
    needed = Needed(50_000, 1000, masks=False)
    room(400 * GB, 60 * GB)
    reserve(needed, "delta", tmp_path)
    with pytest.raises(
        RetinalabError, match=r"150 GB raw in .*, 60 GB are free\. .* set data\.codec=delta, or"
    ):
        reserve(needed, "raw", tmp_path)
    room(400 * GB, 20 * GB)
    with pytest.raises(RetinalabError, match=r"data\.codec=jpeg \(lossy\)"):
        reserve(needed, "delta", tmp_path)
    room(400 * GB, 1 * GB)
    with pytest.raises(RetinalabError, match=r"1\.0 GB are free\. Free space, or name another folder"):
        reserve(needed, "jpeg", tmp_path)


def test_memory_is_the_machines_or_the_limit_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = available_memory()
    assert 0 < here < 1 << 50
    monkeypatch.setattr(space, "_of_machine", lambda: 5 * GB)
    monkeypatch.setattr(space, "_of_control_groups", lambda: iter([1 << 62, 3 * GB, 4 * GB]))
    assert available_memory() == 3 * GB


def test_disk_is_that_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "a/b") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)


def test_sizes_have_units() -> None:
    assert [as_text(n) for n in (12, 5_000, 6_300_000, 279 * GB, 2_500 * GB)] == [
        "12 bytes", "5 kB", "6.3 MB", "279 GB", "2.5 TB",
    ]  # fmt: skip
