"""Intervals by the bootstrap over patients: photographs of one patient are drawn together or not at all.

A figure is a :data:`Panel`: a function from the weight of each cluster in a draw to one or several values. It
sees weights only, so that a thousand resamples are one call, a difference between two methods is the
difference of two panels under the same draws, and any figure of :mod:`retinalab.metrics.grading` can be
given an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from retinalab.errors import RetinalabError
from retinalab.metrics.grading import Array

__all__ = ["Clusters", "Interval", "Panel", "bootstrap", "jackknife", "resample"]

Panel = Callable[[Array], Array]
"""``(b, G)`` weights of G clusters to ``(b, M)`` values of M figures."""

_CELLS = 1 << 20  # weights held at once: eight megabytes
_DELETIONS = 2000


@dataclass(frozen=True)
class Clusters:
    """The units of independence and the strata within which they are drawn.

    Attributes:
        names: ``(G,)`` distinct groups, sorted.
        strata: for each stratum the positions in ``names`` of its clusters.
    """

    names: npt.NDArray[np.str_]
    strata: tuple[npt.NDArray[np.int64], ...]

    @classmethod
    def of(cls, groups: npt.ArrayLike, severity: npt.ArrayLike | None = None) -> Clusters:
        """Clusters of the given rows, stratified by the worst ``severity`` among the rows of each.

        A stratum of one cluster could not vary: it joins the next lower one (the lowest joins the next
        higher).

        Args:
            groups: ``(n,)`` text, the unit of independence of each row.
            severity: ``(n,)`` integers, such as the reference grade; none: a single stratum.

        Raises:
            RetinalabError: no row.
        """
        names, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        if not names.size:
            raise RetinalabError("No photograph to resample. Give a table with at least one row.")
        worst = np.zeros(names.size, dtype=np.int64)
        if severity is not None:
            worst[:] = np.iinfo(np.int64).min
            np.maximum.at(worst, index, np.asarray(severity, dtype=np.int64))
        strata: list[npt.NDArray[np.int64]] = []
        for level in np.unique(worst):
            members = np.flatnonzero(worst == level)
            if strata and (members.size < 2 or strata[-1].size < 2):
                strata[-1] = np.concatenate([strata[-1], members])
            else:
                strata.append(members)
        return cls(names, tuple(strata))

    @property
    def size(self) -> int:
        """Number of clusters G."""
        return int(self.names.size)

    def index(self, groups: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Position in ``names`` of each row's group; every group must be among the names."""
        return np.searchsorted(self.names, np.asarray(groups, dtype=str)).astype(np.int64)


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence limits; nan where undefined, and then ``note`` says why.

    Attributes:
        error: standard error, over the resamples or in closed form.
        p: two-sided, of the value that was asked about; nan where none was.
    """

    value: float
    low: float
    high: float
    note: str = ""
    error: float = np.nan
    p: float = np.nan


def resample(clusters: Clusters, resamples: int, seed: int) -> Iterator[Array]:
    """Weights of the clusters in bootstrap resamples, in blocks ``(b, G)``.

    Within each stratum of n clusters n - 1 are drawn, with replacement, and each draw weighs n / (n - 1): the
    total stays n, and the variance of a mean is the unbiased one, where n draws would give (n - 1) / n of it.
    With a handful of patients of the rarest grade that is the difference between too narrow and right.

    Reference: Rao and Wu, JASA 1988; Rao, Wu and Yue, Survey Methodology 1992 (rescaling bootstrap).
    """
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // clusters.size)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        counts = np.zeros((rows, clusters.size))
        for members in clusters.strata:
            n = members.size
            draws = max(1, n - 1)
            drawn = generator.integers(n, size=(rows, draws)) + np.arange(rows)[:, None] * n
            times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
            counts[:, members] = times * (n / draws)
        yield counts


def jackknife(panel: Panel, clusters: Clusters, deletions: int = _DELETIONS) -> tuple[Array, ...]:
    """Values without one cluster at a time, for each stratum ``(clusters in it, M)``.

    Above ``deletions`` clusters, random blocks of clusters are left out instead: third and second moments
    of the influence add up over a block, so the acceleration keeps its expectation at a bounded cost.
    """
    generator = np.random.default_rng(0)
    share = min(1.0, deletions / clusters.size)
    values = []
    for members in clusters.strata:
        blocks = min(members.size, max(2, round(share * members.size)))
        order = members if blocks == members.size else generator.permutation(members)
        part = np.arange(members.size) * blocks // members.size
        height = max(1, _CELLS // clusters.size)
        stratum = []
        for start in range(0, blocks, height):
            counts = np.ones((min(height, blocks - start), clusters.size))
            inside = (part >= start) & (part < start + counts.shape[0])
            counts[part[inside] - start, order[inside]] = 0.0
            stratum.append(panel(counts))
        values.append(np.concatenate(stratum))
    return tuple(values)


def bootstrap(
    panel: Panel,
    clusters: Clusters,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
    null: float | None = None,
) -> list[Interval]:
    """Confidence interval of every figure of a panel, all from the same resamples.

    BCa, bias-corrected and accelerated: the bias from the share of resamples below the value (ties count
    half), the acceleration from the jackknife over clusters, centred within strata. It falls back, and says
    so in the note: to the value itself where every resample gives it, to percentiles where bias or
    acceleration is undefined, to no interval where there is one cluster only or more than half of the
    resamples are undefined. Undefined resamples are left out and counted in the note.

    The p-value is the level at which the interval would just reach ``null``: below 0.05 where the 95 % interval
    leaves it out. It is never below 1 / (resamples + 1), what that number of resamples can tell.

    Reference: Efron, JASA 1987; Davison and Hinkley 1997, section 5.3 (several samples).

    Args:
        panel: the figures.
        clusters: the units that are drawn.
        resamples: number of bootstrap resamples.
        seed: of the draws; equal seeds and clusters give equal draws, whatever the panel.
        level: confidence.
        method: ``percentile`` skips bias correction and acceleration.
        null: the value that every figure is tested against, such as 0 for a difference; none: no p-value.
    """
    value = panel(np.ones((1, clusters.size)))[0]
    if clusters.size < 2 or resamples < 1:
        note = "no interval: a single group" if clusters.size < 2 else "no interval: no resamples asked for"
        return [Interval(float(v), np.nan, np.nan, note) for v in value]
    drawn = np.concatenate([panel(counts) for counts in resample(clusters, resamples, seed)])
    left_out = jackknife(panel, clusters) if method == "bca" else ()
    return [
        _interval(float(v), drawn[:, k], tuple(stratum[:, k] for stratum in left_out), level, null)
        for k, v in enumerate(value)
    ]


def _interval(
    value: float, drawn: Array, left_out: tuple[Array, ...], level: float, null: float | None
) -> Interval:
    if np.isnan(value):
        return Interval(np.nan, np.nan, np.nan, "undefined on these photographs")
    defined = drawn[~np.isnan(drawn)]
    undefined = f"{drawn.size - defined.size} of {drawn.size} resamples undefined"
    if defined.size * 2 < drawn.size:
        return Interval(value, np.nan, np.nan, f"no interval: {undefined}")
    notes = [undefined] if defined.size < drawn.size else []
    if np.abs(defined - value).max() <= _rounding(value):
        notes.append("every resample gives this value")
        p = np.nan if null is None else _Correction(0.0, 0.0).p(defined, null)
        return Interval(value, value, value, "; ".join(notes), 0.0, p)
    correction = _Correction.of(value, defined, left_out) if left_out else _Correction(0.0, 0.0)
    tails = correction.tails(level)
    if np.isnan(tails).any():
        notes.append("percentile interval: bias or acceleration undefined")
        correction = _Correction(0.0, 0.0)
        tails = correction.tails(level)
    low, high = np.quantile(defined, tails)
    error = float(defined.std(ddof=1))
    p = np.nan if null is None else correction.p(defined, null)
    return Interval(value, float(low), float(high), "; ".join(notes), error, p)


@dataclass(frozen=True)
class _Correction:
    """Bias and acceleration of BCa; both 0 give percentiles."""

    bias: float
    acceleration: float

    @classmethod
    def of(cls, value: float, drawn: Array, left_out: tuple[Array, ...]) -> _Correction:
        influences = [(part.size - 1) * (part.mean() - part) for part in left_out if part.size > 1]
        cubes = sum(float((u**3).sum()) / u.size**3 for u in influences)
        squares = sum(float((u**2).sum()) / u.size**2 for u in influences)
        below = _share_below(drawn, value)
        if not 0 < below < 1 or not squares > 0:
            return cls(np.nan, np.nan)
        return cls(float(norm.ppf(below)), cubes / (6 * squares**1.5))

    def tails(self, level: float) -> Array:
        """The two shares of resamples between which the interval lies; nan where undefined."""
        shifted = self.bias + norm.ppf(np.array([(1 - level) / 2, (1 + level) / 2]))
        stretch = 1 - self.acceleration * shifted
        if not (stretch > 0).all():
            return np.full(2, np.nan)
        corrected: Array = norm.cdf(self.bias + shifted / stretch)
        return corrected

    def p(self, drawn: Array, null: float) -> float:
        """The level whose interval ends at ``null``: :meth:`tails` solved for it."""
        least = 1 / (drawn.size + 1)
        shifted = norm.ppf(np.clip(_share_below(drawn, null), least, 1 - least)) - self.bias
        stretch = 1 + self.acceleration * shifted
        if not stretch > 0:
            return least
        return float(np.clip(2 * norm.sf(abs(shifted / stretch - self.bias)), least, 1.0))


def _share_below(drawn: Array, value: float) -> float:
    """Share of resamples below a value, those at it counting half."""
    apart = drawn - value
    tied = np.abs(apart) <= _rounding(value)
    return float(((apart < 0) & ~tied).mean() + tied.mean() / 2)


def _rounding(value: float) -> float:
    """How far sums of weights in another order may lie from a value without differing from it."""
    return 1e-12 * max(1.0, abs(value))
