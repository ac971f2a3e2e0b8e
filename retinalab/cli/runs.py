"""The commands on run folders: list, show, disk, clean."""

from __future__ import annotations

import argparse
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retinalab.counted import counted
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.cli.arguments import Parser
    from retinalab.runs import ListedRun

__all__ = ["add_runs_arguments", "runs_clean", "runs_disk", "runs_list", "runs_show"]


def add_runs_arguments(parser: Parser) -> None:
    """Declare the arguments of ``retinalab runs``; without an action it lists."""
    _add_output(parser, Path("runs"))
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    for name, command, text in (
        ("list", runs_list, "runs with their state, folds and seeds done, main figure, size and date"),
        ("show", runs_show, "one run: what it computes, what of it is done, and who works on it"),
        ("disk", runs_disk, "what takes the room, and what of it can go"),
        ("clean", runs_clean, "say what of the runs can go and how much it is; with --yes remove it"),
    ):
        action: Parser = actions.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
        )
        action.set_defaults(command=command, parser=action)
        if name == "show":
            text = "its folder, such as runs/PAPER/EXPERIMENT/latest"
            action.add_argument("run", type=Path, metavar="RUN", help=text)
            continue
        _add_output(action, argparse.SUPPRESS)
        if name == "clean":
            action.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="these only; default: all")
            text = "runs that never finished too, whole; without it, of finished ones what only a resumption needs"
            action.add_argument("--unfinished", action="store_true", help=text)
            action.add_argument("--yes", action="store_true", help="remove it")


def runs_list(known: argparse.Namespace) -> int:
    """List the runs below an output folder."""
    from retinalab.runs import runs_below

    runs = runs_below(known.output)
    group = ""
    if runs:
        print(_columns("run", "state", "trained", "main figure", "size", "date (UTC)"))
    for run in runs:
        if run.group != group:
            group = run.group
            print(group)
        print(_row(run))
    print(f"{counted(len(runs), 'run')} in {known.output}")
    if runs:
        print("trained: folds and seeds done/all; date: when it ended, else when it began")
    return 0


def runs_show(known: argparse.Namespace) -> int:
    """Print what a run's folder says of it."""
    from retinalab.data.space import as_text
    from retinalab.runs import plan, read_run

    run = read_run(known.run)
    stages = run.experiment.get("stages")
    of = f"{run.done} of {counted(run.jobs, 'fold and seed', 'folds and seeds')} trained"
    going = sum(one.size for one in plan([run]))
    _say("folder", str(run.path))
    _say("state", f"{run.state}, {of}" if run.jobs else run.state)
    _say("at work", ", ".join(run.working))
    _say("command", str(run.provenance.get("command", "")))
    _say("stages", ", ".join(stages) if isinstance(stages, dict) else "")
    _say("done", ", ".join(run.steps))
    _say("began", _moment(run.provenance.get("started")))
    _say("ended", _moment(run.date) if run.state == "finished" else "")
    _say("code", str(run.provenance.get("commit", "")))
    _say("reuses", ", ".join(map(str, sorted(run.sources()))))
    _say("figure", "" if run.figure is None else f"{run.figure[0]} {run.figure[1]:.3f}")
    _say("size", as_text(run.size) + f", {as_text(going)} of it only for going on" * bool(going))
    for label in run.provenance.get("labels") or ():
        _say("label", str(label))
    return 0


def runs_disk(known: argparse.Namespace) -> int:
    """Sum up what the runs of each experiment take."""
    from retinalab.data.space import as_text, free_disk
    from retinalab.runs import plan, runs_below

    runs = runs_below(known.output)
    going: dict[str, int] = defaultdict(int)
    for one in plan(runs, unfinished=True):
        going[one.run.group] += 0 if one.kept else one.size
    groups: dict[str, list[ListedRun]] = defaultdict(list)
    for run in runs:
        groups[run.group].append(run)
    print(f"{'':44s}{'runs':>6s}{'size':>12s}{'can go':>12s}")
    for group, own in sorted(groups.items(), key=lambda entry: -sum(run.size for run in entry[1])):
        size = as_text(sum(run.size for run in own))
        print(f"{_short(group, 44):44s}{len(own):6d}{size:>12s}{as_text(going[group]):>12s}")
    total, free = as_text(sum(run.size for run in runs)), as_text(sum(going.values()))
    print(f"{'in all':44s}{len(runs):6d}{total:>12s}{free:>12s}")
    print(f"free: {as_text(free_disk(known.output))}")
    if sum(going.values()):
        print("What can go, and how: retinalab runs clean --unfinished")
    return 0


