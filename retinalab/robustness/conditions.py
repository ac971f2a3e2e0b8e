"""The ways in which a photograph is shown to a network: as it is, mirrored, in other colours, with a fault."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retinalab.errors import RetinalabError, unknown
from retinalab.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from retinalab.robustness.field import Field
from retinalab.robustness.recording import Tones, in_colours_of
from retinalab.transforms.draw import generator

__all__ = ["COLOURS", "DONORS", "FLIP", "NAMES", "ORIGINAL", "VIEWS", "Condition", "Shown", "conditions"]

ORIGINAL = "original"
VIEWS, FLIP, COLOURS = "views", "flip", "colours"
"""Another photograph of the same eye; mirrored left to right; the colours of another patient's photograph."""

NAMES = (VIEWS, FLIP, COLOURS, *CORRUPTIONS)
"""All that can be asked for."""

DONORS = 3
"""Photographs whose colours each photograph is given, one after the other."""


@dataclass(frozen=True)
class Condition:
    """One way of showing a photograph.

    Attributes:
        name: of :data:`NAMES`, or ``original``.
        severity: of a fault; 0 of anything else.
        draw: number of the donor of colours; 0 of anything else.
    """

    name: str
    severity: int = 0
    draw: int = 0


@dataclass(frozen=True)
class Shown:
    """A photograph, and what changes of it depend on.

    Attributes:
        name: its set and file; with the seed it decides what is drawn.
        image: ``(S, S, 3)`` uint8 RGB, at the working size.
        donors: whose colours it is given.
    """

    name: str
    image: np.ndarray
    donors: Sequence[Tones] = ()

    def under(self, several: Sequence[Condition], seed: int) -> np.ndarray:
        """The photograph under each condition.

        Shape:
            - Returns: ``(n, S, S, 3)`` uint8 RGB.
        """
        field = Field.seen(self.image)
        return np.stack([self._under(one, field, seed) for one in several])

    def _under(self, one: Condition, field: Field, seed: int) -> np.ndarray:
        if one.name == FLIP:
            return np.ascontiguousarray(self.image[:, ::-1])
        if one.name == COLOURS:
            return in_colours_of(self.image, field, self.donors[one.draw])
        if one.name == ORIGINAL:
            return self.image
        drawn = generator(seed, zlib.crc32(self.name.encode()), zlib.crc32(one.name.encode()))
        return corrupt(self.image, field, one.name, one.severity, drawn)


def conditions(names: Sequence[str], severities: Sequence[int]) -> tuple[Condition, ...]:
    """What every photograph is shown as: first as it is.

    Other views of the eye are photographs of their own and need no condition.

    Args:
        names: of :data:`NAMES`.
        severities: of faults.

    Raises:
        RetinalabError: unknown or no names, or a severity that there is not.
    """
    for name in names:
        if name not in NAMES:
            raise unknown("corruption or change", name, NAMES)
    if not names:
        raise RetinalabError(f"Nothing to test. Choose of: {', '.join(NAMES)}.")
    wrong = [severity for severity in severities if severity not in SEVERITIES]
    if wrong or not severities:
        raise RetinalabError(
            f"Severities {', '.join(map(str, severities)) or 'none'} are not all of 1 to {SEVERITIES[-1]}. Give some "
            "of those; 0, the photograph as it is, is always there."
        )
    found = [Condition(ORIGINAL)]
    for name in (one for one in NAMES if one in names and one != VIEWS):
        if name == FLIP:
            found.append(Condition(FLIP))
        elif name == COLOURS:
            found += [Condition(COLOURS, draw=draw) for draw in range(DONORS)]
        else:
            found += [Condition(name, severity) for severity in sorted(set(severities))]
    return tuple(found)
