"""Which way leads to a published value: a run, another command, or none, and the words of that command."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal

from retinalab.claims import Claim
from retinalab.config import Experiment
from retinalab.experiment import load_experiment
from retinalab.reproduction.settings import needed_stages

__all__ = ["Recipe", "Recipes", "Way", "reason", "way_of"]

Way = Literal["run", "look", "command", "difference", "none", "stated"]
"""run: an experiment computes the metric; look: it shows the value, without a metric; command: another command shows
it; difference: of two other cells; none: nothing here leads to it; stated: no result, such as a size or a setting."""

DRAWN_SETS = ("synthetic",)
"""Data sets without files, which need no folder."""


def way_of(claim: Claim) -> Way:
    """Which way leads to a claim's value."""
    if claim.difference is not None:
        return "difference"
    if claim.experiment is not None and claim.metric is not None:
        return "run"
    if claim.command is not None:
        return "command"
    if claim.why_not is not None and (claim.metric is not None or claim.kind in ("result", "time")):
        return "none"
    if claim.experiment is not None and claim.kind in ("result", "time", "data"):
        return "look"
    return "stated" if claim.why_not is None else "none"


def reason(claim: Claim) -> str:
    """Why no command fills the cell, or what its command leaves to the reader; "" where a run fills it."""
    return {
        "run": "",
        "look": "its run shows this in its report; no figure of metrics.json",
        "command": "shown by a command of its own",
        "difference": "the difference of two cells, measured once both are",
        "none": claim.why_not or "",
        "stated": "stated, not measured by a run",
    }[way_of(claim)]


class Recipe:
    """An experiment with a row's overrides: what must be run for it.

    Args:
        paper: as ``retinalab papers`` lists it.
        name: of its experiment.
        overrides: of the row.
    """

    def __init__(self, paper: str, name: str, overrides: tuple[str, ...] = ()) -> None:
        self.paper, self.name, self.overrides = paper, name, overrides

    @cached_property
    def experiment(self) -> Experiment:
        """Resolved."""
        return load_experiment(self.paper, self.name, self.overrides)

    @cached_property
    def sets(self) -> tuple[str, ...]:
        """The data sets that need a folder, the primary one first."""
        experiment, test = self.experiment, self.experiment.test
        stages = [experiment.stages[name] for name in needed_stages(experiment)]
        named = [
            stages[-1].data.set,
            *(one for stage in stages for one in (stage.data.set, *stage.data.mix.sets)),
        ]
        named += [str(test.options.get(one, {}).get("set", one)) for one in test.sets]
        return tuple(dict.fromkeys(one for one in named if one not in DRAWN_SETS))

    def missing(self, given: Iterable[str]) -> tuple[str, ...]:
        """What must be given besides these words: a folder for each data set."""
        keys = {word.partition("=")[0].removeprefix("--") for word in given}
        primary = {"data.root"} & keys
        wanted = [f"roots.{one}=FOLDER" for k, one in enumerate(self.sets) if not (primary and k == 0)]
        return tuple(word for word in wanted if word.partition("=")[0] not in keys)

    def words(self, given: Iterable[str] = ()) -> list[str]:
        """The command, word by word, with what is given and placeholders for what is not.

        Args:
            given: overrides for every row, such as ``roots.idrid=FOLDER``; folders of sets that this one does not
                use are left out.
        """
        own = {f"roots.{one}" for one in self.sets}
        kept = [word for word in given if not word.startswith("roots.") or word.partition("=")[0] in own]
        return ["retinalab", "exp", self.paper, self.name, *self.overrides, *kept, *self.missing(kept)]

    def command(self, given: Iterable[str] = ()) -> str:
        """:meth:`words` as a shell reads them."""
        return shlex.join(self.words(given))


class Recipes:
    """Recipes by what they compute, each resolved once.

    Args:
        paper: whose experiments.
    """

    def __init__(self, paper: str) -> None:
        self.paper = paper
        self._known: dict[tuple[str, tuple[str, ...]], Recipe] = {}

    def of(self, claim: Claim) -> Recipe | None:
        """The recipe of a claim that an experiment reproduces."""
        if claim.experiment is None:
            return None
        key = (claim.experiment, claim.overrides)
        return self._known.setdefault(key, Recipe(self.paper, *key))

    @property
    def known(self) -> Mapping[tuple[str, tuple[str, ...]], Recipe]:
        """Every recipe that was asked for."""
        return self._known
