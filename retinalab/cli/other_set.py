"""The words that name another data set in the place of a run's own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from retinalab.documents import parse_yaml
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.predict.explained import OtherSet

__all__ = ["add_other_set_arguments", "other_set"]


def add_other_set_arguments(parser: argparse.ArgumentParser, text: str, example: str) -> None:
    """Declare ``--set``, ``--root`` and ``--option``.

    Args:
        parser: of the command.
        text: what ``--set`` is for.
        example: of an option of a data set.
    """
    parser.add_argument("--set", metavar="NAME", help=text)
    parser.add_argument("--root", type=Path, metavar="PATH", help="folder of that data set")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"of that data set, such as {example}",
    )


def other_set(known: argparse.Namespace) -> OtherSet | None:
    """The data set that is named; None where the run's own is meant.

    Raises:
        RetinalabError: words for a data set that is not named, or an option that is no pair.
    """
    from retinalab.predict.explained import OtherSet

    if known.set is None:
        if known.root is not None or known.option:
            raise RetinalabError("--root and --option are of a data set. Name it with --set.")
        return None
    options: dict[str, Any] = {}
    for pair in known.option:
        key, equals, value = pair.partition("=")
        if not equals:
            raise RetinalabError(
                f"--option {pair!r} is not of the form KEY=VALUE, such as task=segmentation."
            )
        try:
            options[key] = parse_yaml(value)
        except yaml.YAMLError as error:
            reason = getattr(error, "problem", None) or type(error).__name__
            raise RetinalabError(
                f"--option {pair!r} cannot be read: {reason}. Write plain values."
            ) from error
    return OtherSet(known.set.replace("-", "_"), known.root, options)
