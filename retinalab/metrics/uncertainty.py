"""How uncertain probabilities are: entropy of their mean, and what of it the members of an ensemble disagree about."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["entropy", "mutual_information"]


def entropy(probabilities: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Shannon entropy, H(p) = - sum_k p_k ln p_k, in nats.

    0 where one grade has all the probability, ln K where all K grades are as likely: 1.61 for five, 1.10 for three.
    What is below 0 counts as 0, and the sum as 1.

    Shape:
        - ``probabilities``: ``(..., K)``.
        - Returns: ``(...)`` float64 in [0, ln K].

    Example:
        >>> entropy([[1.0, 0.0], [0.5, 0.5]]).round(4).tolist()
        [0.0, 0.6931]
    """
    given = np.clip(np.asarray(probabilities, dtype=np.float64), 0.0, None)
    total = given.sum(axis=-1, keepdims=True)
    shares = np.divide(given, total, out=np.full_like(given, np.nan), where=total > 0)
    logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    found: npt.NDArray[np.float64] = np.abs((shares * logarithms).sum(axis=-1))
    return found


def mutual_information(members: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """What members disagree about: I = H(mean of p) - mean of H(p), in nats.

    0 where all say the same, however uncertain they are; at most the entropy of the mean, where each is certain of a
    grade of its own.

    Reference: Houlsby et al. 2011, Bayesian active learning by disagreement.

    Shape:
        - ``members``: ``(M, ..., K)`` probabilities.
        - Returns: ``(...)`` float64 in [0, ln K].

    Example:
        >>> mutual_information([[[1.0, 0.0]], [[0.0, 1.0]]]).round(4).tolist()
        [0.6931]
    """
    given = np.asarray(members, dtype=np.float64)
    shared: npt.NDArray[np.float64] = entropy(given.mean(axis=0)) - entropy(given).mean(axis=0)
    return np.clip(shared, 0.0, None)
