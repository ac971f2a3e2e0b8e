"""The benchmarks of indexing and hashing measure what they say, on a handful of files; no time is judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

Benchmark = Callable[[str], ModuleType]


def test_hashing(benchmark: Benchmark, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, folder = tmp_path / "new/hash.json", tmp_path / "temporary"
    folder.mkdir()
    words = f"--count 5 --megabytes 0.02 --repeats 2 --threads 2 --folder {folder} --out {out}".split()
    benchmark("hash_speed").main(words)
    found = json.loads(out.read_text())
    assert 50_000 < found["bytes"] < 150_000
    assert list(found["medians"]) == ["cold", "warm"]
    assert {"plain reading", "manifest written", "manifest verified"} <= set(found["medians"]["cold"])
    assert all(row["seconds"] > 0 for rows in found["medians"].values() for row in rows.values())
    assert list(folder.iterdir()) == []
    assert "| plain reading |" in capsys.readouterr().out
    benchmark("hash_speed").main(["--count", str(10**9), "--out", str(tmp_path / "none.json")])
    assert "not measured" in capsys.readouterr().out
    assert not (tmp_path / "none.json").exists()


def test_the_files_written_differ_and_are_of_the_size_asked(benchmark: Benchmark, tmp_path: Path) -> None:
    total = benchmark("hash_speed").write_files(tmp_path, 6, 0.01)
    contents = [path.read_bytes() for path in tmp_path.iterdir()]
    assert len(set(contents)) == 6
    assert sum(map(len, contents)) == total
    assert all(5_000 < len(content) < 15_100 for content in contents)


def test_a_drawn_set_of_full_size_has_the_published_grades(benchmark: Benchmark, tmp_path: Path) -> None:
    module = benchmark("index_speed")
    module.write_set(tmp_path, 352)
    table = pd.read_csv(tmp_path / "trainLabels.csv")
    assert table["level"].value_counts().sort_index().tolist() == [259, 24, 53, 9, 7]  # 1 in 99.8
    assert sorted(f"{name}.jpeg" for name in table["image"]) == sorted(
        path.name for path in (tmp_path / "train").iterdir()
    )
    one = (tmp_path / "train/1_left.jpeg").stat()
    assert (one.st_size, one.st_blocks) == (620_000, 0)


def test_indexing(
    benchmark: Benchmark,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = benchmark("index_speed")
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(module, "command", lambda root, *words: asked.append(words))
    out = tmp_path / "index.json"
    module.main(["--photographs", "10", "--repeats", "2", "--folder", str(tmp_path), "--out", str(out)])
    found = json.loads(out.read_text())
    assert found["photographs"] == 10
    assert {len(seconds) for seconds in found["seconds"].values()} == {2}
    assert found["goals"] == {"retinalab data index": 5.0, "retinalab data check --quick": 30.0}
    assert sorted(asked) == sorted([("index", "eyepacs"), ("check", "eyepacs", "--quick")] * 2)
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]
    assert "| retinalab data check --quick |" in capsys.readouterr().out


def test_a_command_that_fails_is_told(benchmark: Benchmark, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)index.*exit status 2.*holds no folder 'train'"):
        benchmark("index_speed").command(tmp_path, "index", "eyepacs")
