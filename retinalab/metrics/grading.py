"""Agreement of predicted with reference grades, from confusion matrices and rankings that may carry weights.

Weights are multiplicities: a photograph that a bootstrap resample drew twice has weight 2, one that it left
out 0. Every function takes any number of resamples at once in the leading axes and gives nan where a figure
is undefined.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from retinalab.errors import unknown
from retinalab.protocol import Scale

__all__ = [
    "Array",
    "Ranking",
    "accuracy",
    "binary_auc",
    "confusion_matrix",
    "grade_error",
    "kappa",
    "kappa_gradient",
    "mean_defined",
    "one_vs_rest_auc",
    "precision_recall_f1",
    "ratio",
    "referable_score",
    "score_from",
    "sensitivity",
    "summary",
    "unacceptable_errors",
]

Array = npt.NDArray[np.float64]
"""Counts and figures, with any number of resamples in the leading axes."""


def confusion_matrix(
    reference: npt.ArrayLike, predicted: npt.ArrayLike, size: int, weights: npt.ArrayLike | None = None
) -> Array:
    """Photographs of each reference grade (row) by predicted grade (column).

    Shape:
        - ``reference``, ``predicted``: ``(n,)``, integers; rows whose reference is negative (unknown) are
          left out.
        - ``weights``: ``(..., n)`` multiplicities; none means one each.
        - Returns: ``(..., size, size)``, float64.

    Example:
        >>> confusion_matrix([0, 0, 1, -1], [0, 1, 1, 1], 2).tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    reference, predicted = np.asarray(reference, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    known = reference >= 0
    cells = reference[known] * size + predicted[known]
    if weights is None:
        return np.bincount(cells, minlength=size * size).reshape(size, size).astype(np.float64)
    weights = np.asarray(weights, dtype=np.float64)
    indicator = np.zeros((cells.size, size * size))
    indicator[np.arange(cells.size), cells] = 1.0
    counts: Array = (weights[..., known] @ indicator).reshape(*weights.shape[:-1], size, size)
    return counts


def accuracy(confusion: Array) -> Array:
    """Share of photographs whose predicted grade is the reference grade; ``(..., K, K)`` to ``(...)``."""
    return ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def kappa(confusion: Array, weights: Literal["none", "linear", "quadratic"] = "quadratic") -> Array:
    """Cohen's kappa, 1 - sum(w o) / sum(w e), with disagreement weights w = [i != j], |i - j| or (i - j)^2.

    Undefined (nan) where references and predictions are all of one and the same grade.

    Reference: Cohen, Psychological Bulletin 1968, weighted kappa.

    Shape:
        - ``confusion``: ``(..., K, K)``.
        - Returns: ``(...)``, at most 1.

    Example:
        >>> float(kappa(np.array([[20.0, 5.0], [10.0, 15.0]]), "none").round(6))
        0.4
    """
    size = confusion.shape[-1]
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    powers = {"none": 0, "linear": 1, "quadratic": 2}
    if weights not in powers:
        raise unknown("kappa weighting", weights, powers)
    cost = (distance > 0).astype(np.float64) if weights == "none" else distance ** powers[weights]
    flat, one = confusion.reshape(*confusion.shape[:-2], size * size), np.eye(size)
    reference, predicted = flat @ one.repeat(size, axis=0), flat @ np.tile(one, (size, 1))
    observed = flat @ cost.ravel()
    expected = ((reference @ cost) * predicted).sum(axis=-1)
    return 1.0 - ratio(observed * reference.sum(axis=-1), expected)


def kappa_gradient(confusion: Array) -> Array:
    """Derivative of the quadratic weighted :func:`kappa` with respect to each cell of the confusion matrix.

    A patient's cells times it, summed, are how much that patient moves kappa; over all photographs they add up to 0.

    Shape:
        - ``confusion``: ``(..., K, K)``.
        - Returns: ``(..., K, K)``; 0 where kappa is undefined.
    """
    size = confusion.shape[-1]
    cost = np.subtract.outer(np.arange(size), np.arange(size)).astype(np.float64) ** 2
    reference, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total = reference.sum(axis=-1)[..., None, None]
    observed = (confusion * cost).sum(axis=(-2, -1))[..., None, None]
    by_reference, by_prediction = predicted @ cost, reference @ cost
    expected = (by_reference * reference).sum(axis=-1)[..., None, None]
    change = by_reference[..., :, None] + by_prediction[..., None, :]
    return ratio(total * observed * change, expected**2, 0.0) - ratio(observed + total * cost, expected, 0.0)


def sensitivity(confusion: Array) -> Array:
    """Share of each reference grade that is predicted as such, ``(..., K)``; nan for an absent grade."""
    return ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1))


