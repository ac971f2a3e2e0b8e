"""retinalab data cache: what it will take, then the photographs themselves, which a run then finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retinalab.cli import main
from retinalab.testing import write_fake_set


def test_an_estimate_prepares_nothing_and_the_photographs_are_those_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_fake_set("table", tmp_path / "table", 40)
    cache = tmp_path / "cache"
    words = [
        "data",
        "cache",
        "baseline",
        "deepdrid",
        "data.set=table",
        f"data.root={root}",
        f"data.cache={cache}",
    ]
    words += ["data.size=32", "data.crop=32", "data.codec=delta"]
    assert main([*words, "--estimate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "table: 40 photographs at 32 px"
    assert lines[1] == "  raw    123 kB, read the fastest"  # 40 x 32 x 32 x 3 bytes
    assert re.fullmatch(r"  delta  about \d+ kB, every pixel kept, data\.codec=delta", lines[2])
    assert re.fullmatch(r"  jpeg   about \d+ kB, lossy, only when asked for", lines[3])
    assert lines[4].endswith(f"in {cache}")
    assert max(map(len, lines[:4])) <= 80
    assert not cache.exists()
    for _ in range(2):
        assert main(words) == 0
        assert capsys.readouterr().out == "prepared: table at 32 px\n"
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    assert folder.name.endswith("-delta")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["baseline", "synthetic", "more"], "Unexpected 'more'"),
        (["baseline", "--estimat"], "--estimat"),
        (["baseline", "data.codec=png"], "data.codec"),
    ],
)
def test_what_is_wrong_is_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "cache", *words]) == 2
    assert told in capsys.readouterr().err.splitlines()[0]
