"""Errors that a user can act on: what was got, the nearest match, the choices, the remedy, on one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["RetinalabError", "unknown"]


class RetinalabError(Exception):
    """A fault in what the user gave, or several. The command line prints each on one line and exits with status 2.

    Attributes:
        told: whether another of several processes prints it.
    """

    told = False

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(" ".join(fault.split()) for fault in faults))


def unknown(
    kind: str, got: str, choices: Iterable[str], remedy: str = "", label: str = "Choices"
) -> RetinalabError:
    """Build the error for a name that is not among the known ones.

    Example:
        >>> str(unknown("paper", "canett", ["canet", "clpi"]))
        "Unknown paper 'canett'. Did you mean 'canet'? Choices: canet, clpi."
    """
    names = sorted(choices)
    near = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
    parts = [f"Unknown {kind} {got!r}."]
    if near:
        parts.append(f"Did you mean {near[0]!r}?")
    parts.append(f"{label}: {', '.join(names) or 'none'}.")
    if remedy:
        parts.append(remedy)
    return RetinalabError(" ".join(parts))
