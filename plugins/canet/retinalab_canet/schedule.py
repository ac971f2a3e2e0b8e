"""The learning rate over the iterations."""

from __future__ import annotations

import math

__all__ = ["cosine_factor"]


def cosine_factor(step: int, steps: int) -> float:
    """Share of the initial learning rate at an iteration: (1 + cos(pi * step / steps)) / 2, 0 from the last
    one on.

    Reference: section III-E ("cosine annealing for each batch"), without warm-up or restarts.

    Args:
        step: iterations done.
        steps: iterations of the whole training.

    Example:
        >>> [round(3e-4 * cosine_factor(step, 27_000), 6) for step in (0, 13_500, 27_000)]
        [0.0003, 0.00015, 0.0]
    """
    return (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0))) / 2
