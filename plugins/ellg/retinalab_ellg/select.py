"""Which photographs are generated: how many of which grade, from which source, blended into which target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retinalab.errors import RetinalabError
from retinalab.transforms import generator
from retinalab_ellg.balance import wanted_grades
from retinalab_ellg.generation_config import GenerationConfig
from retinalab_ellg.ratios import ratio_intervals, reachable

__all__ = ["Candidates", "NothingToCutError", "Pair", "Selection"]

_CHOICE = 0

Whole = npt.NDArray[np.int64]


class NothingToCutError(RetinalabError):
    """There is no correctly classified training photograph to cut lesions from, or none to blend them into."""


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
        - ``part``: ``(N,)``, of each photograph; anything but ``train`` is refused.
    """

    grade: Whole
    predicted: Whole
    severity: npt.NDArray[np.float64]
    part: Sequence[str]

    def __post_init__(self) -> None:
        sizes = {len(column) for column in (self.grade, self.predicted, self.severity, self.part)}
        if len(sizes) > 1:
            raise RetinalabError(
                f"Columns of {sorted(sizes)} photographs. Give one entry for each photograph."
            )
        others = sorted(set(self.part) - {"train"})
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
    target is drawn among those that some source brings to that grade, then such a source, then the ratio among those
    that do. With ``none``, all three are drawn alike.

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
        self.sources = np.flatnonzero(correct & (candidates.grade > 0))
        self.targets = np.flatnonzero(
            correct & (candidates.grade == 0) if config.blend_target == "normal" else correct
        )
        self._refuse(candidates)
        self.counts = np.bincount(candidates.grade[candidates.grade >= 0], minlength=grades)
        self.notes: list[str] = []
        self._reached: dict[int | None, Whole] = {}
        if config.balance == "none":
            self.wanted, self._reached[None] = None, self._targets(None)
        else:
            self.wanted = self._wanted()

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
        """The pair of one number; a further attempt draws anew, where the source before had nothing to cut out."""
        rng = generator(*self.key, number, attempt, _CHOICE)
        grade = (
            None if self.wanted is None else int(np.searchsorted(self.wanted.cumsum(), number, side="right"))
        )
        target = int(rng.choice(self._reached[grade]))
        low, high = self._intervals(self.severity[self.sources], self.severity[[target]], grade)
        place = int(rng.choice(np.flatnonzero((low <= high) & (self.sources != target))))
        source = int(self.sources[place])
        ratio = float(rng.uniform(low[place], high[place]))
        return Pair(
            number, source, target, ratio, float(self.severity[source]), float(self.severity[target]),
            int(self.grade[target]), attempt,
        )  # fmt: skip

    def _refuse(self, candidates: Candidates) -> None:
        right, graded = int(candidates.correct.sum()), candidates.grade[candidates.grade >= 0]
        if not (graded > 0).any():
            raise NothingToCutError(
                f"No photograph to cut lesions from: of {len(graded)} graded training photographs none has lesions. "
                "Train on some that have."
            )
        if not len(self.sources):
            raise NothingToCutError(
                f"No photograph to cut lesions from: {right} of {len(graded)} training photographs are correctly "
                "classified, none of them with lesions. Train the network longer."
            )
        normal = self.config.blend_target == "normal"
        if normal and graded.all():
            raise NothingToCutError(
                f"No photograph to blend lesions into: blend_target=normal, and of {len(graded)} graded training "
                "photographs none is normal. Set blend_target=any."
            )
        if not len(self.targets) or (len(self.targets) == 1 and np.array_equal(self.targets, self.sources)):
            raise NothingToCutError(
                f"No photograph to blend lesions into: blend_target={self.config.blend_target}, and no "
                f"{'normal' if normal else 'other'} training photograph is correctly classified. Train the network "
                f"longer{', or set blend_target=any' if normal else ''}."
            )

    def _remedy(self) -> str:
        """What could bring blends to a grade that none comes out as."""
        if not self.config.mixup:
            return "Set mixup=true, or train the network longer."
        if self.config.ratio == (0.0, 1.0):
            return "Train the network longer."
        return "Widen ratio, or train the network longer."

    def _wanted(self) -> Whole:
        makeable = np.zeros(self.grades, bool)
        for grade in range(1, self.grades):
            if not self.counts[grade]:
                self.notes.append(f"Grade {grade} has no training photograph: none is generated.")
                continue
            self._reached[grade] = self._targets(grade)
            makeable[grade] = len(self._reached[grade]) > 0
            if not makeable[grade]:
                self.notes.append(
                    f"Grade {grade}: no ratio within {self.config.ratios} blends correctly classified photographs to "
                    f"it: none is generated. {self._remedy()}"
                )
        wanted = wanted_grades(self.counts, self.config.number, self.config.share, makeable)
        if makeable.any() and not wanted.any():
            self.notes.append(
                "No grade that can be made is rarer than the commonest: none is generated. Set number, or balance=none."
            )
        return wanted

    def _targets(self, grade: int | None) -> Whole:
        """The targets that some source other than themselves brings to a grade."""
        levels, level = np.unique(self.severity[self.targets], return_inverse=True)
        unlike = reachable(self.severity[self.sources], levels, grade, self.grades, self.config.ratios)
        values, counts = np.unique(self.severity[self.sources], return_counts=True)
        place = np.searchsorted(values, levels).clip(max=len(values) - 1)
        alike = np.where(values[place] == levels, counts[place], 0)
        low, high = self._intervals(levels, levels, grade)
        itself = np.isin(self.targets, self.sources)
        return self.targets[unlike[level] | ((low <= high)[level] & (alike[level] > itself))]

    def _intervals(
        self, sources: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], grade: int | None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return ratio_intervals(sources, targets, grade, self.grades, self.config.ratios)
