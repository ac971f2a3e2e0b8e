"""Between which ratios a blend comes out as a wanted grade."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["ratio_intervals"]

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
    below = -np.inf if grade is None or grade == 0 else grade - 0.5
    above = np.inf if grade is None or grade == grades - 1 else grade + 0.5
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
