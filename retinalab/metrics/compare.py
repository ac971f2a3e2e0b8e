"""Two methods on the same photographs: every figure of both, and their difference under the same draws of patients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NotRequired, TypedDict

import numpy as np
import pandas as pd

from retinalab.errors import RetinalabError
from retinalab.metrics.comparable import check_same_photographs
from retinalab.metrics.evaluate import evaluate
from retinalab.metrics.figures import Figures, disease_figures, joint_figures, mean_figures
from retinalab.metrics.grading import Array
from retinalab.metrics.measure import Metric
from retinalab.metrics.statistics import Clusters, Interval, bootstrap
from retinalab.metrics.tables import complete_predictions, diseases_of, probabilities_of
from retinalab.protocol import Scale

__all__ = ["Difference", "SeedValues", "compare", "difference_lines"]


class SeedValues(TypedDict):
    """One training seed's figure on each side; None where that side was not trained with it or it is undefined."""

    seed: int
    a: float | None
    b: float | None
    difference: float | None


class Difference(TypedDict):
    """One figure of two methods on the same photographs; None where it is undefined, and then ``note`` says why.

    ``low`` and ``high`` bound ``difference`` = a - b under another sample of patients, the networks being as
    they are. What another training would have changed stands apart, in the entries on seeds: they are there
    if either side was trained with several. ``a`` and ``b`` are then means over all seeds of their side,
    ``sd_seeds_a`` and ``sd_seeds_b`` standard deviations between its seeds (n - 1) and
    ``sd_seeds_difference`` that of the differences of equal seeds; None below two.
    """

    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    n: int
    n_groups: int
    note: NotRequired[str]
    seeds: NotRequired[list[SeedValues]]
    sd_seeds_a: NotRequired[float | None]
    sd_seeds_b: NotRequired[float | None]
    sd_seeds_difference: NotRequired[float | None]


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    scales: Mapping[str, Scale],
    resamples: int = 2000,
    seed: int = 0,
    primary_set: str | None = None,
) -> dict[str, Difference]:
    """Difference of every grading figure of two tables of predictions, with its 95 % interval.

    Keys are those of :func:`retinalab.metrics.evaluate.evaluate`, for the diseases that both tables grade;
    ``joint`` where they grade the same ones. A resample draws the same patients for both sides and all
    seeds, so that what makes a photograph hard cancels. Intervals are of each figure alone: among twenty of
    two equal methods one is expected to leave out zero.

    Args:
        a, b: predictions as for :func:`~retinalab.metrics.evaluate.evaluate`.
        scales: disease -> its scale, one for both.
        resamples, seed, primary_set: as for :func:`~retinalab.metrics.evaluate.evaluate`.

    Raises:
        RetinalabError: the two differ in data sets, photographs, folds, patients, reference grades or the
            number of grades; a photograph stands twice; no disease is graded by both.
    """
    tables = [complete_predictions(side).reset_index(drop=True) for side in (a, b)]
    diseases = [disease for disease in diseases_of(tables[0]) if disease in diseases_of(tables[1])]
    if not diseases:
        graded = " and ".join(", ".join(diseases_of(table)) or "none" for table in tables)
        raise RetinalabError(
            f"No disease is graded by both: {graded}. Give runs that grade the same disease."
        )
    check_same_photographs(tables[0], tables[1], diseases)
    joint = len(diseases) > 1 and len({frozenset(diseases_of(table)) for table in tables}) == 1
    if primary_set is None and len(tables[0]):
        primary_set = str(tables[0]["set"].iloc[0])
    found = [evaluate(_graded(t, diseases), scales, resamples=0, primary_set=primary_set) for t in tables]
    out: dict[str, Difference] = {}
    for part, name in tables[0][["part", "set"]].drop_duplicates().itertuples(index=False):
        prefix = str(part) if name == primary_set else f"{part}@{name}"
        rows = [table[(table["part"] == part) & (table["set"] == name)] for table in tables]
        for target, columns, build in _targets(diseases, scales, joint):
            known = [side[(side[columns] >= 0).all(axis=1)] for side in rows]
            for figure, interval in _intervals(known, build, columns[0], resamples, seed):
                key = f"{prefix}/{target}/{figure}"
                sides = [
                    (each[key], sorted(side["seed"].unique()))
                    for each, side in zip(found, known, strict=True)
                ]
                out[key] = _difference(interval, *sides)
    return out


