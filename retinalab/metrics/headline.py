"""Which figures of a comparison are tested, and by which test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd, lcm

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.grading import Array, kappa, kappa_gradient
from retinalab.metrics.paired import exchange_test, sign_flip_test
from retinalab.metrics.statistics import Clusters

__all__ = ["TESTS", "accuracy_p", "headline_figures", "kappa_p", "seed_pairs", "share_p"]

TESTS = {
    "kappa": "permutation",
    "auc": "bootstrap",
    "auc_referable": "bootstrap",
    "accuracy": "McNemar",
    "sensitivity_referable": "McNemar",
    "specificity_referable": "McNemar",
}
"""Figure -> its test: ``permutation`` exchanges two methods patient by patient
(:func:`~retinalab.metrics.paired.exchange_test`), ``bootstrap`` inverts the interval over patients
(:func:`~retinalab.metrics.statistics.bootstrap`), ``McNemar`` flips the sign of each patient's surplus of right
answers, mid-p (:func:`~retinalab.metrics.paired.sign_flip_test`)."""


def headline_figures(figures: Sequence[str]) -> list[str]:
    """Those of a target's figures that are tested: of two areas under the curve that for referable disease.

    Example:
        >>> headline_figures(["accuracy", "kappa", "mae", "auc", "auc_referable"])
        ['accuracy', 'kappa', 'auc_referable']
    """
    return [name for name in figures if name in TESTS and not (name == "auc" and "auc_referable" in figures)]


def seed_pairs(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """Seeds of two sides matched, each of a side equally often: equal ones, then the others in order.

    Example:
        >>> seed_pairs([0, 1, 2], [2, 1, 0]), seed_pairs([0, 1], [5])
        ([(0, 0), (1, 1), (2, 2)], [(0, 5), (1, 5)])
    """
    shared = [seed for seed in a if seed in b]
    both = [[*shared, *(seed for seed in side if seed not in shared)] for side in (a, b)]
    length = lcm(len(a), len(b))
    first, second = ([seed for seed in side for _ in range(length // len(side))] for side in both)
    return list(zip(first, second, strict=True))


def kappa_p(
    a: pd.DataFrame,
    b: pd.DataFrame,
    clusters: Clusters,
    disease: str,
    size: int,
    seed: int,
    permutations: int = 9999,
) -> float:
    """P-value of the difference of two quadratic weighted kappas, each the mean over its seeds.

    Args:
        a, b: predictions of the same photographs, references known.
        clusters: their patients.
        disease, size: what is graded, into how many grades.
        seed, permutations: as for :func:`~retinalab.metrics.paired.exchange_test`.
    """
    pairs = seed_pairs(*([int(s) for s in sorted(side["seed"].unique())] for side in (a, b)))

    def by_pair(side: pd.DataFrame, which: int) -> Array:
        seeds = [pair[which] for pair in pairs]
        cells = {s: _cells(side[side["seed"] == s], clusters, disease, size) for s in set(seeds)}
        return np.stack([cells[s] for s in seeds], axis=1)

    def statistic(sums: Array) -> Array:
        return kappa(sums.reshape(*sums.shape[:-1], size, size))

    def gradient(sums: Array) -> Array:
        return kappa_gradient(sums.reshape(*sums.shape[:-1], size, size)).reshape(sums.shape)

    return exchange_test(by_pair(a, 0), by_pair(b, 1), statistic, gradient, permutations, seed)


def share_p(
    a: pd.DataFrame,
    b: pd.DataFrame,
    clusters: Clusters,
    right: Callable[[pd.DataFrame, int], npt.NDArray[np.bool_]],
) -> float:
    """P-value of the difference of two shares of right answers, each the mean over its seeds.

    Args:
        a, b: predictions of the same photographs, of those alone whose answers count.
        clusters: their patients.
        right: rows and the side that they are of, 0 or 1, to whether each is answered right.
    """
    seeds = [side["seed"].nunique() for side in (a, b)]
    divisor = gcd(*seeds)
    sums = [
        np.bincount(clusters.index(side["group"]), weights=right(side, k), minlength=clusters.size)
        for k, side in enumerate((a, b))
    ]
    surplus = sums[0] * (seeds[1] // divisor) - sums[1] * (seeds[0] // divisor)
    return sign_flip_test(surplus.round().astype(np.int64))


def accuracy_p(a: pd.DataFrame, b: pd.DataFrame, clusters: Clusters, diseases: Sequence[str]) -> float:
    """P-value of the difference of two accuracies; of several diseases, all graded right."""

    def all_right(rows: pd.DataFrame, _: int) -> npt.NDArray[np.bool_]:
        each = [rows[d].to_numpy() == rows[f"{d}_grade"].to_numpy() for d in diseases]
        right: npt.NDArray[np.bool_] = np.all(each, axis=0)
        return right

    return share_p(a, b, clusters, all_right)


def _cells(rows: pd.DataFrame, clusters: Clusters, disease: str, size: int) -> Array:
    """``(G, size^2)`` confusion matrix of each patient."""
    reference, predicted = (rows[name].to_numpy(dtype=np.int64) for name in (disease, f"{disease}_grade"))
    flat = clusters.index(rows["group"]) * size**2 + reference * size + predicted
    return np.bincount(flat, minlength=clusters.size * size**2).reshape(clusters.size, -1).astype(np.float64)
