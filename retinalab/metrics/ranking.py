"""Area under the ROC curve for many weightings of patients at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retinalab.metrics.grading import Array, Ranking, ratio

__all__ = ["ClusterRanking"]

_FEW = 400


class ClusterRanking:
    """The area of :class:`~retinalab.metrics.grading.Ranking`, read from weights of clusters.

    With M_gh the wins of the positive photographs of cluster g over the negative ones of h, ties counting
    half, and p and n the numbers of either, the area is w'M w / (w'p w'n). For few clusters that is one small
    product for each weighting; for many, the sorted photographs are summed instead.

    Args:
        positive: ``(n,)`` bool.
        score: ``(n,)``, higher means more likely positive.
        index: ``(n,)`` cluster of each photograph, below ``clusters``.
        clusters: their number G.

    Example:
        >>> ranking = ClusterRanking([False, True, True], [0.1, 0.1, 0.9], [0, 1, 1], 2)
        >>> ranking(np.array([[1.0, 1.0], [2.0, 0.0]])).tolist()
        [0.75, nan]
    """

    def __init__(
        self, positive: npt.ArrayLike, score: npt.ArrayLike, index: npt.ArrayLike, clusters: int
    ) -> None:
        positive, score = np.asarray(positive, dtype=bool), np.asarray(score)
        self._index = np.asarray(index, dtype=np.int64)
        self._ranking = None if clusters <= _FEW else Ranking(positive, score)
        if self._ranking is None:
            members = np.zeros((clusters, positive.size))
            members[self._index, np.arange(positive.size)] = 1.0
            ill, well = members[:, positive], members[:, ~positive]
            above = np.subtract.outer(score[positive], score[~positive])
            self._wins = ill @ ((np.sign(above) + 1) / 2) @ well.T
            self._ill, self._well = ill.sum(axis=1), well.sum(axis=1)

    def __call__(self, weights: Array) -> Array:
        """Area for each weighting: ``(b, G)`` to ``(b,)``; nan where either side has no weight."""
        if self._ranking is not None:
            return self._ranking(weights[:, self._index])
        wins = np.einsum("bg,bg->b", weights @ self._wins, weights)
        return ratio(wins, (weights @ self._ill) * (weights @ self._well))
