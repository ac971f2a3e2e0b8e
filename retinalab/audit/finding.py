"""What an audit says of one printed value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Answer", "Verdict"]

Verdict = Literal["possible", "impossible", "untestable"]


@dataclass(frozen=True)
class Answer:
    """A verdict and its reason.

    Attributes:
        why: in words, with the nearest possible values where there are none.
        telling: False where no value could have been found impossible, so that "possible" says nothing.
    """

    verdict: Verdict
    why: str
    telling: bool = True

    @classmethod
    def of(cls, possible: bool, why: str) -> Answer:
        """Possible or not, for this reason."""
        return cls("possible" if possible else "impossible", why)
