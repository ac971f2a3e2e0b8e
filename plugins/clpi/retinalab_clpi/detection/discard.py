"""Annotations that go missing: a seeded share of all lesions of the training photographs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retinalab.data.window_table import discarded
from retinalab.errors import RetinalabError

__all__ = ["annotated"]


def annotated(lesions: Sequence[int], rate: float, seed: int) -> tuple[np.ndarray, ...]:
    """Which lesions keep their annotation.

    Lesions are drawn from all photographs together. What is lost at one rate is lost at every higher rate of the same
    seed, so that two rates differ by the loss alone. The same lesions are lost as by ``data.windows.discard``.

    Reference: section V, Figure 8.

    Args:
        lesions: how many lesions each photograph has.
        rate: share that is lost.
        seed: of the draw.

    Returns:
        For each photograph ``(n,)`` bool.

    Raises:
        RetinalabError: a rate outside [0, 1).

    Example:
        >>> [int(kept.sum()) for kept in annotated([6, 0, 4], 0.0, seed=0)]
        [6, 0, 4]
        >>> sum(int(kept.sum()) for kept in annotated([6, 0, 4], 0.3, seed=0))
        7
    """
    if not 0 <= rate < 1:
        raise RetinalabError(
            f"Cannot discard a share of {rate} of the lesions. Give a rate of 0 or more and below 1, such as 0.3."
        )
    return tuple(~lost for lost in discarded(lesions, rate, seed))
