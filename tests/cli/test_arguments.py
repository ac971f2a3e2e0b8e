"""A word that no command takes is refused in one line that says what was got and what to do."""

from __future__ import annotations

import argparse

import pytest

from retinalab.cli import main
from retinalab.cli.arguments import number, share, whole


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["evalute", "x"], "Unknown command 'evalute'. Did you mean 'evaluate'? Choices: audit,"),
        (["evaluate"], "The following arguments are required: RUN_OR_FILE. See: retinalab evaluate --help"),
        (["evaluate", "x", "--clinical", "--prevalence", "one"], "--prevalence 'one' is no share. Write 0.1 or 10%."),
        (["evaluate", "x", "--prevalance", "1"], "Unknown option '--prevalance'. Did you mean '--prevalence'?"),
        (["data"], "The following arguments are required: ACTION. See: retinalab data --help"),
        (["data", "chek"], "Unknown action 'chek'. Did you mean 'check'?"),
        (["data", "synth", "--count", "ten"], "--count 'ten' is no whole number."),
        (["data", "check", "idrid", "--size", "1.5"], "--size '1.5' is no whole number."),
        (["predict", "a", "b", "--checkpoint", "bst"],
         "Unknown --checkpoint 'bst'. Did you mean 'best'? Choices: best, last."),
        (["table", "canet", "--format", "pdf"], "Unknown --format 'pdf'. Choices: csv, html, markdown, text."),
        (["robustness", "r", "--limit"], "--limit: expected one argument. See: retinalab robustness --help"),
        (["robustness", "r", "--seed", "x"], "--seed 'x' is no whole number."),
        (["explain", "r", "--out", "o", "--gate", "wide"], "--gate 'wide' is no number."),
        (["exp"], "The following arguments are required: paper. See: retinalab exp --help"),
        (["report", "a", "b"], "Unexpected 'b'. See: retinalab report --help"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_refused_in_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith(f"retinalab: {told}")
    assert found.err.count("\n") == 1
    assert "--help" in found.err


@pytest.mark.parametrize(("text", "value"), [("0.1", 0.1), ("10%", 0.1), ("12.5 %", 0.125), ("1", 1.0)])
def test_a_share_may_be_given_in_per_cent(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "%", "nan", "ten", "1e999"])
def test_what_is_no_number_is_none_of_any_kind(text: str) -> None:
    for kind in (share, number, whole):
        with pytest.raises(argparse.ArgumentTypeError, match="is no "):
            kind(text)
