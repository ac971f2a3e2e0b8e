"""Tests between two methods on the same photographs, whose unit is the patient, and what they could have shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, norm, t

from retinalab.errors import RetinalabError
from retinalab.metrics.grading import Array
from retinalab.metrics.statistics import Interval

__all__ = [
    "exchange_test",
    "holm",
    "mcnemar",
    "resampled_t",
    "sign_flip_test",
    "smallest_difference",
]

_BLOCK = 1000
_TIE = 1e-9


def mcnemar(
    a: npt.ArrayLike, b: npt.ArrayLike, groups: npt.ArrayLike | None = None, mid_p: bool = True
) -> float:
    """Two-sided p-value of McNemar's test: are two methods right equally often on the same photographs?

    Photographs of one patient are not independent, so that the test takes the patient's surplus of right
    answers of one method over the other and lets its sign be either with probability 1/2
    (:func:`sign_flip_test`). With one photograph a patient this is McNemar's test, exact or with mid-p.

    Reference: McNemar, Psychometrika 1947; mid-p: Fagerland, Lydersen and Laake, BMC Medical Research
    Methodology 2013.

    Args:
        a, b: ``(n,)`` bool, whether each method is right.
        groups: ``(n,)`` patient of each photograph; none: each is another's.
        mid_p: as :func:`sign_flip_test`.

    Example:
        >>> a = [True] * 8 + [False] * 2 + [True] * 30
        >>> b = [False] * 8 + [True] * 2 + [True] * 30
        >>> round(mcnemar(a, b, mid_p=False), 6), round(mcnemar(a, b), 6)
        (0.109375, 0.06543)
    """
    surplus = np.asarray(a, dtype=np.int64) - np.asarray(b, dtype=np.int64)
    if groups is not None:
        _, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        surplus = np.bincount(index, weights=surplus).round().astype(np.int64)
    return sign_flip_test(surplus, mid_p)


def sign_flip_test(differences: npt.ArrayLike, mid_p: bool = True) -> float:
    """Two-sided p-value of sum(d) when each whole number d had the other sign with probability 1/2.

    The distribution is exact: d's of one size k add up to k (2 X - n), X binomial, and those of different
    sizes are convolved. P(T further from 0 than seen) + P(as far), the latter counting half with ``mid_p``,
    which keeps the level on average where the exact test stays below it.

    Shape:
        - ``differences``: ``(G,)`` integers, one for each patient.
    """
    d = np.asarray(differences, dtype=np.int64)
    if not d.any():
        return 1.0
    sizes, counts = np.unique(np.abs(d[d != 0]), return_counts=True)
    law = np.ones(1)  # of sum(d) from -reach to reach
    for size, n in zip(sizes.tolist(), counts.tolist(), strict=True):
        each = np.zeros(2 * size * n + 1)
        each[:: 2 * size] = binom.pmf(np.arange(n + 1), n, 0.5)
        law = np.convolve(law, each)
    total = np.abs(np.arange(law.size) - law.size // 2)
    seen = abs(int(d.sum()))
    tied = float(law[total == seen].sum())
    return float(min(1.0, law[total > seen].sum() + tied * (0.5 if mid_p else 1.0)))


def exchange_test(
    a: Array,
    b: Array,
    statistic: Callable[[Array], Array],
    gradient: Callable[[Array], Array],
    permutations: int = 9999,
    seed: int = 0,
) -> float:
    """Two-sided p-value of a difference when the two methods change places patient by patient.

    Were the methods equal, a patient's predictions of the one could as well be those of the other: each
    permutation exchanges them for about half of the patients, for all seeds of training together.
    p = (1 + permutations with a difference as large) / (1 + permutations).

    Differences are compared in units of their own standard errors, by how much each patient moves them (delta
    method). Without that the test asks whether the methods are alike in every way: two that grade equally well but
    in other places, or one that gives nearly everybody one grade, make mixtures of far larger spread than either
    method has, and a plain difference is lost in it.

    Reference: Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005, section 3.7 (matched
    pairs); Chung and Romano, Annals of Statistics 2013 (studentised permutation); the count of 1: Phipson and
    Smyth, Statistical Applications in Genetics and Molecular Biology 2010.

    Args:
        statistic: sums ``(..., S, C)`` over patients to ``(..., S)`` figures, whose mean over S is compared; equal
            for twice as many of everything.
        gradient: its derivative with respect to the sums, ``(..., S, C)``.
        permutations: number of random permutations.
        seed: of the permutations.

    Shape:
        - ``a``, ``b``: ``(G, S, C)`` counts of each patient for each pair of seeds, such as the C cells of a
          confusion matrix.
    """
    moved = (a != b).any(axis=(1, 2))
    pairs = a.shape[1]
    first, second = (side[moved].reshape(int(moved.sum()), a[0].size) for side in (a, b))
    same = a[~moved].reshape(-1, a[0].size)
    fixed = same.T @ same
    whole = [side.sum(axis=0) for side in (a, b)]

    def studentised(exchanged: Array) -> Array:
        """``(P,)`` differences over their standard errors, ``exchanged`` ``(P, patients that differ)`` 0 or 1."""
        shift = (exchanged @ (second - first)).reshape(len(exchanged), *a.shape[1:])
        sums = whole[0] + shift, whole[1] - shift
        difference = statistic(sums[0]).mean(axis=-1) - statistic(sums[1]).mean(axis=-1)
        slopes = [gradient(one).reshape(len(exchanged), a[0].size) / pairs for one in sums]
        apart = slopes[0] - slopes[1]
        kept = slopes[0] @ first.T - slopes[1] @ second.T
        swapped = slopes[0] @ second.T - slopes[1] @ first.T
        influence = np.where(exchanged > 0, swapped, kept)
        variance = (influence**2).sum(axis=1) + ((apart @ fixed) * apart).sum(axis=1)
        error = np.sqrt(np.maximum(variance, 0.0))
        out: Array = np.divide(difference, error, out=np.sign(difference) * np.inf, where=error > _TIE)
        return np.where(np.abs(difference) <= _TIE, 0.0, out)

    with np.errstate(invalid="ignore"):
        seen = float(studentised(np.zeros((1, first.shape[0])))[0])
        if np.isnan(seen):
            return float("nan")
        generator = np.random.default_rng(seed)
        as_large = 0
        for start in range(0, permutations, _BLOCK):
            rows = min(_BLOCK, permutations - start)
            exchanged = generator.integers(2, size=(rows, first.shape[0])).astype(np.float64)
            as_large += int((~(np.abs(studentised(exchanged)) < abs(seen) - _TIE)).sum())
    return (1 + as_large) / (1 + permutations)


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number, so that any false rejection among them is as rare as stated.

    The smallest of m is multiplied by m, the next by m - 1, ..., none falling below one before it. An
    undefined p-value (nan) stays so and does not count.

    Reference: Holm, Scandinavian Journal of Statistics 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    out = np.full(values.size, np.nan)
    order = np.argsort(values, kind="stable")
    order = order[~np.isnan(values[order])]
    factors = np.arange(order.size, 0, -1)
    out[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return [float(value) for value in out]


def resampled_t(differences: npt.ArrayLike, test_to_train: float, level: float = 0.95) -> Interval:
    """Mean difference over folds with the corrected interval and p-value of Nadeau and Bengio.

    Folds share most of their training photographs, so that their differences d vary too little: the variance
    of the mean is taken as (1 / k + n_test / n_train) s^2, s^2 the variance (k - 1) of the k differences, and
    t has k - 1 degrees of freedom.

    Reference: Nadeau and Bengio, Machine Learning 2003, section 3 (corrected resampled t-test).

    Args:
        differences: ``(k,)`` one for each fold.
        test_to_train: photographs tested over photographs trained on, in a fold.
        level: confidence.

    Returns:
        The mean with its limits, its standard error and the p-value of 0; without limits below two folds.

    Raises:
        RetinalabError: the ratio is not above 0.

    Example:
        >>> found = resampled_t([0.02, 0.04, 0.03, 0.01, 0.05], test_to_train=0.25)
        >>> round(found.value, 4), round(found.error, 4), round(found.p, 3)
        (0.03, 0.0106, 0.047)
    """
    if not test_to_train > 0:
        raise RetinalabError(
            f"The ratio of test to training photographs is {test_to_train}. Give one above 0, such as 1 / 9 "
            "for ten folds."
        )
    d = np.asarray(differences, dtype=np.float64)
    if d.size < 2 or not np.isfinite(d).all():
        mean = float(d.mean()) if d.size else float("nan")
        return Interval(mean, np.nan, np.nan, "no interval: fewer than two folds where it is defined")
    error = float(np.sqrt((1 / d.size + test_to_train) * d.var(ddof=1)))
    mean = float(d.mean())
    if error == 0:
        return Interval(mean, mean, mean, "every fold gives this value", 0.0, 1.0 if mean == 0 else np.nan)
    reach = float(t.ppf((1 + level) / 2, d.size - 1)) * error
    p = float(2 * t.sf(abs(mean) / error, d.size - 1))
    return Interval(mean, mean - reach, mean + reach, error=error, p=p)


def smallest_difference(error: float, power: float = 0.8, size: float = 0.05) -> float:
    """The smallest true difference that a two-sided test of this size would have found with this power.

    (z_{1 - size / 2} + z_power) · error; with the defaults 2.80 standard errors of the paired difference on
    these photographs. A difference below it that was not found is not shown to be absent. Undefined (nan) where the
    difference does not vary at all, as between runs that answer alike: no spread was seen, which says nothing of power.

    Reference: Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, chapter 2 (normal
    approximation).

    Example:
        >>> round(smallest_difference(0.01), 4)
        0.028
    """
    return float((norm.ppf(1 - size / 2) + norm.ppf(power)) * error) if error else float("nan")
