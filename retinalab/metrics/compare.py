"""Two methods on the same photographs: every figure of both, and their difference under the same draws of patients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence

import numpy as np
import pandas as pd

from retinalab.errors import RetinalabError, unknown
from retinalab.metrics.comparable import check_same_photographs
from retinalab.metrics.difference import Difference, SeedValues, difference_of, finite
from retinalab.metrics.evaluate import evaluate
from retinalab.metrics.figures import Figures, mean_figures
from retinalab.metrics.folds import fold_differences, fold_ratio
from retinalab.metrics.grading import Array
from retinalab.metrics.headline import TESTS, headline_figures
from retinalab.metrics.measure import Measure, Metric
from retinalab.metrics.paired import holm, smallest_difference
from retinalab.metrics.statistics import Clusters, Interval, bootstrap
from retinalab.metrics.tables import complete_predictions, diseases_of, probabilities_of
from retinalab.metrics.targets import Sides, Target, targets_of
from retinalab.protocol import Scale

__all__ = [
    "Difference",
    "SeedValues",
    "compare",
    "correct",
    "difference_lines",
    "interval_text",
    "p_text",
    "prefix_of",
    "tests_note",
]

_Validation = tuple[pd.DataFrame | None, pd.DataFrame | None]


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    scales: Mapping[str, Scale],
    resamples: int = 2000,
    seed: int = 0,
    primary_set: str | None = None,
    validation: _Validation = (None, None),
    tests: Sequence[str] | None = None,
    names: tuple[str, str] = ("the first run", "the second run"),
    joint: bool = True,
) -> dict[str, Difference]:
    """Difference of every grading figure of two tables of predictions, with its 95 % interval; of some with p-values.

    Keys are those of :func:`retinalab.metrics.evaluate.evaluate`, for the diseases that both tables grade;
    ``joint`` where they grade the same ones; ``sensitivity_referable`` and ``specificity_referable`` where
    validation fixes an operating point (:mod:`retinalab.metrics.referral`). A resample draws the same
    patients for both sides and all seeds, so that what makes a photograph hard cancels. Intervals are of each
    figure alone: among twenty of two equal methods one is expected to leave out zero. The figures of
    :data:`retinalab.metrics.headline.TESTS` are tested, each by its own test, and their p-values corrected
    for their number (:func:`correct`).

    Args:
        a, b: predictions as for :func:`~retinalab.metrics.evaluate.evaluate`.
        scales: disease -> its scale, one for both.
        resamples, seed, primary_set: as for :func:`~retinalab.metrics.evaluate.evaluate`.
        validation: predictions of both sides' validation photographs.
        tests: figures to test, ``dr/kappa``; none given: all that can be.
        names: of the two sides, for errors.
        joint: whether several diseases are judged together too, where both sides grade the same ones.

    Raises:
        RetinalabError: the two differ in data sets, photographs, folds, patients, reference grades or the
            number of grades; a photograph stands twice; no disease is graded by both.
    """
    tables = [complete_predictions(side).reset_index(drop=True) for side in (a, b)]
    held_out = [None if side is None else complete_predictions(side) for side in validation]
    diseases = [disease for disease in diseases_of(tables[0]) if disease in diseases_of(tables[1])]
    if not diseases:
        graded = " and ".join(", ".join(diseases_of(table)) or "none" for table in tables)
        raise RetinalabError(
            f"No disease is graded by both: {graded}. Give runs that grade the same disease."
        )
    check_same_photographs(tables[0], tables[1], diseases, names)
    if primary_set is None and len(tables[0]):
        primary_set = str(tables[0]["set"].iloc[0])
    found = [evaluate(_graded(t, diseases), scales, resamples=0, primary_set=primary_set) for t in tables]
    out: dict[str, Difference] = {}
    alike = len({frozenset(diseases_of(table)) for table in tables}) == 1
    targets = targets_of(tables, held_out, diseases, scales, joint and alike)
    for part, name in tables[0][["part", "set"]].drop_duplicates().itertuples(index=False):
        rows = [table[(table["part"] == part) & (table["set"] == name)] for table in tables]
        for target in targets:
            known = [target.known(side) for side in rows]
            if not len(known[0]):
                continue
            prefix = f"{prefix_of(str(part), str(name), primary_set)}/{target.name}"
            values = [_values(prefix, *each) for each in zip(known, target.builds, found, strict=True)]
            differences = _differences(target, known, values, prefix, tests, resamples, seed)
            ratio = fold_ratio(known[0], held_out[0])
            if ratio is not None:
                for figure, folds in fold_differences(known, target, list(differences), ratio).items():
                    differences[figure]["folds"] = folds
            out |= {f"{prefix}/{figure}": one for figure, one in differences.items()}
    if tests is not None:
        _check_tests(tests, out)
    correct([out])
    return out


def correct(comparisons: Sequence[MutableMapping[str, Difference]]) -> int:
    """Write Holm's correction over all tests of several comparisons into them; the number of tests."""
    every = [one for found in comparisons for one in found.values() if one.get("p") is not None]
    for one, p in zip(every, holm([one["p"] or 0.0 for one in every]), strict=True):
        one["p_holm"] = p
    return len(every)


