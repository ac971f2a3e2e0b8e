"""Learning rates that several papers use."""

from __future__ import annotations

import math

__all__ = ["cosine"]


def cosine(step: int, total: int, warmup: int = 0) -> float:
    """Factor of the learning rate: linear from 0 over ``warmup`` steps, then a half cosine from 1 to 0.

    Example:
        >>> cosine(0, 27_000), round(cosine(13_500, 27_000), 6), round(cosine(27_000, 27_000), 6)
        (1.0, 0.5, 0.0)
    """
    if step < warmup:
        return step / warmup
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.5 * (1 + math.cos(math.pi * share))
