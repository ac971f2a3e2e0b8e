"""What one step of a task gives: of it the tables are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from retinalab.tasks.severity import severity_grades

__all__ = ["Outputs"]


@dataclass
class Outputs:
    """What one step of a task gives; each part is optional but the loss.

    Attributes:
        loss: scalar.
        grades: disease -> ``(B, K)`` probabilities of its grades.
        severity: disease -> ``(B,)`` severity as one number on the grade scale (regression).
        lesions: ``(B, 8, H, W)`` probabilities of lesions, at the masks' size.
        present: ``(B, 8)`` probabilities that a lesion is in the photograph.
        windows: ``(B, K)`` probabilities of a window's classes.
        maps: name -> ``(B, h, w)`` in [0, 1] over the photograph, at the size at which the network has it: row and
            column cover the square input evenly. For the eye alone (the report), never for figures.
        parts: further scalars to log, such as the terms of the loss.
    """

    loss: Tensor
    grades: dict[str, Tensor] = field(default_factory=dict)
    severity: dict[str, Tensor] = field(default_factory=dict)
    lesions: Tensor | None = None
    present: Tensor | None = None
    windows: Tensor | None = None
    maps: dict[str, Tensor] = field(default_factory=dict)
    parts: dict[str, Tensor] = field(default_factory=dict)

    def predicted(self, disease: str, grades: int) -> Tensor:
        """``(B,)`` int64: the most probable grade, or the severity rounded at half grades (ties upward)."""
        if disease in self.grades:
            return self.grades[disease].argmax(1)
        return severity_grades(self.severity[disease], grades)
