"""The command that runs an experiment."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.estimated import print_estimate
from retinalab.cli.figures import print_headline, print_labels
from retinalab.documents import read_json
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.runner import Result

__all__ = ["add_exp_arguments", "exp"]


def add_exp_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``retinalab exp``."""
    parser.set_defaults(overrides_allowed=True)
    parser.add_argument("paper", help="as retinalab papers lists it")
    parser.add_argument(
        "rest_words",
        nargs="*",
        default=[],
        metavar="experiment key=value",
        help="default experiment: synthetic",
    )
    parser.add_argument("--show", action="store_true", help="print the resolved experiment and stop")
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="print what the run would take (time, memory, room on the disk), by a few steps of each stage, and stop",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="two steps a stage on a handful of photographs at reduced size"
    )
    parser.add_argument(
        "--strict", action="store_true", help="a difference from a set's published counts is an error"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="do this part alone, to be gathered later: a fold or seed (fold-3, seed-1, fold-3_seed-1), a test on one "
        "of several sets (test@messidor2, fold-3_test@messidor2), the training before it (train, fold-3_train); may be "
        "repeated",
    )
    parser.add_argument(
        "--gather",
        action="store_true",
        help="train and test nothing; make the result of the parts that are done",
    )
    parser.add_argument(
        "--reuse",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="take over the stages of this run that would come out the same, such as the first ones of an ablation; "
        "may be repeated",
    )


def exp(known: argparse.Namespace) -> int:
    """Run an experiment, or print it."""
    from retinalab.experiment import as_yaml, load_experiment
    from retinalab.smoke import smoke

    words = [*known.rest_words, *known.rest]
    overrides = [word for word in words if "=" in word]
    names = [word for word in words if "=" not in word]
    wrong = [word for word in names if word.startswith("-")]
    if wrong or len(names) > 1:
        raise RetinalabError(
            f"Unexpected {(wrong or names[1:])[0]!r}. Give one experiment, then overrides as key=value."
        )
    if known.strict:
        overrides.append("data.strict=true")
    experiment = load_experiment(known.paper, names[0] if names else "synthetic", overrides)
    if known.smoke:
        experiment = smoke(experiment)
    if known.show:
        print(as_yaml(experiment), end="")
        return 0
    if known.estimate:
        print_estimate(experiment)
        return 0
    from retinalab.runner import run

    result = run(experiment, known.only, known.gather, known.reuse)
    if not result.first:
        return 0
    if known.only:
        _say_left(known, words, result)
        return 0
    print_headline(result.metrics)
    print(f"\nAll figures: {result.folder / 'metrics.json'}\nReport: {result.folder / 'report.html'}")
    print_labels(read_json(result.folder / "provenance.json").get("labels", ()))
    print("Research use only: not for diagnosis.")
    return 0


def _say_left(known: argparse.Namespace, words: Sequence[str], result: Result) -> None:
    """What is still to be done, and the command that gathers once all is."""
    print(f"\nDone: {', '.join(known.only)}, in {result.folder}")
    if result.left:
        text = f"Left: {', '.join(result.left)}"
        print("\n".join(textwrap.wrap(text, 80, subsequent_indent="  ", break_on_hyphens=False)))
    flags = ["--smoke"] * known.smoke + ["--strict"] * known.strict
    command = shlex.join(["retinalab", "exp", known.paper, *words, *flags, "--gather"])
    print(f"{'When all is done' if result.left else 'All is done; the result'}: {command}")
