"""The command that holds a paper's printed values beside what was measured of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.written import check_output, write_output
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.claims import Claim
    from retinalab.reproduction import FilledTable

__all__ = ["add_table_arguments", "table"]

_FORMATS = {".txt": "text", ".md": "markdown", ".csv": "csv", ".html": "html", ".htm": "html"}


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``retinalab table``."""
    parser.set_defaults(overrides_allowed=True)
    parser.add_argument("paper", help="as retinalab papers lists it")
    parser.add_argument(
        "rest_words",
        nargs="*",
        metavar="TABLE key=value",
        help="a table, figure or text of the paper; without one they are listed. key=value: folders for the commands, "
        "as exp takes them (roots.idrid=FOLDER)",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        action="append",
        metavar="FOLDER",
        help="folder of runs to look in; may be repeated, new runs go to the first; default: runs",
    )
    parser.add_argument(
        "--kept",
        type=Path,
        metavar="FOLDER",
        help="figures kept of runs; default: results beside the experiments",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="SET=FOLDER",
        help="a data set's folder; may be repeated",
    )
    parser.add_argument(
        "--format", choices=["text", "markdown", "csv", "html"], help="default: by --out, else text"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of printing")
    parser.add_argument(
        "--run", action="store_true", help="run what is missing, one experiment after the other"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --run: print the commands and stop")
    parser.add_argument(
        "--claims", type=Path, metavar="FILE", help="printed values to use in the place of the paper's"
    )


def table(known: argparse.Namespace) -> int:
    """List a paper's tables, or print one beside what was measured; with ``--run`` measure what is missing."""
    from retinalab.claims import load_claims
    from retinalab.cli.table_run import run_missing

    words = [*known.rest_words, *known.rest]
    names = [word for word in words if "=" not in word]
    if wrong := [word for word in names if word.startswith("-")] or names[1:]:
        raise RetinalabError(f"Unexpected {wrong[0]!r}. Give one table, then folders as roots.SET=FOLDER.")
    style, given = _style(known), _given(known.data, [word for word in words if "=" in word])
    if known.dry_run and not known.run:
        raise RetinalabError("--dry-run prints what --run would run. Give both, or neither.")
    claims = load_claims(known.paper, known.claims)
    chosen = _chosen(names[0], claims, known.paper) if names else None
    tables = _tables(known, claims, given)
    if given and not known.run:
        _check_given(tables, given)
    status = 0
    if known.run:
        wanted = [one for one in tables if chosen in (None, one.key)]
        status = run_missing(wanted, [*given, *_output(known)], known.dry_run)
        if known.dry_run:
            return status
        tables = _tables(known, claims, given)
    _show(tables, chosen, style, given, known.out)
    return status


def _style(known: argparse.Namespace) -> str:
    style: str = known.format or _FORMATS.get(known.out.suffix.lower() if known.out else ".txt", "text")
    check_output(known.out, known.claims)
    if style == "html" and known.out is None:
        raise RetinalabError("A page is written to a file. Add --out FILE.html.")
    return style


def _given(data: Sequence[str], words: Sequence[str]) -> list[str]:
    """Overrides for every command: folders by data set, and what else was given."""
    from retinalab.data.sets import set_names
    from retinalab.errors import unknown

    found = list(words)
    for pair in data:
        name, equals, folder = pair.partition("=")
        if not equals or not folder:
            raise RetinalabError(f"--data {pair!r} is not of the form SET=FOLDER, such as idrid=data/idrid.")
        if name.replace("-", "_") not in set_names():
            raise unknown("data set", name, set_names())
        found.append(f"roots.{name.replace('-', '_')}={folder}")
    return [word.removeprefix("--") for word in found]


def _check_given(tables: Sequence[FilledTable], given: Sequence[str]) -> None:
    """Refuse what the experiments behind the printed commands do not know."""
    from retinalab.experiment import load_experiment

    recipes = (recipe for one in tables for row in one.rows for recipe in row.recipes())
    recipe = next(recipes, None)
    if recipe is not None:
        load_experiment(recipe.paper, recipe.name, list(given))


def _chosen(name: str, claims: Sequence[Claim], paper: str) -> str:
    """The key of a table, by its key or by what the paper calls it."""
    from retinalab.errors import unknown

    labels = {claim.label: claim.place.table for claim in claims}
    keys = dict.fromkeys(labels.values())
    by_name = {key.lower(): key for key in keys}
    for label, key in labels.items():
        by_name.setdefault(label.lower(), key)
        by_name.setdefault(label.lower().removeprefix("table "), key)
        by_name.setdefault(label.lower().replace("figure ", "fig-"), key)
    if name.lower() not in by_name:
        raise unknown("table", name, keys, f"See: retinalab table {paper}")
    return by_name[name.lower()]


def _tables(
    known: argparse.Namespace, claims: Sequence[Claim], given: Sequence[str]
) -> tuple[FilledTable, ...]:
    from retinalab.registry import paper
    from retinalab.reproduction import filled, kept_runs, runs_below

    beside = paper(known.paper).experiments.resolve().parent / "results"
    if known.kept is not None and not known.kept.is_dir():
        raise RetinalabError(f"No folder {known.kept}. Give a folder of kept figures (*.json).")
    folders = known.runs or [Path("runs")]
    for folder in known.runs or ():
        if not folder.is_dir() and not known.run:
            raise RetinalabError(f"No folder {folder}. Give a folder that runs were written to.")
    roots = {
        key.removeprefix("roots."): Path(folder)
        for key, _, folder in (word.partition("=") for word in given)
        if key.startswith("roots.")
    }
    runs, faults = runs_below(folders, known.paper, roots)
    kept, more = kept_runs(known.kept or (beside if beside.is_dir() else None), known.paper, roots)
    for fault in (*faults, *more):
        print(f"retinalab: {fault}", file=sys.stderr)
    return filled(claims, [*runs, *kept])


def _output(known: argparse.Namespace) -> list[str]:
    return [f"output={known.runs[0]}"] if known.runs else []


def _show(
    tables: Sequence[FilledTable], chosen: str | None, style: str, given: Sequence[str], out: Path | None
) -> None:
    from retinalab.reproduction.markdown import list_markdown, table_markdown
    from retinalab.reproduction.page import write_tables
    from retinalab.reproduction.separated import separated
    from retinalab.reproduction.text import list_lines, table_lines

    shown = [one for one in tables if chosen in (None, one.key)]
    if style == "html" and out is not None:
        print(write_tables(shown, given, out))
        return
    if style == "csv":
        text = separated(shown, given)
    elif style == "markdown":
        lines = list_markdown(tables) if chosen is None else []
        text = "\n".join([*lines, *(line for one in shown for line in ["", *table_markdown(one, given)])])
    else:
        text = "\n".join(
            list_lines(tables, shown[0].paper) if chosen is None else table_lines(shown[0], given)
        )
    text = f"{text.strip()}\n" if style != "text" else f"{text.rstrip()}\n"
    if out is None:
        print(text, end="")
    else:
        write_output(out, text)
        print(out)
