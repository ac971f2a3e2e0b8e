"""Words on the command line that are none: one line that says what was got, the nearest match, and the remedy."""

from __future__ import annotations

import argparse
import math
import re
from typing import Any, NoReturn

from retinalab.errors import RetinalabError, unknown

__all__ = ["Parser", "number", "share", "whole"]


class Parser(argparse.ArgumentParser):
    """Refuses with an error of one line where argparse prints its usage and leaves the process."""

    def error(self, message: str) -> NoReturn:
        """Refuse.

        Raises:
            RetinalabError: always.
        """
        text = re.sub(r"^argument (\S+): (?=')", r"\1 ", message)
        text = re.sub(r"^argument (\S+): ", r"\1: ", text)
        raise RetinalabError(f"{text[0].upper()}{text[1:].rstrip('.')}. See: {self.prog} --help")

    def unrecognised(self, words: list[str]) -> RetinalabError:
        """The error for words that no argument takes."""
        option = words[0].partition("=")[0]
        if not option.startswith("-"):
            return RetinalabError(f"Unexpected {words[0]!r}. See: {self.prog} --help")
        options = sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", self.format_help())))
        return unknown("option", option, options, f"See: {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            called = "/".join(action.option_strings) or str(action.metavar or "command").lower()
            raise unknown(called, str(value), map(str, action.choices), f"See: {self.prog} --help")


def whole(text: str) -> int:
    """A whole number.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number. Write it in digits") from None


def number(text: str) -> float:
    """A number.

    Raises:
        ArgumentTypeError: it is none, or not finite.
    """
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"{text!r} is no number. Write it in digits, such as 0.5")
    return found


def share(text: str) -> float:
    """A share of 1, or in per cent; whether it lies between 0 and 1 is judged where it is used.

    Raises:
        ArgumentTypeError: it is neither.

    Example:
        >>> share("0.1"), share("10%"), share("12.5 %")
        (0.1, 0.1, 0.125)
    """
    stripped = text.strip()
    try:
        found = float(stripped.removesuffix("%"))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"{text!r} is no share. Write 0.1 or 10%")
    return found / 100 if stripped.endswith("%") else found