def difference_lines(
    found: Mapping[str, Difference], below: Callable[[str], Iterable[str]] = lambda key: ()
) -> list[str]:
    """The comparison as text in 80 columns; spread between seeds in a table of its own.

    Args:
        found: from :func:`compare`.
        below: lines to stand below the figure of a key, such as what a baseline reaches there.
    """
    lines = [f"{'metric':31s}{'a':>7s}{'b':>7s}{'a - b':>8s}  {'95 % interval':16s}{'n':>7s}"]
    for key, one in found.items():
        low, high = one["low"], one["high"]
        interval = "-" if low is None or high is None else f"[{low:+.3f}, {high:+.3f}]"
        numbers = f"{_text(one['a']):>7s}{_text(one['b']):>7s}{_text(one['difference'], '+'):>8s}"
        lines += [*_line(key, f"{numbers}  {interval:16s}{one['n']:7d}"), *below(key)]
    lines += ["", "Intervals: other patients, the same networks; each figure on its own."]
    seeded = {key: one for key, one in found.items() if "seeds" in one}
    if seeded:
        lines += ["", f"{'standard deviation over seeds':31s}{'a':>7s}{'b':>7s}{'a - b':>8s}  a above b"]
    for key, one in seeded.items():
        paired = [each["difference"] for each in one["seeds"] if each["difference"] is not None]
        above = f"{sum(value > 0 for value in paired)} of {len(paired)}"
        spread = f"{_text(one['sd_seeds_a']):>7s}{_text(one['sd_seeds_b']):>7s}"
        lines += _line(key, f"{spread}{_text(one['sd_seeds_difference']):>8s}  {above}")
    return lines


def _graded(table: pd.DataFrame, diseases: Sequence[str]) -> pd.DataFrame:
    identity = ["part", "set", "image", "fold", "patient", "group", "seed"]
    columns = [
        c for d in diseases for c in (d, f"{d}_grade", f"{d}_score", *probabilities_of(table, f"{d}_p"))
    ]
    return table[[*identity, *(column for column in columns if column in table)]]


_Build = Callable[[pd.DataFrame, Clusters], Figures]


def _targets(
    diseases: Sequence[str], scales: Mapping[str, Scale], joint: bool
) -> Iterator[tuple[str, list[str], _Build]]:
    for disease in diseases:
        yield disease, [disease], _disease(disease, scales[disease])
    if joint:
        yield "joint", list(diseases), lambda rows, clusters: joint_figures(rows, clusters, diseases)


def _disease(disease: str, scale: Scale) -> _Build:
    return lambda rows, clusters: disease_figures(rows, clusters, disease, scale)


def _intervals(
    sides: Sequence[pd.DataFrame], build: _Build, severity: str, resamples: int, seed: int
) -> list[tuple[str, Interval]]:
    if not len(sides[0]):
        return []
    clusters = Clusters.of(sides[0]["group"], sides[0][severity])
    a, b = (mean_figures([build(part, clusters) for _, part in side.groupby("seed")]) for side in sides)

    def panel(counts: Array) -> Array:
        return a.panel(counts) - b.panel(counts)

    return list(zip(a.names, bootstrap(panel, clusters, resamples, seed), strict=True))


def _difference(interval: Interval, a: tuple[Metric, list[int]], b: tuple[Metric, list[int]]) -> Difference:
    (first, _), (second, _) = a, b
    out = Difference(
        a=first["value"], b=second["value"], difference=_finite(interval.value), low=_finite(interval.low),
        high=_finite(interval.high), n=first["n"], n_groups=first["n_groups"],
    )  # fmt: skip
    undefined = [f"{x}: {m.get('note', '')}" for x, m in (("a", first), ("b", second)) if m["value"] is None]
    if undefined or interval.note:
        out["note"] = "; ".join(undefined) or interval.note
    if max(len(a[1]), len(b[1])) < 2:
        return out
    left, right = (
        dict(zip(seeds, metric.get("seeds", [metric["value"]]), strict=True)) for metric, seeds in (a, b)
    )
    out["seeds"] = [_seed(int(seed), left.get(seed), right.get(seed)) for seed in sorted({*left, *right})]
    out["sd_seeds_a"], out["sd_seeds_b"] = _spread(left.values()), _spread(right.values())
    shared = [one["difference"] for one in out["seeds"] if one["seed"] in left and one["seed"] in right]
    out["sd_seeds_difference"] = _spread(shared)
    return out


def _seed(seed: int, a: float | None, b: float | None) -> SeedValues:
    return SeedValues(seed=seed, a=a, b=b, difference=None if a is None or b is None else a - b)


def _spread(values: Iterable[float | None]) -> float | None:
    known = list(values)
    if len(known) < 2 or None in known:
        return None
    return float(np.std(np.array(known, dtype=np.float64), ddof=1))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _line(key: str, numbers: str) -> list[str]:
    return [f"{key:31s}{numbers}"] if len(key) < 31 else [key, f"{'':31s}{numbers}"]


def _text(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"
