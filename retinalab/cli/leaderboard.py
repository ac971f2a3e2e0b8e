"""The command that holds methods side by side: one data set, one protocol, one budget."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.started import started
from retinalab.cli.written import write_output
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.leaderboard import Candidate, Standings
    from retinalab.leaderboard.standings import Row

__all__ = ["add_leaderboard_arguments", "leaderboard"]


def add_leaderboard_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``retinalab leaderboard``."""
    parser.set_defaults(overrides_allowed=True)
    parser.add_argument(
        "rest_words",
        nargs="*",
        metavar="BOARD key=value",
        help="a board, or the path of its YAML file; without one they are listed. key=value: for every entry, such as "
        "data.root=FOLDER, output=FOLDER, seeds=1",
    )
    parser.add_argument("--run", action="store_true", help="run what is missing, one method after the other")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the commands of what is missing and stop"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FILE",
        help="write the Markdown between the board's marks in this document",
    )


def leaderboard(known: argparse.Namespace) -> int:
    """List the boards, or print one; with ``--run`` measure what is missing."""
    words = [*known.rest_words, *known.rest]
    names = [word for word in words if "=" not in word]
    given = [word.removeprefix("--") for word in words if "=" in word]
    if wrong := [word for word in names if word.startswith("-")] or names[1:]:
        raise RetinalabError(f"Unexpected {wrong[0]!r}. Give one leaderboard, then overrides as key=value.")
    if known.into is not None and not known.into.is_file():
        raise RetinalabError(
            f"--into {known.into}: there is no such file. Name a document that has the board's marks."
        )
    if not names:
        options = {
            "--run": known.run,
            "--dry-run": known.dry_run,
            "--markdown": known.markdown,
            "--into": known.into,
        }
        if unused := [*given, *(option for option, value in options.items() if value)]:
            raise RetinalabError(
                f"{unused[0]} is for one leaderboard. Name it first; retinalab leaderboard lists them."
            )
        return _list()

    from retinalab.leaderboard import candidates, read_board, standings
    from retinalab.leaderboard.text import into, markdown, standings_lines

    name, board = read_board(names[0])
    found = candidates(name, board, given)
    filled = standings(name, board, found)
    if known.dry_run:
        print("\n".join(row.command for row in filled.missing) or "Nothing is missing.")
        return 0
    status = 0
    if known.run:
        status = _run(filled, found)
        filled = standings(name, board, found)
    command = " ".join(["retinalab leaderboard", *words])
    if known.into is not None:
        text = into(known.into.read_text(encoding="utf-8"), name, markdown(filled, command))
        if text is None:
            raise RetinalabError(
                f"{known.into} has no marks of the board. Add the lines '<!-- leaderboard {name} -->' and "
                f"'<!-- end of leaderboard {name} -->' where the table shall stand."
            )
        write_output(known.into, text)
        print(known.into)
    else:
        print("\n".join(markdown(filled, command) if known.markdown else standings_lines(filled)))
    return status


def _list() -> int:
    from retinalab.leaderboard import read_board
    from retinalab.leaderboard.board import BOARDS

    for file in sorted(BOARDS.glob("*.yaml")):
        name, board = read_board(file.stem)
        print(textwrap.fill(f"{name:12s} {board.title}", 80, subsequent_indent=" " * 13))
    print("\nOne of them: retinalab leaderboard NAME")
    return 0


def _run(filled: Standings, found: Sequence[Candidate]) -> int:
    """Run each entry that lacks a run, as a process of its own; what fails is told and the next begun.

    Stages that an entry has in common with one that was run before, such as the baseline of every row of an ablation,
    are taken over from it.
    """
    from retinalab.leaderboard.standings import newest

    by_key = {one.key: one for one in found}
    done = [row for row in filled.rows if row.run is not None]

    def words(row: Row) -> list[str]:
        one = by_key[row.key]
        same = [
            str(other.run) for other in done if by_key[other.key].experiment.paper == one.experiment.paper
        ]
        return [*one.command[1:], *(word for run in same for word in ("--reuse", run))]

    status = 0
    for row, ended in started(filled.missing, lambda row: row.command, words):
        if ended:
            print(f"retinalab: {row.title} was not measured (exit status {ended})", file=sys.stderr)
            status = 2
        elif (run := newest(by_key[row.key])) is not None:
            done.append(replace(row, run=run))
    return status
