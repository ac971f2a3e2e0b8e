"""How many photographs to generate of each grade."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["wanted_grades"]

Whole = npt.NDArray[np.int64]


def wanted_grades(counts: Whole, number: int | None, share: float, makeable: npt.NDArray[np.bool_]) -> Whole:
    """How many photographs to generate of each grade: the rarest first, each up to the commonest.

    The grades that can be made are raised to one level, as water fills vessels. A number that the user gave is spent
    whole: what is left once all are as common as the commonest is spread over them evenly.

    Args:
        counts: training photographs of each grade.
        number: to generate; None: ``share`` of the training photographs, or fewer once the grades are balanced.
        share: of the training photographs.
        makeable: grades that can be generated.

    Example:
        >>> can = np.array([False, True, True, True, True])
        >>> wanted_grades(np.array([70, 10, 15, 3, 2]), 20, 0.25, can).tolist()
        [0, 1, 0, 9, 10]

    Shape:
        - ``counts``, ``makeable``: ``(G,)``. Returns: ``(G,)``, int64.
    """
    wanted = np.zeros_like(counts)
    if not makeable.any():
        return wanted
    missing = int(np.maximum(counts.max() - counts, 0)[makeable].sum())
    left = min(round(share * int(counts.sum())), missing) if number is None else number
    have = counts[makeable]
    low, high = 0, int(have.max()) + left
    while low < high:
        level = (low + high + 1) // 2
        low, high = (level, high) if np.maximum(level - have, 0).sum() <= left else (low, level - 1)
    added = np.maximum(low - have, 0)
    # fewer are left than there are grades at the level: one more of each, the rarest first
    rest = np.argsort(np.where(have + added == low, have, np.iinfo(np.int64).max), kind="stable")
    added[rest[: left - int(added.sum())]] += 1
    wanted[makeable] = added
    return wanted
