"""Between which ratios a blend comes out as a wanted grade."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["ratio_intervals", "reachable"]

Real = npt.NDArray[np.float64]

_MARGIN = 1e-9
"""Of severity, kept from the edges between grades: a ratio drawn beside an edge must not be rounded across it."""


def ratio_intervals(
    sources: Real, targets: Real, grade: int | None, grades: int, ratios: tuple[float, float]
) -> tuple[Real, Real]:
    """Least and greatest ratio under which ``classify(r · source + (1 - r) · target)`` is the wanted grade.

    The severity of the blend is linear in r, so that the ratios of one grade are one interval. A single ratio counts
    where it is the whole range alone; in any other range it would be drawn with probability 0.

    Reference: equation 6, with classify at half grades, ties upward.

    Args:
        sources, targets: severities of both photographs; their shapes are broadcast.
        grade: wanted; None: any.
        grades: of the scale.
        ratios: the range that r is drawn from.

    Returns:
        Two arrays of the broadcast shape; inf and -inf where no ratio gives the grade.

    Example:
        >>> low, high = ratio_intervals(np.array([4.0, 1.0]), np.array([0.0]), 2, 5, (0.0, 1.0))
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([0.375, inf], [0.625, -inf])
    """
    least, greatest = ratios
    source, target = np.broadcast_arrays(sources, targets)
    below, above = _edges(grade, grades)
    slope = source - target
    if least == greatest:
        blend = target + least * slope  # as equation 6 is computed
        given = (below <= blend) & (blend < above)
        return np.where(given, least, np.inf), np.where(given, least, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = (below + _MARGIN - target) / slope, (above - _MARGIN - target) / slope
    level = (slope == 0) & (below <= target) & (target < above)
    low = np.where(level, least, np.maximum(least, np.minimum(*ends)))
    high = np.where(level, greatest, np.minimum(greatest, np.maximum(*ends)))
    given = level | ((slope != 0) & (low < high))
    return np.where(given, low, np.inf), np.where(given, high, -np.inf)


def reachable(
    sources: Real, targets: Real, grade: int | None, grades: int, ratios: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """Whether some source of another severity than the target's gives the grade with it.

    The severities of such sources are at most two intervals, above the target's and below it. Each ends at the target's
    own or where the least or the greatest ratio leads to an edge of the grade; where an interval holds a source, it
    holds one beside its ends. So only the sources beside these are tried.

    Args:
        sources, targets, grade, grades, ratios: as :func:`ratio_intervals` takes them.

    Shape:
        - ``sources``: ``(S,)``, S at least 1. ``targets``: ``(T,)``. Returns: ``(T,)``.
    """
    values = np.unique(sources)
    margin = 0.0 if ratios[0] == ratios[1] else _MARGIN
    below, above = _edges(grade, grades)
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = [targets + (edge - targets) / r for edge in (below + margin, above - margin) for r in ratios]
    beside = np.searchsorted(values, np.nan_to_num(np.stack([targets, *ends]), posinf=np.inf, neginf=-np.inf))
    tried = values[np.concatenate([beside - 1, beside, beside + 1]).clip(0, len(values) - 1)]
    low, high = ratio_intervals(tried, targets, grade, grades, ratios)
    return np.asarray(((low <= high) & (tried != targets)).any(0))


def _edges(grade: int | None, grades: int) -> tuple[float, float]:
    """Severities of a grade: from the first, below the second."""
    below = -np.inf if grade is None or grade == 0 else grade - 0.5
    return below, np.inf if grade is None or grade == grades - 1 else grade + 0.5
