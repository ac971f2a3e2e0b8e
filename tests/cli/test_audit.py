"""``retinalab audit``: what it prints, writes and returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retinalab.cli import main

HEAD = "table,row,check,value,unit,n,from,averaged,assumes\n"
RIGHT = HEAD + "Table 1,ours,share,65.0,%,103,,,\nTable 1,theirs,share,85.1,%,120,,10,\n"
WRONG = RIGHT + 'Table 2,ours,share,65.1,%,103,,,\nTable 2,again,same,57,,,54,,"the text is right"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "printed.csv"


def test_the_status_says_whether_all_is_possible(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(RIGHT, encoding="utf-8")
    assert main(["audit", str(file)]) == 0
    out = capsys.readouterr().out
    assert "Impossible" not in out
    assert next(line for line in out.splitlines() if line.startswith("Table 1")).split()[2:] == [
        "2", "2", "1", "-", "-", "-",
    ]  # fmt: skip
    file.write_text(WRONG, encoding="utf-8")
    assert main(["audit", str(file)]) == 1
    out = capsys.readouterr().out
    assert "Table 2, ours: 65.1 % (share)" in out
    assert "67/103 = 65.049 %" in out
    assert "if: the text is right" in out
    assert "theirs" not in out
    assert main(["audit", str(file), "--all"]) == 1
    assert "theirs: 85.1 % (share)" in capsys.readouterr().out
    file.write_text(WRONG.replace("103", "many"), encoding="utf-8")
    assert main(["audit", str(file)]) == 2
    err = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in err] == ["retinalab", "retinalab"]
    assert "line 2: 'many' is no n." in err[0]


def test_findings_are_written_as_json(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(WRONG, encoding="utf-8")
    assert main(["audit", str(file), "--json", str(tmp_path / "found.json")]) == 1
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert [one["verdict"] for one in found["checks"]] == ["possible", "possible", "impossible", "impossible"]
    assert [one["telling"] for one in found["checks"]] == [True, False, True, True]
    assert found["checks"][2]["n"] == "103"
    assert found["summary"] == {
        "checks": 4, "possible": 2, "not_telling": 1, "impossible": 1, "impossible_if_assumed": 1, "untestable": 0,
    }  # fmt: skip
    capsys.readouterr()
    assert main(["audit", str(file), "--json", str(tmp_path / "none" / "found.json")]) == 2
    assert "Name a file in a folder that exists." in capsys.readouterr().err


@pytest.mark.parametrize("paper", ["canet", "clpi", "sian", "ellg"])
def test_a_papers_own_tables_fit_a_terminal(paper: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(f"retinalab_{paper}")
    assert main(["audit", paper, "--all"]) == 1
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_name_that_is_no_file_and_no_paper_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("retinalab_canet")
    assert main(["audit", "canett"]) == 2
    assert "Unknown table 'canett'. Did you mean 'canet'?" in capsys.readouterr().err


def test_the_help_explains_every_column_and_check(capsys: pytest.CaptureFixture[str]) -> None:
    from retinalab.audit import CHECKS, COLUMNS

    with pytest.raises(SystemExit) as ended:
        main(["audit", "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in (*COLUMNS, *CHECKS))
    assert "Exit status: 0" in out
