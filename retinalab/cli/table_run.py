"""Running what a paper's tables miss: one experiment after the other, each through ``retinalab exp``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retinalab.cli.started import started
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.reproduction import FilledTable, Recipe

__all__ = ["run_missing"]


def run_missing(tables: Sequence[FilledTable], given: Sequence[str], dry_run: bool) -> int:
    """Run each experiment that a row lacks, once, in the order of the tables; what fails is told and the next begun.

    Each is a process of its own, as if it had been typed: its provenance names the command, an interrupted one goes on
    when it is started again, and what has been measured meanwhile is not run again.

    Args:
        tables: whose rows are to be filled.
        given: overrides for every command: folders of data sets, ``output``, more ``seeds``.
        dry_run: print the commands only, with placeholders for folders that were not given.

    Returns:
        0; 2 where one or more could not be run.

    Raises:
        RetinalabError: an override that would make another protocol of a row.
    """
    recipes = dict.fromkeys(recipe for table in tables for row in table.rows for recipe in row.recipes())
    for recipe in recipes:
        _check(recipe, given)
    if not recipes:
        print("No row is missing that an experiment could fill.")
    if dry_run:
        for recipe in recipes:
            print(recipe.command(given))
        return 0

    def words(recipe: Recipe) -> list[str] | None:
        return None if recipe.missing(given) else recipe.words(given)[1:]

    status = 0
    for recipe, ended in started(list(recipes), lambda recipe: recipe.command(given), words):
        if ended is None:
            missing = ", ".join(recipe.missing(given))
            print(f"retinalab: left out, {missing} not given: {recipe.command(given)}", file=sys.stderr)
        status = status if ended == 0 else 2
    return status


def _check(recipe: Recipe, given: Sequence[str]) -> None:
    """Refuse overrides that make another protocol; folders, loader processes, devices and more seeds make none."""
    from retinalab.experiment import load_experiment
    from retinalab.reproduction import differences

    overrides = recipe.words(given)[4:]
    real = [word for word in overrides if word not in recipe.missing(given)]
    found = differences(recipe.experiment, load_experiment(recipe.paper, recipe.name, real))
    if found:
        raise RetinalabError(
            f"These overrides make another protocol of a row than the one published ({found[0]}). Leave them out, or "
            f"run it by itself: retinalab exp {recipe.paper} {recipe.name}."
        )