def precision_recall_f1(confusion: Array) -> Array:
    """Macro precision, recall and F1 over the grades; for two grades those of the upper one.

    A grade counts in the mean if it occurs among references or predictions; a ratio without denominator is 0
    (scikit-learn's default labels with ``zero_division=0``).

    Shape:
        - ``confusion``: ``(..., K, K)``.
        - Returns: ``(..., 3)``: precision, recall, F1; nan where there is no photograph.
    """
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    reference, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    each = np.stack(
        [ratio(hit, predicted, 0.0), ratio(hit, reference, 0.0), ratio(2 * hit, reference + predicted, 0.0)],
        axis=-1,
    )
    if confusion.shape[-1] == 2:
        some = confusion.sum(axis=(-2, -1)) > 0
        return np.where(some[..., None], each[..., 1, :], np.nan)
    occurs = (reference + predicted) > 0
    return ratio((each * occurs[..., None]).sum(axis=-2), occurs.sum(axis=-1)[..., None])


def grade_error(confusion: Array) -> Array:
    """Mean absolute difference of predicted and reference grade; ``(..., K, K)`` to ``(...)``."""
    size = confusion.shape[-1]
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    return ratio((confusion * distance).sum(axis=(-2, -1)), confusion.sum(axis=(-2, -1)))


def unacceptable_errors(confusion: Array, scale: Scale) -> dict[str, Array]:
    """Photographs graded low though severe, or severe though low, by which way they were mistaken.

    On the ICDR scale: none or mild (0-1) taken for severe or proliferative (3-4), and the reverse.

    Reference: CLPI, section IV-D, Table VII (the corners of the confusion matrices).

    Shape:
        - ``confusion``: ``(..., K, K)``, K grades of ``scale``.
        - Returns: the two ways in words to counts ``(...)``; empty where the scale knows no such errors.

    Example:
        >>> from retinalab.protocol import SCALES
        >>> found = unacceptable_errors(np.arange(25.0).reshape(5, 5), SCALES["icdr5"])
        >>> {way: float(count) for way, count in found.items()}
        {'0-1 as 3-4': 24.0, '3-4 as 0-1': 72.0}
    """
    if scale.unacceptable is None:
        return {}
    low, high = scale.unacceptable
    last = scale.size - 1
    mild, severe = (f"{a}-{b}" if a < b else f"{a}" for a, b in ((0, low), (high, last)))
    return {
        f"{mild} as {severe}": confusion[..., : low + 1, high:].sum(axis=(-2, -1)),
        f"{severe} as {mild}": confusion[..., high:, : low + 1].sum(axis=(-2, -1)),
    }


def summary(confusion: Array, scale: Scale) -> dict[str, Array]:
    """Every figure that a confusion matrix alone gives, by its name in the metric keys.

    Shape:
        - ``confusion``: ``(..., K, K)``, K grades of ``scale``.
        - Returns: name to ``(...)``.
    """
    precision, recall, f1 = np.moveaxis(precision_recall_f1(confusion), -1, 0)
    figures = {"accuracy": accuracy(confusion), "kappa_unweighted": kappa(confusion, "none")}
    if scale.ordinal:
        figures |= {
            "kappa": kappa(confusion),
            "kappa_linear": kappa(confusion, "linear"),
            "mae": grade_error(confusion),
        }
    figures |= {"precision": precision, "recall": recall, "f1": f1}
    if errors := list(unacceptable_errors(confusion, scale).values()):
        figures["unacceptable"] = ratio(sum(errors), confusion.sum(axis=(-2, -1)))
    each = sensitivity(confusion)
    return figures | {f"sensitivity_{grade}": each[..., grade] for grade in range(scale.size)}


