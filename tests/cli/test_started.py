"""Commands started one after the other."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest

from retinalab.cli.started import started


@pytest.fixture
def statuses(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Exit status of a command by its last word; every other one ends with 0."""
    given: dict[str, int] = {}

    def stand_in(words: Sequence[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        assert not check
        return subprocess.CompletedProcess(words, given.get(words[-1], 0))

    monkeypatch.setattr(subprocess, "run", stand_in)
    return given


def test_each_is_numbered_and_its_status_given_before_the_next_is_asked_for(
    statuses: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    statuses["b"] = 2
    ended: list[tuple[str, int | None]] = []

    def words(item: str) -> list[str] | None:
        assert len(ended) == "abcd".index(item)
        return None if item == "c" else ["exp", item]

    for one in started("abcd", lambda item: f"retinalab exp {item}", words):
        ended.append(one)
    assert ended == [("a", 0), ("b", 2), ("c", None), ("d", 0)]
    lines = capsys.readouterr().out.split("\n")
    assert [line for line in lines if line] == [
        "1 of 4: retinalab exp a",
        "2 of 4: retinalab exp b",
        "4 of 4: retinalab exp d",
    ]


def test_an_interrupted_one_ends_all(statuses: dict[str, int]) -> None:
    statuses["b"] = 130
    begun = started("abc", str, lambda item: [item])
    assert next(begun) == ("a", 0)
    with pytest.raises(KeyboardInterrupt):
        next(begun)
