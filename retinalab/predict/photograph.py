"""A photograph on its way to a grade."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retinalab.records import photograph_name

__all__ = ["Photograph"]


@dataclass(frozen=True)
class Photograph:
    """One photograph to be graded.

    Attributes:
        image: what the table calls it: the path as the user gave it, or as the list has it.
        path: its file.
        place: where it was named, such as ``line 3 of infer.csv``; "" for a file that lies where it is named.
    """

    image: str
    path: Path
    place: str = ""

    @property
    def name(self) -> str:
        """What the photograph is called without folder, suffix and case."""
        return photograph_name(self.image)
