"""The command's own part: what it lists, prints, runs and refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from retinalab.cli import main
from retinalab.leaderboard import candidates, read_board
from tests.leaderboard.test_leaderboard import board, write_run


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """Words that name a board of two networks, and where its runs lie."""
    return [str(board(tmp_path)), f"output={tmp_path / 'runs'}"]


def measured(tmp_path: Path, *keys: str) -> dict[str, Path]:
    name, read = read_board(str(tmp_path / "two.yaml"))
    found = {one.key: one for one in candidates(name, read, [f"output={tmp_path / 'runs'}"])}
    return {key: write_run(found[key], wrong=0.3, seed=number) for number, key in enumerate(keys)}


def test_boards_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard"]) == 0
    out = capsys.readouterr().out
    assert "synthetic" in out
    assert "ellg-ladder" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("word", ["seeds=1", "--run", "--markdown"])
def test_what_is_for_one_board_needs_its_name(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", word]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith(f"retinalab: {word} is for one leaderboard. Name it first;")


def test_what_is_missing_is_run_and_takes_over_what_it_shares(
    two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = measured(tmp_path, "narrow")
    ran: list[list[str]] = []

    def stand_in(words: list[str], check: bool) -> Any:
        ran.append(words)
        measured(tmp_path, "wide")
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(subprocess, "run", stand_in)
    assert main(["leaderboard", *two, "--run"]) == 0
    (words,) = ran
    assert "train.task.backbone=resnet34" in words
    assert words[-2:] == ["--reuse", str(folders["narrow"].resolve())]
    assert "not measured" not in capsys.readouterr().out


def test_a_method_that_fails_is_told_and_the_others_are_run(
    two: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda words, check: subprocess.CompletedProcess(words, 2))
    assert main(["leaderboard", *two, "--run"]) == 2
    err = capsys.readouterr().err
    assert "Narrow was not measured (exit status 2)" in err
    assert "Wide was not measured (exit status 2)" in err


def test_the_table_goes_into_a_document(two: list[str], tmp_path: Path) -> None:
    measured(tmp_path, "narrow", "wide")
    document = tmp_path / "README.md"
    document.write_text("# Title\n<!-- leaderboard two -->\n<!-- end of leaderboard two -->\nafter\n")
    assert main(["leaderboard", *two, "--into", str(document)]) == 0
    text = document.read_text()
    assert text.startswith("# Title\n<!-- leaderboard two -->\n**Two networks**")
    assert text.endswith("<!-- end of leaderboard two -->\nafter\n")
    assert text.count("| Narrow |") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["synthetik"], "synthetik"),
        (["synthetic", "canet-ladder"], "Unexpected 'canet-ladder'"),
        (["synthetic", "--into", "nowhere.md"], "there is no such file"),
        (["synthetic", "data.colour=red"], "data.colour"),
    ],
)
def test_bad_words_are_refused_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_document_without_the_marks_is_left_alone(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "README.md"
    document.write_text("nothing\n")
    assert main(["leaderboard", *two, "--into", str(document)]) == 2
    assert "<!-- leaderboard two -->" in capsys.readouterr().err
    assert document.read_text() == "nothing\n"
