"""``retinalab evaluate --referral``: what it prints, the page, and its faults."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retinalab.cli import main

Said = pytest.CaptureFixture[str]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Predictions made elsewhere; a photograph's name is hostile."""
    chances = np.random.default_rng(0).dirichlet(np.ones(5), 60)
    rows = pd.DataFrame(chances, columns=[f"dr_p{k}" for k in range(5)])
    rows = rows.assign(
        image=[f"<b>{k}" for k in range(60)], dr=np.arange(60) % 5, dr_grade=chances.argmax(axis=1)
    )
    rows.to_csv(tmp_path / "<i>made.csv", index=False)
    return tmp_path / "<i>made.csv"


def test_table_and_page(table: Path, tmp_path: Path, capsys: Said) -> None:
    page = tmp_path / "page.html"
    assert main(["evaluate", str(table), "--referral", "--page", str(page)]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines() if str(tmp_path) not in line)
    assert "column" not in out
    assert len([line for line in out.splitlines() if line.startswith("  hand over")]) == 21
    assert out.rstrip().endswith("Research use only: not for diagnosis.")
    html = page.read_text()
    assert "Research use only" in html
    assert html.count('<svg class="chart"') == 3
    assert "<i>made" not in html
    assert "&lt;i&gt;made" in html
    assert "<script" not in html
    HTMLParser().feed(html)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--page", "x.html"], "--page belongs to the referral curve"),
        (["--referral", "--clinical"], "two readings"),
        (["--referral", "--page", "no/x.html"], "Cannot write no/x.html"),
        (["--referral", "--map", "dr=image"], "not a whole number"),
    ],
)
def test_faults_are_one_line(
    table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Said, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(table), *words]) == 2
    (line,) = (one for one in capsys.readouterr().err.splitlines() if one.startswith("retinalab: "))
    assert said in line