def prefix_of(part: str, name: str, primary_set: str | None) -> str:
    """How keys of a data set's part begin: ``test`` for the primary set, else ``test@name``."""
    return part if name == primary_set else f"{part}@{name}"


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
        interval = interval_text(one["low"], one["high"], "+")
        numbers = f"{_text(one['a']):>7s}{_text(one['b']):>7s}{_text(one['difference'], '+'):>8s}"
        lines += [*_line(key, f"{numbers}  {interval:16s}{one['n']:7d}"), *below(key)]
    lines += ["", "Intervals: other patients, the same networks; each figure on its own."]
    lines += [*_test_lines(found), *_fold_lines(found)]
    seeded = {key: one for key, one in found.items() if "seeds" in one}
    if seeded:
        lines += ["", f"{'standard deviation over seeds':31s}{'a':>7s}{'b':>7s}{'a - b':>8s}  a above b"]
    for key, one in seeded.items():
        paired = [each["difference"] for each in one["seeds"] if each["difference"] is not None]
        above = f"{sum(value > 0 for value in paired)} of {len(paired)}"
        spread = f"{_text(one['sd_seeds_a']):>7s}{_text(one['sd_seeds_b']):>7s}"
        lines += _line(key, f"{spread}{_text(one['sd_seeds_difference']):>8s}  {above}")
    return lines


def tests_note(tests: int) -> list[str]:
    """What stands below tests, in 80 columns."""
    plural = "s" if tests != 1 else ""
    return [
        f"p: two-sided, patients as units; Holm: corrected for {tests} test{plural}, all those here.",
        "least: the true difference that these photographs would have shown with 80 %",
        "power at a two-sided 5 %. Not found is not absent.",
        "All of this speaks of these networks on other patients. What another training",
        "would change is the standard deviation over seeds.",
    ]


def _test_lines(found: Mapping[str, Difference]) -> list[str]:
    tested = {key: one for key, one in found.items() if "test" in one}
    if not tested:
        return []
    lines = ["", f"{'tested':31s}{'a - b':>7s}{'p':>9s}{'Holm':>9s}{'least':>8s}  test"]
    for key, one in tested.items():
        numbers = f"{_text(one['difference'], '+'):>7s}{p_text(one['p']):>9s}{p_text(one['p_holm']):>9s}"
        lines += _line(key, f"{numbers}{_text(one.get('smallest_difference')):>8s}  {one['test']}")
    lines += ["", *tests_note(sum(one["p"] is not None for one in tested.values()))]
    if any(key.endswith("_referable") and "/auc" not in key for key in tested):
        lines.append("Sensitivity, specificity: at each network's threshold with the greatest Youden")
        lines.append("index on its validation photographs.")
    return lines


