"""Any number of methods on the same photographs: each one's figures, and differences corrected together.

The form that :func:`compare_runs` returns is what ``retinalab compare --json`` writes, with the entries that the
command adds (:mod:`retinalab.cli.compare`): ``runs`` names them, ``figures`` maps each key (``test/dr/kappa``)
to one :class:`~retinalab.metrics.measure.Metric` for each run in that order, ``pairs`` holds the differences of
run ``a`` minus run ``b`` (positions in ``runs``), each a :class:`~retinalab.metrics.difference.Difference` under
its key, and ``family`` says which tests were corrected together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypedDict

import pandas as pd

from retinalab.errors import RetinalabError
from retinalab.metrics.comparable import check_same_photographs
from retinalab.metrics.compare import compare, correct, prefix_of
from retinalab.metrics.difference import Difference
from retinalab.metrics.measure import Measure, Metric
from retinalab.metrics.tables import complete_predictions, diseases_of
from retinalab.metrics.targets import targets_of
from retinalab.protocol import Scale

__all__ = ["ComparedRun", "Comparison", "Family", "Pair", "compare_runs"]


class ComparedRun(TypedDict):
    """A method: its name, and the seeds and folds that its predictions come from."""

    name: str
    seeds: list[int]
    folds: list[int]


class Pair(TypedDict):
    """Run ``a`` minus run ``b``, positions in the list of runs."""

    a: int
    b: int
    differences: dict[str, Difference]


class Family(TypedDict):
    """The tests that were corrected together: how many, by which method, of which figures, between which runs."""

    tests: int
    correction: str
    figures: list[str]
    pairs: int


class Comparison(TypedDict):
    """Several methods on the same photographs."""

    runs: list[ComparedRun]
    figures: dict[str, list[Metric]]
    pairs: list[Pair]
    family: Family


def compare_runs(
    tables: Sequence[pd.DataFrame],
    names: Sequence[str],
    scales: Mapping[str, Scale],
    all_pairs: bool = False,
    tests: Sequence[str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Figures of every method and the differences to the first, tested and corrected as one family.

    Diseases that not all of them grade are left out. Every test part counts; validation parts fix the
    operating points only (:mod:`retinalab.metrics.referral`).

    Args:
        tables: predictions of each method, of test and validation parts.
        names: of the methods, for errors.
        scales: disease -> its scale, one for all.
        all_pairs: every pair instead of those with the first.
        tests: figures to test, ``dr/kappa``, so that fewer are corrected for; none given: all that can be.
        resamples, seed: of the bootstrap.

    Raises:
        RetinalabError: fewer than two methods; as for :func:`retinalab.metrics.compare.compare`.
    """
    if len(tables) < 2:
        raise RetinalabError(f"A comparison takes at least two runs, got {len(tables)}. Name another.")
    whole = [complete_predictions(table) for table in tables]
    diseases = [d for d in diseases_of(whole[0]) if all(d in diseases_of(other) for other in whole)]
    if not diseases:
        graded = "; ".join(
            f"{name} {', '.join(diseases_of(t)) or 'none'}" for name, t in zip(names, whole, strict=True)
        )
        raise RetinalabError(f"No disease is graded by all: {graded}. Give runs that grade the same disease.")
    tested = [table[table["part"] == "test"].reset_index(drop=True) for table in whole]
    held_out = [table[table["part"] == "val"].reset_index(drop=True) for table in whole]
    for other, name in zip(tested[1:], names[1:], strict=True):
        check_same_photographs(tested[0], other, diseases, (names[0], name))
    alike = len({frozenset(diseases_of(table)) for table in whole}) == 1
    if not alike:
        tested, held_out = ([_only(table, diseases) for table in side] for side in (tested, held_out))
    primary = str(tested[0]["set"].iloc[0])
    pairs = combinations(range(len(tables)), 2) if all_pairs else ((0, k) for k in range(1, len(tables)))
    out: list[Pair] = []
    for a, b in pairs:
        differences = compare(
            tested[a], tested[b], scales, resamples, seed, primary,
            (held_out[a], held_out[b]), tests, (names[a], names[b]), joint=alike,
        )  # fmt: skip
        out.append(Pair(a=a, b=b, differences=differences))
    count = correct([pair["differences"] for pair in out])
    found = {key for pair in out for key, one in pair["differences"].items() if "test" in one}
    figures = _figures(tested, held_out, diseases, scales, primary, Measure(resamples, seed), alike)
    return Comparison(
        runs=[_run(name, table) for name, table in zip(names, tested, strict=True)],
        figures=figures,
        pairs=out,
        family=Family(
            tests=count, correction="Holm", figures=[k for k in figures if k in found], pairs=len(out)
        ),
    )


def _only(table: pd.DataFrame, diseases: Sequence[str]) -> pd.DataFrame:
    return table.drop(columns=[f"{d}_grade" for d in diseases_of(table) if d not in diseases])


def _run(name: str, table: pd.DataFrame) -> ComparedRun:
    seeds, folds = (sorted(int(v) for v in table[column].unique()) for column in ("seed", "fold"))
    return ComparedRun(name=name, seeds=seeds, folds=[fold for fold in folds if fold >= 0])


def _figures(
    tested: Sequence[pd.DataFrame],
    held_out: Sequence[pd.DataFrame],
    diseases: Sequence[str],
    scales: Mapping[str, Scale],
    primary: str,
    measure: Measure,
    joint: bool,
) -> dict[str, list[Metric]]:
    targets = targets_of(tested, held_out, diseases, scales, joint)
    out: dict[str, list[Metric]] = {}
    for part, name in tested[0][["part", "set"]].drop_duplicates().itertuples(index=False):
        prefix = prefix_of(str(part), str(name), primary)
        for target in targets:
            each = [
                measure(
                    f"{prefix}/{target.name}",
                    target.known(table[(table["part"] == part) & (table["set"] == name)]),
                    build,
                    target.diseases[0],
                )
                for table, build in zip(tested, target.builds, strict=True)
            ]
            out |= {key: [found[key] for found in each] for key in each[0]}
    return out