def runs_clean(known: argparse.Namespace) -> int:
    """Say what can go, and remove it where that was asked for."""
    from retinalab.data.space import as_text
    from retinalab.runs import half_removed, plan, read_run, remove, runs_below, size_below

    runs = runs_below(known.output)
    chosen = [read_run(path) for path in known.runs]
    foreign = [run for run in chosen if run.path not in {one.path for one in runs}]
    if foreign:
        raise RetinalabError(
            f"{foreign[0].path} does not lie below {known.output}. Give its output folder with --output PATH."
        )
    found = plan(runs, chosen, known.unfinished)
    removals = [one for one in found if not one.kept]
    halves = [] if chosen else half_removed(known.output)
    for one in removals:
        what = (
            "whole, unfinished"
            if one.whole
            else counted(len(one.files), "checkpoint to go on from", "checkpoints to go on from")
        )
        print(f"{as_text(one.size):>8s}  {one.run.group}/{one.run.path.name}\n{'':10s}{what}")
    for half in halves:
        print(
            f"{as_text(size_below(half)):>8s}  {half.relative_to(known.output)}\n{'':10s}its removal was interrupted"
        )
    for one in found:
        if one.kept:
            _wrapped(f"kept: {one.run.group}/{one.run.path.name}, since {one.kept}")
    total = sum(one.size for one in removals) + sum(map(size_below, halves))
    if not removals and not halves:
        print("Nothing can go." + " Runs that never finished: --unfinished." * (not known.unfinished))
        return 0
    if not known.yes:
        print(f"{as_text(total)} in all can go. Nothing was removed; --yes removes it.")
        return 0
    freed = sum(remove(one) for one in removals) + _remove_halves(halves)
    print(f"{as_text(freed)} removed.")
    return 0


def _remove_halves(folders: Sequence[Path]) -> int:
    import shutil

    from retinalab.runs import size_below

    freed = 0
    for folder in folders:
        size = size_below(folder)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise RetinalabError(
                f"Cannot remove {folder}: {error.strerror or error}. Check its permissions."
            ) from error
        freed += size
    return freed


def _add_output(parser: argparse.ArgumentParser, default: Any) -> None:
    text = "folder of the runs; default: runs"
    parser.add_argument("--output", type=Path, default=default, metavar="PATH", help=text)


def _row(run: ListedRun) -> str:
    from retinalab.data.space import as_text

    figure = ""
    if run.figure is not None:
        key = run.figure[0].removeprefix("test").removeprefix("/")
        figure = f"{_short(key, 18)} {run.figure[1]:.3f}"
    done = f"{run.done}/{run.jobs}" if run.jobs else ""
    return _columns(run.path.name, run.state, done, figure, as_text(run.size), run.date[:10])


def _columns(run: str, state: str, trained: str, figure: str, size: str, date: str) -> str:
    """A row of the list, within 80 columns."""
    return f"  {run:12s} {state:10s} {trained:>7s}  {figure:24s} {size:>8s}  {date}".rstrip()


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _moment(text: Any) -> str:
    return str(text or "").replace("T", " ").replace("+00:00", " UTC")


def _say(name: str, text: str) -> None:
    if text:
        _wrapped(f"{name + ':':10s}{text}", " " * 10)


def _wrapped(text: str, indent: str = "  ") -> None:
    lines: Iterable[str] = textwrap.wrap(
        text, 80, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    print("\n".join(lines))
