"""Descriptions of shards: as they were written, or refused."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retinalab.data.description import closed, read_description
from retinalab.errors import RetinalabError

ENTRIES = [
    {"image": name, "box": [3, 4, 500], "reason": "", "likeness": [1, 2, 3, 4]} for name in ("IDRiD_01", "b")
]
DESCRIPTION = {
    "format": 3,
    "photographs": ENTRIES,
    "files": {"images": {"ends": [700, 1300], "sums": [11, 4_000_000_000]}},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "00007.json"


def test_the_checksum_is_that_of_what_stands_before_it(path: Path) -> None:
    path.write_bytes(closed(DESCRIPTION))
    known = read_description(path)
    assert known.pop("sum") == zlib.crc32(json.dumps(DESCRIPTION).encode())
    assert known == DESCRIPTION


def test_no_altered_byte_goes_unnoticed(path: Path) -> None:
    whole = closed(DESCRIPTION)
    name = whole.rindex(b"sum")  # by another name it is no checksum, and the rest is what was written
    rng = np.random.default_rng(0)
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << int(rng.integers(8))
        for content in [whole[:place]] + [bytes(altered)] * (place not in range(name, name + 3)):
            path.write_bytes(content)
            with pytest.raises(RetinalabError, match=r"00007\.json is damaged\. Remove it and try again\."):
                read_description(path)


def test_one_that_was_written_without_a_checksum_is_read(path: Path) -> None:
    path.write_text(json.dumps(DESCRIPTION))
    assert read_description(path) == DESCRIPTION


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        None,
        {},
        {"photographs": 3},
        {"photographs": [{}]},
        {"photographs": [3]},
        {"photographs": ENTRIES, "files": None},
        {"photographs": ENTRIES, "files": {"images": None}},
        {"photographs": ENTRIES, "files": {"images": {"ends": [1], "sums": [1, 2]}}},
        {"photographs": ENTRIES, "files": {"images": {"ends": [2, 1], "sums": [1, 2]}}},
    ],
)
def test_what_no_version_writes_is_damaged(wrong: Any, path: Path) -> None:
    path.write_text(json.dumps(wrong))
    with pytest.raises(RetinalabError, match="damaged"):
        read_description(path)
