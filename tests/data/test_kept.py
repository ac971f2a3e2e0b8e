"""What is prepared, listed and removed; folders of other names are never touched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from retinalab.cli import main
from retinalab.data.kept import kept_below, remove_kept
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.documents import read_json
from retinalab.testing import write_fake_set

DAY = 86_400


def made(cache: Path, name: str, photographs: int, days: int) -> Path:
    """Prepared photographs, last read some days ago."""
    folder = cache / name
    folder.mkdir(parents=True)
    for shard in range(-(-photographs // 64)):
        own = min(64, photographs - shard * 64)
        (folder / f"{shard:05d}.images").write_bytes(bytes(10 * own))
        (folder / f"{shard:05d}.json").write_text(json.dumps({"photographs": [{}] * own}))
        (folder / f"{shard:05d}.json.lock").touch()
    then = datetime.now().timestamp() - days * DAY
    for file in (*folder.iterdir(), folder):
        os.utime(file, (then, then))
    return folder


def test_what_is_prepared_is_what_prepare_wrote(tmp_path: Path) -> None:
    root = write_fake_set("table", tmp_path / "table", 9)
    source = open_set("table", root, {})
    prepare(source, source.records(), Preparation(32, folder=tmp_path / "cache", codec="delta"))
    (kept,) = kept_below(tmp_path / "cache")
    assert (kept.name, kept.side, kept.codec, kept.photographs) == ("table", 32, "delta", 9)
    assert kept.size == sum(file.stat().st_size for file in kept.path.iterdir())
    assert abs((kept.read - datetime.now()).total_seconds()) < DAY


def test_photographs_are_counted_and_sorted_by_when_they_were_read(tmp_path: Path) -> None:
    made(tmp_path, "hei_med-256-0123456789abcdef-jpeg95", 130, 3)
    made(tmp_path, "idrid-512-0123456789abcdef", 5, 40)
    (tmp_path / "synthetic-records").mkdir()
    (tmp_path / "idrid-512-0123456789abcdef.lock").touch()
    found = [(one.name, one.side, one.codec, one.photographs) for one in kept_below(tmp_path)]
    assert found == [("idrid", 512, "raw", 5), ("hei_med", 256, "jpeg95", 130)]
    assert kept_below(tmp_path / "absent") == []


def test_what_a_process_prepares_stays(tmp_path: Path) -> None:
    folder = made(tmp_path, "idrid-512-0123456789abcdef", 5, 40)
    (kept,) = kept_below(tmp_path)
    with FileLock(folder / "00000.json.lock"):
        assert remove_kept(kept) == 0
    assert (folder / "00000.images").is_file()
    assert remove_kept(kept) == kept.size
    assert list(tmp_path.iterdir()) == []


def test_prune_says_what_goes_and_removes_it_only_when_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = made(tmp_path, "idrid-512-0123456789abcdef", 5, 40)
    recent = made(tmp_path, "dr600-224-0123456789abcdef", 70, 3)
    words = ["data", "cache", "prune", "--cache", str(tmp_path)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "idrid" in told
    assert "dr600" not in told
    assert "Nothing was removed; --yes removes it." in told
    assert old.exists()
    assert main([*words, "--yes"]) == 0
    assert not old.exists()
    assert recent.exists()
    assert main([*words, "--unused", "2", "--yes"]) == 0
    assert not recent.exists()


def test_a_list_names_the_folder_once_and_fits_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, "a_set_with_a_name_of_some_length-2048-0123456789abcdef-delta", 5, 1)
    made(tmp_path, "idrid-512-fedcba9876543210", 70, 2)
    assert main(["data", "cache", "list", "--cache", str(tmp_path)]) == 0
    where, heads, first, second, total = capsys.readouterr().out.splitlines()
    assert where == f"in {tmp_path}:"
    assert max(map(len, (heads, first, second))) <= 80
    assert " ".join(heads.split()) == "data set pixels codec photographs size last read folder"
    assert first.split()[:4] == ["idrid", "512", "raw", "70"]
    assert first.split()[-1] == "…fedcba…"
    assert second.split()[-1] == "…012345…"
    assert heads.index("folder") == first.index("…fedcba…") == second.index("…012345…")
    assert total.startswith("2 prepared data sets, ")
    assert str(tmp_path) not in total


def test_a_list_looks_into_each_folder_once_and_reads_one_description_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [made(tmp_path, f"{name}-512-0123456789abcdef", 200, 3) for name in ("idrid", "dr600")]
    looked: list[str] = []
    read: list[str] = []

    def counting(call: Callable[[Any], Any], seen: list[str]) -> Callable[[Any], Any]:
        def counted(path: Any) -> Any:
            seen.append(os.fspath(path))
            return call(path)

        return counted

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, counting(getattr(os, name), looked))
    monkeypatch.setattr("retinalab.data.kept.read_json", counting(read_json, read))
    sizes = {one.path: one.size for one in kept_below(tmp_path)}
    monkeypatch.undo()
    assert sorted(looked) == sorted(map(str, (tmp_path, *folders)))
    assert sorted(read) == sorted(str(folder / "00003.json") for folder in folders)
    assert sizes == {folder: sum(file.stat().st_size for file in folder.iterdir()) for folder in folders}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list", "canet"], "Unexpected 'canet'"),
        (["prune", "--estimate"], "Unexpected '--estimate'"),
        (["list", "--yes"], "data cache list removes nothing"),
        (["prune", "--unused", "1"], "Give 2 or more"),
        (["baseline", "--yes"], "are of data cache list and prune"),
    ],
)
def test_what_is_wrong_is_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "cache", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
