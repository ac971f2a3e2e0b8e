"""Which photographs are generated: how many of which grade, from which source, blended into which target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from retinalab.errors import RetinalabError
from retinalab.transforms import generator
from retinalab_ellg.balance import wanted_grades
from retinalab_ellg.generation_config import GenerationConfig

__all__ = ["Candidates", "NothingToCutError", "Pair", "Selection"]

_CHOICE = 0
_REDRAWS = 100

Whole = npt.NDArray[np.int64]


class NothingToCutError(RetinalabError):
    """No training photograph has lesions that the network graded correctly and sees somewhere."""


@dataclass(frozen=True)
class Pair:
    """One photograph to generate.

    Attributes:
        number: in the plan.
        source, target: rows of the training part.
        ratio: r of equations 5 and 6.
        source_severity, target_severity: what equation 6 averages.
        target_grade: the target's own label.
        attempt: 0; 1, 2, ... where an earlier source of this number had nothing to cut out.
    """

    number: int
    source: int
    target: int
    ratio: float
    source_severity: float
    target_severity: float
    target_grade: int
    attempt: int = 0


@dataclass(frozen=True)
class Candidates:
    """What is known of the photographs that a network has learned from.

    Shape:
        - ``grade``: ``(N,)``, int64, recorded grade of each training photograph, -1 unknown.
        - ``predicted``: ``(N,)``, int64, the network's.
        - ``severity``: ``(N,)``, floating, the network's, on the grade scale.
        - ``salient``: ``(N,)``, bool, whether its saliency map is not empty; None: not known yet.
        - ``part``: ``(N,)``, of each photograph; anything but ``train`` is refused. None: all are.
    """

    grade: Whole
    predicted: Whole
    severity: npt.NDArray[np.float64]
    salient: npt.NDArray[np.bool_] | None = None
    part: Sequence[str] | None = None

    def __post_init__(self) -> None:
        sizes = {len(column) for column in (self.grade, self.predicted, self.severity)}
        sizes |= {len(column) for column in (self.salient, self.part) if column is not None}
        if len(sizes) > 1:
            raise RetinalabError(
                f"Columns of {sorted(sizes)} photographs. Give one entry for each photograph."
            )
        others = sorted(set(self.part or ()) - {"train"})
        if others:
            raise RetinalabError(
                f"Photographs of part {', '.join(others)} among those to generate from. Lesions are cut from and "
                "blended into training photographs only; give the training part."
            )

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """``(N,)``: graded, and correctly."""
        return np.asarray((self.grade >= 0) & (self.predicted == self.grade))


class Selection:
    """Choose sources and targets among the correctly classified training photographs.

    Sources have lesions (a grade above 0); targets are normal, or any; never one photograph for both. Every choice
    follows from (key, number, attempt) alone.

    Which grades are made follows ``balance``: with ``label``, each number has a grade that it shall come out as; the
    target is drawn, then a source among those that some ratio brings to that grade, then the ratio among those ratios.
    With ``none``, all three are drawn alike.

    Reference: sections 2.1 and 2.3.

    Differs from the paper: it says neither how many photographs are made nor of which grade, only that they address the
        imbalance. A grade without a training photograph is not made, though equation 6 could: the network was never
        shown one.

    Args:
        candidates: the training photographs.
        config: the options.
        key: numbers that the choices follow from, such as (seed, round).
        grades: of the disease's scale.

    Attributes:
        counts: ``(G,)``, training photographs of each grade.
        wanted: ``(G,)``, photographs to generate of each grade; None under ``balance: none``.
        notes: lines on what cannot be made.

    Raises:
        NothingToCutError: there is no source, or no target.
    """

    def __init__(
        self, candidates: Candidates, config: GenerationConfig, key: Sequence[int], grades: int = 5
    ) -> None:
        self.config, self.key, self.grades = config, tuple(key), grades
        self.grade = candidates.grade
        self.severity = (candidates.grade if config.labels == "grade" else candidates.severity).astype(
            np.float64
        )
        correct = candidates.correct
        lesioned = correct & (candidates.grade > 0)
        sources = lesioned if candidates.salient is None else lesioned & candidates.salient
        self.sources = np.flatnonzero(sources)
        self.targets = np.flatnonzero(
            correct & (candidates.grade == 0) if config.blend_target == "normal" else correct
        )
        self._refuse(candidates, int(lesioned.sum()))
        self.counts = np.bincount(candidates.grade[candidates.grade >= 0], minlength=grades)
        self.notes: list[str] = []
        self.wanted = None if config.balance == "none" else self._wanted()

    def __len__(self) -> int:
        """Photographs to generate."""
        if self.wanted is not None:
            return int(self.wanted.sum())
        number = self.config.number
        return round(self.config.share * int(self.counts.sum())) if number is None else number

    def pairs(self) -> list[Pair]:
        """All of them, in order of their numbers."""
        return [self.pair(number) for number in range(len(self))]

    def pair(self, number: int, attempt: int = 0) -> Pair:
        """The pair of one number; a further attempt gives another source, where the one before had nothing to cut."""
        rng = generator(*self.key, number, attempt, _CHOICE)
        grade = (
            None if self.wanted is None else int(np.searchsorted(self.wanted.cumsum(), number, side="right"))
        )
        found = self._draw(rng, number, grade)
        if found is None:
            raise RetinalabError(
                f"No ratio within {self.config.ratios} blends a correctly classified photograph to grade {grade}. "
                "Widen ratio, or set balance=none."
            )
        return replace(found, attempt=attempt)

    def _refuse(self, candidates: Candidates, lesioned: int) -> None:
        if not len(self.sources):
            right, known = int(candidates.correct.sum()), int((candidates.grade >= 0).sum())
            empty = f", {lesioned} of them with lesions, all with an empty saliency map" if lesioned else ""
            raise NothingToCutError(
                f"No photograph to cut lesions from: {right} of {known} training photographs are correctly classified"
                f"{empty or ', none of them with lesions'}. Train the network longer, or lower the gate."
            )
        if not len(self.targets) or (len(self.targets) == 1 and np.array_equal(self.targets, self.sources)):
            raise NothingToCutError(
                f"No photograph to blend lesions into: blend_target={self.config.blend_target}, and no "
                f"{'normal ' if self.config.blend_target == 'normal' else 'other '}training photograph is correctly "
                "classified. Train the network longer, or set blend_target=any."
            )

    def _wanted(self) -> Whole:
        makeable = np.zeros(self.grades, bool)
        for grade in range(1, self.grades):
            if not self.counts[grade]:
                self.notes.append(f"Grade {grade} has no training photograph: none is generated.")
            elif self._draw(generator(*self.key, grade), 0, grade) is None:
                self.notes.append(
                    f"Grade {grade}: no ratio within {self.config.ratios} blends a correctly classified photograph to "
                    "it: none is generated."
                )
            else:
                makeable[grade] = True
        return wanted_grades(self.counts, self.config.number, self.config.share, makeable)

    def _draw(self, rng: np.random.Generator, number: int, grade: int | None) -> Pair | None:
        for _ in range(_REDRAWS):
            target = int(rng.choice(self.targets))
            low, high = self._ratios(target, grade)
            possible = np.flatnonzero(
                (low < high) | ((low == high) & (self.config.ratios[0] == self.config.ratios[1]))
            )
            possible = possible[self.sources[possible] != target]
            if len(possible):
                place = int(rng.choice(possible))
                source = int(self.sources[place])
                ratio = float(rng.uniform(low[place], high[place]))
                return Pair(
                    number, source, target, ratio, float(self.severity[source]), float(self.severity[target]),
                    int(self.grade[target]),
                )  # fmt: skip
        return None

    def _ratios(self, target: int, grade: int | None) -> tuple[np.ndarray, np.ndarray]:
        """``(S,)`` least and greatest ratio of each source under which equation 6 gives a grade."""
        least, greatest = self.config.ratios
        low, high = np.full(len(self.sources), least), np.full(len(self.sources), greatest)
        if grade is None:
            return low, high
        below = -np.inf if grade == 0 else grade - 0.5
        above = np.inf if grade == self.grades - 1 else grade + 0.5
        base = self.severity[target]
        slope = self.severity[self.sources] - base
        with np.errstate(divide="ignore", invalid="ignore"):
            first, last = (below - base) / slope, (above - base) / slope
        level = (slope == 0) & (below <= base < above)
        first, last = np.where(slope < 0, last, first), np.where(slope < 0, first, last)
        low = np.where(level, low, np.maximum(low, np.where(slope == 0, np.inf, first)))
        high = np.where(level, high, np.minimum(high, np.where(slope == 0, -np.inf, last)))
        return low, high
