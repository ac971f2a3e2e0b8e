"""Where lesions may lie: in the field that all views share, off the disc, apart from each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["DISC_MARGIN", "Place", "and_farther_out", "draw_points", "spread"]

Place = Callable[[np.ndarray, float], np.ndarray]
"""Which of the points (n, 2) lie at least a margin inside the field that every view of the eye shows."""

_REACH = 3.9  # lesions beyond what every camera shows lie within this distance of the fovea
DISC_MARGIN = 0.62  # no intraretinal lesion closer to the disc's centre


def draw_points(
    rng: np.random.Generator,
    disc: np.ndarray,
    place: Place,
    count: int,
    margin: float,
    clear: float = DISC_MARGIN,
) -> np.ndarray:
    """Up to ``count`` points of the shared field, off the disc by ``clear``; denser towards the macula."""
    found = np.empty((0, 2))
    for _ in range(6):
        points = rng.uniform(-1, 1, (6 * count + 40, 2)) * [3.6, 3.0]
        near = rng.random(len(points)) < 0.35 + 0.65 * np.exp(-((np.hypot(*points.T) / 2.2) ** 2))
        ok = place(points, margin) & near & (np.hypot(*(points - disc).T) > clear)
        found = np.vstack([found, points[ok]])
        if len(found) >= count:
            break
    return found[:count]


def spread(points: np.ndarray, reach: np.ndarray, gap: float) -> np.ndarray:
    """Positions of the points that keep a gap to all earlier ones (reach is a radius each)."""
    apart = np.hypot(points[:, None, 0] - points[:, 0], points[:, None, 1] - points[:, 1])
    clash = apart < reach[:, None] + reach + gap
    blocked = np.zeros(len(points), bool)
    kept: list[int] = []
    for k in range(len(points)):
        if not blocked[k]:
            kept.append(k)
            blocked |= clash[k]
    return np.array(kept, int)


def and_farther_out(
    rng: np.random.Generator, disc: np.ndarray, points: np.ndarray, share: float
) -> np.ndarray:
    """The points, and some farther out, where only some cameras look."""
    extra = rng.uniform(-_REACH, _REACH, (int(share * len(points)), 2))
    extra[:, 0] += 0.8
    return np.vstack([points, extra[np.hypot(*(extra - disc).T) > DISC_MARGIN]])