def _fold_lines(found: Mapping[str, Difference]) -> list[str]:
    tested = {key: one["folds"] for key, one in found.items() if "test" in one and "folds" in one}
    if not tested:
        return []
    lines = ["", f"{'mean over folds':31s}{'a - b':>7s}  {'95 % interval':16s}{'p':>9s}  a above b"]
    for key, one in tested.items():
        paired = [each["difference"] for each in one["values"] if each["difference"] is not None]
        above = f"{sum(value > 0 for value in paired)} of {len(paired)}"
        bounds = interval_text(one["low"], one["high"], "+")
        lines += _line(key, f"{_text(one['mean'], '+'):>7s}  {bounds:16s}{p_text(one['p']):>9s}  {above}")
    return [
        *lines,
        "",
        "Folds share training photographs: Nadeau and Bengio's corrected t-test, not in Holm.",
    ]


def p_text(p: float | None) -> str:
    """A p-value in at most seven characters.

    Example:
        >>> p_text(0.0204), p_text(0.0002), p_text(None)
        ('0.020', '< 0.001', '-')
    """
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval_text(low: float | None, high: float | None, sign: str = "") -> str:
    """Limits in brackets; a dash where there are none."""
    return "-" if low is None or high is None else f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def _graded(table: pd.DataFrame, diseases: Sequence[str]) -> pd.DataFrame:
    identity = ["part", "set", "image", "fold", "patient", "group", "seed"]
    columns = [
        c for d in diseases for c in (d, f"{d}_grade", f"{d}_score", *probabilities_of(table, f"{d}_p"))
    ]
    return table[[*identity, *(column for column in columns if column in table)]]


def _values(
    prefix: str,
    rows: pd.DataFrame,
    build: Callable[[pd.DataFrame, Clusters], Figures],
    evaluated: Mapping[str, Metric],
) -> Mapping[str, Metric]:
    """Figures of one side, from its evaluation or, of an operating point, without intervals."""
    clusters = Clusters.of(rows["group"])
    (_, some), *_ = rows.groupby("seed")
    names = build(some, clusters).names
    if f"{prefix}/{names[0]}" in evaluated:
        return evaluated
    return Measure(0, 0)(prefix, rows, build)


def _differences(
    target: Target,
    sides: Sides,
    values: Sequence[Mapping[str, Metric]],
    prefix: str,
    tests: Sequence[str] | None,
    resamples: int,
    seed: int,
) -> dict[str, Difference]:
    clusters = Clusters.of(sides[0]["group"], sides[0][target.diseases[0]])
    a, b = (
        mean_figures([build(part, clusters) for _, part in side.groupby("seed")])
        for side, build in zip(sides, target.builds, strict=True)
    )

    def panel(counts: Array) -> Array:
        return a.panel(counts) - b.panel(counts)

    seeds = [sorted(side["seed"].unique()) for side in sides]
    asked = headline_figures(a.names)
    if tests is not None:
        asked = [figure for figure in asked if f"{target.name}/{figure}" in tests]
    out: dict[str, Difference] = {}
    for figure, interval in zip(a.names, bootstrap(panel, clusters, resamples, seed, null=0.0), strict=True):
        both = [(each[f"{prefix}/{figure}"], own) for each, own in zip(values, seeds, strict=True)]
        out[figure] = difference_of(interval, both[0], both[1], smallest_difference(interval.error))
        if figure in asked and resamples:
            _test(out[figure], target, figure, sides, clusters, interval, seed)
    return out


def _test(
    out: Difference,
    target: Target,
    figure: str,
    sides: Sides,
    clusters: Clusters,
    interval: Interval,
    seed: int,
) -> None:
    out["test"] = TESTS[figure]
    out["p"] = None if np.isnan(interval.value) else finite(target.p(figure, sides, clusters, interval, seed))
    out["p_holm"] = None


def _check_tests(tests: Sequence[str], found: Mapping[str, Difference]) -> None:
    known = {key.partition("/")[2] for key, one in found.items() if "test" in one}
    for figure in tests:
        if figure not in known:
            some = {key.partition("/")[2] for key in found if key.rpartition("/")[2] in TESTS}
            raise unknown("tested figure", figure, some, "Name figures that both runs have.")


def _line(key: str, numbers: str) -> list[str]:
    return [f"{key:31s}{numbers}"] if len(key) < 31 else [key, f"{'':31s}{numbers}"]


def _text(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"