class Ranking:
    """Area under the ROC curve, sorted once and then read for any number of weightings.

    The area is the probability that a positive photograph scores above a negative one, ties counting half.

    Args:
        positive: ``(n,)`` bool.
        score: ``(n,)``, higher means more likely positive.

    Reference: Hanley and McNeil, Radiology 1982.

    Example:
        >>> ranking = Ranking(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
        >>> float(ranking(np.ones(3))), float(ranking(np.array([1, 2, 0])))
        (0.75, 0.5)
    """

    def __init__(self, positive: npt.ArrayLike, score: npt.ArrayLike) -> None:
        positive, score = np.asarray(positive, dtype=bool), np.asarray(score)
        self._positive = np.flatnonzero(positive)
        negative = np.flatnonzero(~positive)
        self._negative = negative[np.argsort(score[negative], kind="stable")]
        ordered = score[self._negative]
        self._below = np.searchsorted(ordered, score[self._positive], side="left")
        self._not_above = np.searchsorted(ordered, score[self._positive], side="right")

    def __call__(self, weights: npt.ArrayLike) -> Array:
        """Area for each weighting: ``(..., n)`` to ``(...)``; nan where either side has no weight."""
        weights = np.asarray(weights, dtype=np.float64)
        positive = weights[..., self._positive]
        passed = np.zeros((*weights.shape[:-1], self._negative.size + 1))
        np.cumsum(weights[..., self._negative], axis=-1, out=passed[..., 1:])
        twice = passed[..., self._below]
        twice += passed[..., self._not_above]
        wins = np.einsum("...i,...i->...", positive, twice)
        return ratio(wins, 2.0 * positive.sum(axis=-1) * passed[..., -1])


def binary_auc(positive: npt.ArrayLike, score: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Array:
    """Area under the ROC curve of :class:`Ranking`, for one use."""
    ranking = Ranking(positive, score)
    return ranking(np.ones(np.shape(score)) if weights is None else weights)


def one_vs_rest_auc(
    reference: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> Array:
    """Mean over the grades of the area that separates one from all others; a grade that is absent is skipped.

    Shape:
        - ``reference``: ``(n,)`` grades, all known; ``probabilities``: ``(n, K)``; ``weights``: ``(..., n)``.
        - Returns: ``(...)``.
    """
    reference, probabilities = np.asarray(reference), np.asarray(probabilities)
    weights = np.ones(reference.shape) if weights is None else np.asarray(weights)
    rankings = [Ranking(reference == grade, column) for grade, column in enumerate(probabilities.T)]
    return mean_defined(np.stack([ranking(weights) for ranking in rankings], axis=-1))


def referable_score(probabilities: npt.ArrayLike, scale: Scale) -> npt.NDArray[np.floating]:
    """Probability of referable disease, the sum from ``scale.referable`` up; ``(n, K)`` to ``(n,)``."""
    return score_from(probabilities, scale.referable)


def score_from(probabilities: npt.ArrayLike, lowest: int) -> npt.NDArray[np.floating]:
    """Probability of grade ``lowest`` or any above it; ``(n, K)`` to ``(n,)``."""
    total: npt.NDArray[np.floating] = np.asarray(probabilities)[:, lowest:].sum(axis=1)
    return total


def mean_defined(values: Array) -> Array:
    """Mean over the last axis of the values that are not nan; nan where there is none."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike, otherwise: float = np.nan) -> Array:
    """Quotient where the denominator is above 0, ``otherwise`` elsewhere."""
    numerator, denominator = (
        np.asarray(numerator, dtype=np.float64),
        np.asarray(denominator, dtype=np.float64),
    )
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    quotient: Array = np.full(shape, otherwise)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
