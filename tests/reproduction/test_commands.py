"""Every command that a table prints for what is missing is one that a shell and this command line take."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from retinalab.claims import load_claims
from retinalab.cli import _parser
from retinalab.data.sets import set_names
from retinalab.experiment import load_experiment
from retinalab.reproduction import FilledTable, filled
from retinalab.reproduction.settings import needed_stages
from retinalab.reproduction.text import table_lines

PAPERS = ["canet", "clpi", "sian", "ellg"]


@cache
def tables(paper: str) -> tuple[FilledTable, ...]:
    pytest.importorskip(f"retinalab_{paper}")
    return filled(load_claims(paper), [])


def printed(paper: str) -> Iterator[list[str]]:
    """The words of each command as a shell reads them from the terminal: a backslash goes on in the next line."""
    for table in tables(paper):
        lines = iter(table_lines(table))
        for line in lines:
            text = line.strip()
            if text.startswith(("retinalab ", "python experiments/")):
                while text.endswith("\\"):
                    text = f"{text[:-1]} {next(lines).strip()}"
                yield shlex.split(text)


@pytest.mark.parametrize("paper", PAPERS)
def test_each_is_parsed_and_resolved(paper: str, repository: Path) -> None:
    found = {tuple(words) for words in printed(paper)}
    experiments = [words for words in found if words[:2] == ("retinalab", "exp")]
    assert len(experiments) >= 8
    for words in found:
        if words[0] == "python":
            assert (repository / words[1]).is_file(), words
            continue
        with contextlib.redirect_stderr(None):
            known, rest = _parser().parse_known_args(words[1:])
        if words[1] == "data":
            assert (known.set in set_names(), rest) == (True, []), words
            continue
        assert words[1] == "exp"
        assert rest == []
        name, *overrides = known.rest_words
        assert known.paper == paper
        assert all("=" in word for word in overrides)
        experiment = load_experiment(paper, name, overrides)
        used = {experiment.stages[stage].data.set for stage in needed_stages(experiment)} - {"synthetic"}
        assert used <= {str(key) for key in experiment.roots}, f"{words} names no folder for {used}"


@pytest.mark.parametrize("paper", PAPERS)
def test_each_is_that_of_its_row_and_none_is_absent(paper: str) -> None:
    wanted = {
        (recipe.name, *recipe.overrides)
        for table in tables(paper)
        for row in table.rows
        for recipe in row.recipes()
    }
    shown = {
        tuple(word for word in words[3:] if not word.startswith("roots."))
        for words in printed(paper)
        if words[1] == "exp"
    }
    assert wanted <= shown
