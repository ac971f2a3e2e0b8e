"""What is looked for: referable and vision-threatening disease as binary readings of a grade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.operating import disease_score
from retinalab.metrics.tables import probabilities_of
from retinalab.protocol import Scale

__all__ = ["Target", "has_probabilities", "has_score", "judged", "targets_of"]


@dataclass(frozen=True)
class Target:
    """A binary reading of a grade scale.

    Attributes:
        name: referable, vision-threatening, or what a scale of two grades says.
        disease: the graded disease.
        lowest: the lowest grade that counts as positive.
    """

    name: str
    disease: str
    lowest: int

    @property
    def positive(self) -> str:
        """Column of the reference, bool; defined where the reference grade is known."""
        return f"{self.name}|positive"

    @property
    def score(self) -> str:
        """Column of what ranks photographs; nan for grades alone."""
        return f"{self.name}|score"

    @property
    def graded(self) -> str:
        """Column of whether the predicted grade counts as positive."""
        return f"{self.name}|graded"


def targets_of(disease: str, scale: Scale) -> tuple[Target, ...]:
    """The targets that a scale knows, the one that a screening programme refers first.

    Example:
        >>> from retinalab.protocol import SCALES
        >>> [(one.name, one.lowest) for one in targets_of("dr", SCALES["icdr5"])]
        [('referable', 2), ('vision-threatening', 3)]
        >>> [one.name for one in targets_of("dme", SCALES["binary"])]
        ['present']
    """
    if scale.size == 2:
        name = scale.name if scale.name in ("referable", "any") else "present"
        return (Target(name, disease, 1),)
    found = [Target("referable", disease, scale.referable)]
    if scale.vision_threatening is not None:
        found.append(Target("vision-threatening", disease, scale.vision_threatening))
    return tuple(found)


def has_score(table: pd.DataFrame, disease: str) -> bool:
    """Whether a threshold can be moved: there are probabilities or a regression's score."""
    return f"{disease}_score" in table or has_probabilities(table, disease)


def has_probabilities(table: pd.DataFrame, disease: str) -> bool:
    """Whether every grade has a probability; a regression's score is none."""
    return f"{disease}_score" not in table and len(probabilities_of(table, f"{disease}_p")) > 1


def judged(table: pd.DataFrame, targets: tuple[Target, ...]) -> pd.DataFrame:
    """The table with each target's reference, score and verdict of the predicted grade as columns."""
    columns: dict[str, npt.NDArray[np.bool_] | npt.NDArray[np.float64]] = {}
    for target in targets:
        disease = target.disease
        columns[target.positive] = table[disease].to_numpy() >= target.lowest
        columns[target.graded] = table[f"{disease}_grade"].to_numpy() >= target.lowest
        scored = has_score(table, disease)
        columns[target.score] = (
            disease_score(table, disease, target.lowest) if scored else np.full(len(table), np.nan)
        )
    return table.assign(**columns)
