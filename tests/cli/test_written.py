"""Tests of the files that commands write where they were asked to."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinalab.cli.written import check_output, write_output
from retinalab.errors import RetinalabError


def test_a_file_that_is_read_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is spelt; another one beside it may be written."""
    monkeypatch.chdir(tmp_path)
    read = tmp_path / "table.csv"
    read.write_text("image\n", encoding="utf-8")
    with pytest.raises(RetinalabError, match=r"Cannot write table\.csv: .* Name another file"):
        check_output(Path("table.csv"), None, read)
    check_output(tmp_path / "other.json", read)
    check_output(None, read)


def test_folders_and_absent_folders_are_no_files(tmp_path: Path) -> None:
    """Before any work is done."""
    for target in (tmp_path, tmp_path / "absent" / "x.json"):
        with pytest.raises(RetinalabError, match="Name a file in a folder that exists"):
            check_output(target)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full leaves the earlier file whole and nothing beside it."""
    target = tmp_path / "x.json"
    write_output(target, "earlier")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("retinalab.cli.written.os.replace", full)
    with pytest.raises(RetinalabError, match="No space left on device"):
        write_output(target, "later")
    assert [(one.name, one.read_text(encoding="utf-8")) for one in tmp_path.iterdir()] == [
        ("x.json", "earlier")
    ]
