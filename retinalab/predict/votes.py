"""What the members of an ensemble say of some photographs, put together as it comes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from retinalab.predict.views import View
from retinalab.predict.voice import Given, Voice
from retinalab.records import LESIONS

__all__ = ["Mean", "Votes"]


@dataclass
class Mean:
    """A mean whose terms are not held."""

    total: np.ndarray | None = None
    count: int = 0

    def add(self, values: np.ndarray) -> None:
        """One more term."""
        self.total = values.copy() if self.total is None else np.add(self.total, values, out=self.total)
        self.count += 1

    @property
    def mean(self) -> np.ndarray:
        """Of all terms; there is at least one."""
        assert self.total is not None
        return np.asarray(self.total / self.count)


class Votes:
    """What the members say of one batch of photographs.

    Args:
        diseases: that are graded.

    Attributes:
        answers: disease -> of each member ``(B, K)`` probabilities, or ``(B, 1)`` severity; float64.
        present: lesion -> mean probability that a photograph shows it, ``(B,)`` float64.
        maps: lesion -> mean of the maps, ``(B, S, S)`` float32, as the plain view lies; only where they were asked for.
    """

    def __init__(self, diseases: Iterable[str]) -> None:
        self.answers: dict[str, list[np.ndarray]] = {disease: [] for disease in diseases}
        self.present: dict[str, Mean] = defaultdict(Mean)
        self.maps: dict[str, Mean] = defaultdict(Mean)

    def add(self, voice: Voice, given: Given, view: View) -> None:
        """What one network says of one view."""
        for disease, values in given.answers.items():
            self.answers[disease].append(values.astype(np.float64))
        for lesion in voice.lesions:
            place = LESIONS.index(lesion)
            if given.present is not None:
                self.present[lesion].add(given.present[:, place].astype(np.float64))
            if given.lesions is not None:
                self.maps[lesion].add(view.back(given.lesions[:, place]))
