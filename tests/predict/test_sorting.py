"""Names are sorted as a list would be, and few of them are in memory at once."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinalab.errors import RetinalabError
from retinalab.predict.sorting import sorted_names

NAMES = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=6), max_size=60)


@given(NAMES, st.integers(1, 20))
def test_as_a_list_would_be(names: list[str], most: int) -> None:
    assert list(sorted_names(names, most)) == sorted(names)


def test_bytes_that_are_no_text() -> None:
    names = [
        raw.decode("utf-8", "surrogateescape") for raw in (b"\xff.jpg", b"a\n.jpg", b"\xc3\xa9.jpg", b"\x80")
    ]
    assert list(sorted_names(names, 2)) == sorted(names)


def test_memory_does_not_grow_with_the_names() -> None:
    count = 60_000
    order = np.random.default_rng(0).permutation(count)

    def names() -> Iterator[str]:
        return (f"photograph-with-a-long-name-{k:09d}.jpg" for k in order)

    tracemalloc.start()
    try:
        last, seen = "", 0
        for name in sorted_names(names(), 2_000):
            assert last < name
            last, seen = name, seen + 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == count
    assert peak < 1.5e6  # all names in a list take 6.5 million bytes


def test_no_room_for_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert list(sorted_names("ba", 3)) == ["a", "b"]
    with pytest.raises(RetinalabError, match=r"cannot be sorted in .*gone.* TMPDIR"):
        list(sorted_names("ba", 2))
