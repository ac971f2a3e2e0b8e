"""What a comparison says of one figure of two methods, ready for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NotRequired, TypedDict

import numpy as np

from retinalab.metrics.measure import Metric
from retinalab.metrics.statistics import Interval

__all__ = ["Difference", "FoldValues", "Folds", "SeedValues", "difference_of", "finite"]


class SeedValues(TypedDict):
    """One training seed's figure on each side; None where that side was not trained with it or it is undefined."""

    seed: int
    a: float | None
    b: float | None
    difference: float | None


class FoldValues(TypedDict):
    """One fold's figure on each side, the mean over its seeds; None where it is undefined."""

    fold: int
    a: float | None
    b: float | None
    difference: float | None


class Folds(TypedDict):
    """Mean difference over folds with Nadeau and Bengio's interval and p-value.

    ``test_to_train`` is the ratio of photographs that the variance is corrected with.
    """

    mean: float | None
    low: float | None
    high: float | None
    error: float | None
    p: float | None
    test_to_train: float
    values: list[FoldValues]
    note: NotRequired[str]


class Difference(TypedDict):
    """One figure of two methods on the same photographs; None where it is undefined, and then ``note`` says why.

    ``low`` and ``high`` bound ``difference`` = a - b under another sample of patients, the networks being as
    they are; ``error`` is its standard error over the resamples, and ``smallest_difference`` the true
    difference that this test part would have shown with 80 % power at a two-sided 5 %. What another training
    would have changed stands apart, in the entries on seeds: they are there if either side was trained with
    several. ``a`` and ``b`` are then means over all seeds of their side, ``sd_seeds_a`` and ``sd_seeds_b``
    standard deviations between its seeds (n - 1) and ``sd_seeds_difference`` that of the differences of equal
    seeds; None below two.

    A figure that is tested has ``test`` (:data:`retinalab.metrics.headline.TESTS`), the two-sided ``p`` and
    ``p_holm``, corrected for all tests of the comparison. ``folds`` is there where the photographs were
    tested in several folds.
    """

    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    n: int
    n_groups: int
    error: NotRequired[float | None]
    smallest_difference: NotRequired[float | None]
    note: NotRequired[str]
    seeds: NotRequired[list[SeedValues]]
    sd_seeds_a: NotRequired[float | None]
    sd_seeds_b: NotRequired[float | None]
    sd_seeds_difference: NotRequired[float | None]
    test: NotRequired[str]
    p: NotRequired[float | None]
    p_holm: NotRequired[float | None]
    folds: NotRequired[Folds]


def difference_of(
    interval: Interval, a: tuple[Metric, list[int]], b: tuple[Metric, list[int]], smallest: float
) -> Difference:
    """A difference and its interval beside both sides' figures, each with its seeds in order."""
    (first, _), (second, _) = a, b
    out = Difference(
        a=first["value"], b=second["value"], difference=finite(interval.value), low=finite(interval.low),
        high=finite(interval.high), n=first["n"], n_groups=first["n_groups"], error=finite(interval.error),
        smallest_difference=finite(smallest),
    )  # fmt: skip
    undefined = [f"{x}: {m.get('note', '')}" for x, m in (("a", first), ("b", second)) if m["value"] is None]
    note = "; ".join(undefined) or interval.note
    if note:
        out["note"] = note
    if max(len(a[1]), len(b[1])) > 1:
        _add_seeds(out, a, b)
    return out


def _add_seeds(out: Difference, a: tuple[Metric, list[int]], b: tuple[Metric, list[int]]) -> None:
    left, right = (
        dict(zip(seeds, metric.get("seeds", [metric["value"]]), strict=True)) for metric, seeds in (a, b)
    )
    out["seeds"] = [_seed(int(seed), left.get(seed), right.get(seed)) for seed in sorted({*left, *right})]
    out["sd_seeds_a"], out["sd_seeds_b"] = _spread(left.values()), _spread(right.values())
    shared = [one["difference"] for one in out["seeds"] if one["seed"] in left and one["seed"] in right]
    out["sd_seeds_difference"] = _spread(shared)


def finite(value: float) -> float | None:
    """A number as JSON can hold it."""
    return float(value) if np.isfinite(value) else None


def _seed(seed: int, a: float | None, b: float | None) -> SeedValues:
    return SeedValues(seed=seed, a=a, b=b, difference=None if a is None or b is None else a - b)


def _spread(values: Iterable[float | None]) -> float | None:
    known = list(values)
    if len(known) < 2 or None in known:
        return None
    return float(np.std(np.array(known, dtype=np.float64), ddof=1))
