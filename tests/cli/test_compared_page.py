"""``retinalab compare --html``: the page is written, and one clear line says what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinalab.cli import main
from retinalab.cli.compared_page import check_writable
from retinalab.errors import RetinalabError


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_writable(None)
    check_writable(tmp_path / "page.html")
    for target in (tmp_path, tmp_path / "no" / "page.html"):
        with pytest.raises(RetinalabError, match=r"^Cannot write .*Name a file in a folder that exists\.$"):
            check_writable(target)
        assert main(["compare", "no-run", "no-run", "--html", str(target)]) == 2
        assert "Cannot write" in capsys.readouterr().err


def test_a_matrix_has_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert main(["compare", "a", "b", "--matrix", "dr/kappa", "--html", str(page)]) == 2
    assert "--matrix has no page" in capsys.readouterr().err
    assert not page.exists()


def test_one_run_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latest").symlink_to(tmp_path / "run-1")
    assert main(["compare", str(tmp_path / "run-1"), str(tmp_path / "latest")]) == 2
    assert "are one run. Give each run once." in capsys.readouterr().err
