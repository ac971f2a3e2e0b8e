"""Which of a network's answers its maps explain: a grade, a severity, or that a photograph shows a lesion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.tasks.base import Task
from retinalab.tasks.outputs import Outputs

__all__ = ["LESION", "SEVERITY", "explained_grades", "explained_values"]

SEVERITY, LESION = -1, -2
"""In the place of the explained grade: the severity is explained, or that the photograph shows a lesion."""


def explained_grades(task: Task, given: Outputs, disease: str) -> Tensor:
    """The grades that maps explain; ``SEVERITY`` or ``LESION`` throughout where that is explained.

    Args:
        task: whose answers they are.
        given: of a batch.
        disease: whose grade; of a network that grades nothing, any word.

    Shape:
        - Returns: ``(B,)`` int64.

    Raises:
        RetinalabError: the network grades other diseases, or neither grades nor finds lesions.
    """
    if disease in given.grades:
        return given.predicted(disease, task.scales[disease].size)
    if disease in given.severity:
        return torch.full_like(given.severity[disease], SEVERITY, dtype=torch.int64)
    present = _present(given)
    if given.grades or given.severity or present is None:
        raise RetinalabError(
            f"Task {task.config.name!r} does not grade {disease}, so that there is no answer to explain. Name "
            "a disease that it grades."
        )
    return torch.full_like(present[:, 0], LESION, dtype=torch.int64)


def explained_values(given: Outputs, disease: str, grades: Tensor, taught: Sequence[str] = LESIONS) -> Tensor:
    """What is asked of the network: the probability of a grade, the severity, or the surest lesion's probability.

    Args:
        given: of a batch.
        disease: as in :func:`explained_grades`, which let it pass.
        grades: whose probability, where the network grades.
        taught: lesions that it has learned.

    Shape:
        - ``grades``: ``(B,)`` int64, at least 0. Returns: ``(B,)``.
    """
    if disease in given.grades:
        return given.grades[disease].gather(1, grades[:, None])[:, 0]
    if disease in given.severity:
        return given.severity[disease]
    present = _present(given)
    assert present is not None
    return torch.stack([present[:, LESIONS.index(lesion)] for lesion in taught], 1).amax(1)


def _present(given: Outputs) -> Tensor | None:
    """``(B, 8)``: how sure each lesion is, at its surest pixel where they are mapped."""
    if given.present is not None or given.lesions is None:
        return given.present
    return given.lesions.amax((2, 3))
