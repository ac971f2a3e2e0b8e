"""Do 95 % intervals hold the truth 95 times in 100, and do the paired tests err 5 times in 100 where nothing differs?

    python experiments/bench/statistics_coverage.py --samples 1000 --out coverage.json

A population of 100,000 patients with two to four photographs each is drawn once: severities of a patient's
photographs agree with one another (correlation 0.7) and so do a method's errors (0.5); five grades, graded by one
score. Every sample draws patients from it, so that the true value of every figure is that of the population, known
without error. Mix "fixed" draws as many patients of each worst grade in every sample, which is what intervals over
strata of the worst grade speak of; "free" draws patients at random, and shows what those intervals leave out.

The tests are tried on two methods of equal worth: "alike", two of one kind whose errors are independent, each patient
being in the population a second time with the two exchanged; and "unlike", where the errors of the first agree within
a patient and those of the second do not, by photograph both of the same law. Beside them stand what would be wrong:
the same tests with photographs for patients, and the plain t-test over folds. DeLong's test has one photograph a
patient. Folds: least squares on two sets of features that say equally much, ten folds of 200 cases.

Binomial error of 1,000 samples: a rate of 95 % or 5 % is known to 1.4 points (two standard errors). On one core about
a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm, t

from retinalab.metrics.delong import delong_interval, delong_test
from retinalab.metrics.figures import Figures, disease_figures
from retinalab.metrics.grading import Array, Ranking, accuracy, kappa
from retinalab.metrics.headline import accuracy_p, kappa_p, share_p
from retinalab.metrics.paired import mcnemar, resampled_t
from retinalab.metrics.ranking import ClusterRanking
from retinalab.metrics.statistics import Clusters, Interval, bootstrap
from retinalab.protocol import SCALES

SCALE = SCALES["icdr5"]
CUTS = norm.ppf(np.cumsum([0.45, 0.15, 0.20, 0.12]))
NOISE, AGREEMENT, SHARED = 0.6, 0.7, 0.5
LEAN = ("kappa", "accuracy", "auc_referable")


@dataclass(frozen=True)
class Population:
    """Photographs of all patients, sorted by patient.

    Attributes:
        grade: ``(N,)`` reference.
        scores: ``(methods, N)``, standard normal; a grade is where ``CUTS`` put it.
        owner: ``(N,)`` patient; ``start``: first row of each patient and the end.
        by_worst: patients by their worst grade.
    """

    grade: npt.NDArray[np.int64]
    scores: Array
    owner: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    by_worst: tuple[npt.NDArray[np.int64], ...]

    @classmethod
    def of(cls, grade: npt.NDArray[np.int64], scores: Array, owner: npt.NDArray[np.int64]) -> Population:
        start = np.append(0, np.cumsum(np.bincount(owner)))
        worst = np.maximum.reduceat(grade, start[:-1])
        return cls(grade, scores, owner, start, tuple(np.flatnonzero(worst == k) for k in range(SCALE.size)))

    @property
    def patients(self) -> int:
        return self.start.size - 1

    def mix(self, patients: int) -> list[int]:
        """Patients of each worst grade as often as in the population, at least two."""
        numbers = [max(2, round(patients * each.size / self.patients)) for each in self.by_worst]
        numbers[int(np.argmax(numbers))] += patients - sum(numbers)
        return numbers

    def draw(
        self, generator: np.random.Generator, patients: int, fixed: bool, views: int | None = None
    ) -> list[pd.DataFrame]:
        """A sample as each method graded it; with ``views`` only the first so many photographs of a patient."""
        if fixed:
            pairs = zip(self.by_worst, self.mix(patients), strict=True)
            who = np.concatenate([generator.choice(members, n) for members, n in pairs])
        else:
            who = generator.integers(self.patients, size=patients)
        ends = self.start[who + 1] if views is None else self.start[who] + views
        rows = np.concatenate([np.arange(*limits) for limits in zip(self.start[who], ends, strict=True)])
        names = np.array([f"{k:05d}" for k in range(patients)])
        groups = np.repeat(names, ends - self.start[who])
        return [self.table(rows, method, groups) for method in range(len(self.scores))]

    def table(self, rows: npt.NDArray[np.int64], method: int, groups: npt.ArrayLike) -> pd.DataFrame:
        score = self.scores[method, rows]
        edges = np.concatenate([[-np.inf], CUTS, [np.inf]])
        p = np.diff(norm.cdf((edges - score[:, None]) / 0.5), axis=1)
        columns = {f"dr_p{k}": p[:, k] for k in range(SCALE.size)}
        grades = {"dr": self.grade[rows], "dr_grade": np.searchsorted(CUTS, score)}
        return pd.DataFrame({"group": np.asarray(groups), "seed": 0, **grades, **columns})


class _Everyone:
    """Stands for the clusters of a whole population whose groups are numbers."""

    def __init__(self, size: int) -> None:
        self.size = size

    def index(self, groups: npt.ArrayLike) -> npt.NDArray[np.int64]:
        return np.asarray(groups, dtype=np.int64)


def world(patients: int, shared: tuple[float, ...], mirrored: bool = False, seed: int = 0) -> Population:
    """A population graded by a method for each entry of ``shared``, the share of its error that is the patient's.

    ``mirrored``: every patient is there again with the two methods exchanged, so that they are equal exactly.
    """
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), generator.integers(2, 5, patients))
    severity = _correlated(generator, owner, AGREEMENT)
    scores = np.stack([severity + NOISE * _correlated(generator, owner, share) for share in shared])
    grade = np.searchsorted(CUTS, severity)
    scores /= np.sqrt(1 + NOISE**2)
    if mirrored:
        owner = np.concatenate([owner, owner + patients])
        grade, scores = np.tile(grade, 2), np.concatenate([scores, scores[::-1]], axis=1)
    return Population.of(grade.astype(np.int64), scores, owner)


def _correlated(generator: np.random.Generator, owner: npt.NDArray[np.int64], share: float) -> Array:
    own = generator.normal(size=owner.size)
    common: Array = generator.normal(size=owner.max() + 1)[owner]
    return np.sqrt(share) * common + np.sqrt(1 - share) * own


def truth(population: Population, numbers: list[int] | None) -> dict[str, float]:
    """Every figure over the whole population, with a mix of worst grades as in the samples."""
    rows = np.arange(population.grade.size)
    table = population.table(rows, 0, population.owner)
    figures = disease_figures(table, _Everyone(population.patients), "dr", SCALE)  # type: ignore[arg-type]
    weights = np.ones((1, population.patients))
    if numbers is not None:
        for members, n in zip(population.by_worst, numbers, strict=True):
            weights[0, members] = n / members.size
    return dict(zip(figures.names, figures.panel(weights)[0].tolist(), strict=True))


def coverage(samples: int, patients: int, fixed: bool, resamples: int) -> dict[str, list[float]]:
    """For each figure: its true value, and the shares of intervals that hold it, lie above it and lie below it."""
    population = world(100_000, (SHARED,))
    true = truth(population, population.mix(patients) if fixed else None)
    above, below = (dict.fromkeys(true, 0) for _ in range(2))
    for sample in range(samples):
        (rows,) = population.draw(np.random.default_rng((1, sample)), patients, fixed)
        clusters = Clusters.of(rows["group"], rows["dr"])
        figures = disease_figures(rows, clusters, "dr", SCALE)
        for name, interval in zip(
            figures.names, bootstrap(figures.panel, clusters, resamples, sample), strict=True
        ):
            above[name] += interval.low > true[name]
            below[name] += interval.high < true[name]
    return {
        name: [value, *(n / samples for n in (samples - above[name] - below[name], above[name], below[name]))]
        for name, value in true.items()
    }


def lean_figures(rows: pd.DataFrame, clusters: Clusters) -> Figures:
    """Kappa, accuracy and area for referable disease alone, for speed."""
    flat = rows["dr"].to_numpy() * SCALE.size + rows["dr_grade"].to_numpy()
    index = clusters.index(rows["group"])
    cells = np.zeros((clusters.size, SCALE.size**2))
    np.add.at(cells, (index, flat), 1)
    ranking = ClusterRanking(rows["dr"] >= SCALE.referable, _score(rows), index, clusters.size)

    def panel(counts: Array) -> Array:
        confusion = (counts @ cells).reshape(-1, SCALE.size, SCALE.size)
        return np.stack([kappa(confusion), accuracy(confusion), ranking(counts)], axis=1)

    return Figures(LEAN, panel)


def paired_p(a: pd.DataFrame, b: pd.DataFrame, resamples: int, seed: int) -> dict[str, float]:
    """P-values of every paired test on one sample, and of some that forget the patient."""
    clusters = Clusters.of(a["group"], a["dr"])
    right = [(rows["dr"] == rows["dr_grade"]).to_numpy() for rows in (a, b)]
    ill = (a["dr"] >= SCALE.referable).to_numpy()
    out = {
        "kappa, permutation": kappa_p(a, b, clusters, "dr", SCALE.size, seed, permutations=999),
        "accuracy, McNemar by patient": accuracy_p(a, b, clusters, ["dr"]),
        "accuracy, McNemar by patient, exact": mcnemar(*right, a["group"], mid_p=False),
        "accuracy, McNemar by photograph (wrong)": mcnemar(*right),
        "sensitivity, McNemar by patient": share_p(a[ill], b[ill], clusters, _refers),
        "specificity, McNemar by patient": share_p(a[~ill], b[~ill], clusters, _does_not_refer),
    }
    for name, interval in zip(LEAN, _differences(a, b, clusters, resamples, seed), strict=True):
        out[f"{name}, bootstrap"] = interval.p
    out["auc_referable, DeLong by photograph (wrong)"] = delong_test(ill, _score(a), _score(b)).p
    return out


def _score(rows: pd.DataFrame) -> Array:
    score: Array = rows[[f"dr_p{k}" for k in range(SCALE.referable, SCALE.size)]].to_numpy().sum(axis=1)
    return score


def _refers(rows: pd.DataFrame, _: int) -> npt.NDArray[np.bool_]:
    decision: npt.NDArray[np.bool_] = (rows["dr_grade"] >= SCALE.referable).to_numpy()
    return decision


def _does_not_refer(rows: pd.DataFrame, side: int) -> npt.NDArray[np.bool_]:
    return ~_refers(rows, side)


def _differences(
    a: pd.DataFrame, b: pd.DataFrame, clusters: Clusters, resamples: int, seed: int
) -> list[Interval]:
    first, second = (lean_figures(rows, clusters) for rows in (a, b))
    return bootstrap(lambda c: first.panel(c) - second.panel(c), clusters, resamples, seed, null=0.0)


def rejections(each: Iterator[dict[str, float]]) -> dict[str, float]:
    """Share of p-values below 0.05 for every test."""
    table = pd.DataFrame(list(each))
    shares: dict[str, float] = (table < 0.05).mean().to_dict()
    return shares


def paired(samples: int, patients: int, fixed: bool, alike: bool, resamples: int) -> dict[str, float]:
    """How often each test finds a difference between two methods that have none."""
    population = world(50_000 if alike else 100_000, (SHARED, SHARED) if alike else (0.8, 0.0), alike)
    return rejections(
        paired_p(*population.draw(np.random.default_rng((2, k)), patients, fixed), resamples, k)
        for k in range(samples)
    )


def delong(samples: int, patients: int) -> dict[str, float]:
    """DeLong's test and interval with one photograph a patient: share of false findings, and of intervals that hold."""
    population = world(50_000, (SHARED, SHARED), mirrored=True)
    score = population.scores[0]
    first = population.start[:-1]
    area = float(Ranking(population.grade[first] >= SCALE.referable, score[first])(np.ones(first.size)))
    found, held, plain = 0, 0, 0
    for k in range(samples):
        tables = population.draw(np.random.default_rng((3, k)), patients, fixed=False, views=1)
        ill = (tables[0]["dr"] >= SCALE.referable).to_numpy()
        scores = [_score(table) for table in tables]
        found += delong_test(ill, scores[0], scores[1]).p < 0.05
        interval = delong_interval(ill, scores[0])
        held += interval.low <= area <= interval.high
        wald = delong_interval(ill, scores[0], scale="area")
        plain += wald.low <= area <= wald.high
    return {
        "auc_referable, DeLong": found / samples,
        "auc_referable, DeLong, logit interval holds": held / samples,
        "auc_referable, DeLong, plain interval holds": plain / samples,
    }


def folds(samples: int, cases: int = 200, number: int = 10) -> dict[str, float]:
    """The corrected t-test over folds and the plain one, on two learners that are equally good."""

    def one(seed: int) -> dict[str, float]:
        generator = np.random.default_rng((4, seed))
        label = generator.integers(2, size=cases)
        part = generator.permutation(cases) % number
        features = [generator.normal(size=(cases, 10)) + 0.25 * (2 * label - 1)[:, None] for _ in range(2)]
        d = np.array(
            [np.subtract(*(_fold_accuracy(x, label, part == k) for x in features)) for k in range(number)]
        )
        if d.std() == 0:
            return {"folds, Nadeau-Bengio": 1.0, "folds, plain t-test (wrong)": 1.0}
        plain = 2 * t.sf(abs(d.mean()) / (d.std(ddof=1) / np.sqrt(number)), number - 1)
        corrected = resampled_t(d, 1 / (number - 1)).p
        return {"folds, Nadeau-Bengio": corrected, "folds, plain t-test (wrong)": float(plain)}

    return rejections(one(seed) for seed in range(samples))


def _fold_accuracy(x: Array, label: npt.NDArray[np.int64], held_out: npt.NDArray[np.bool_]) -> float:
    design = np.column_stack([x, np.ones(len(x))])
    weights = np.linalg.lstsq(design[~held_out], 2.0 * label[~held_out] - 1, rcond=None)[0]
    return float(np.mean((design[held_out] @ weights > 0) == label[held_out]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--patients", type=int, nargs="+", default=[100, 40, 250])
    parser.add_argument("--only", choices=("coverage", "tests"), help="half of it")
    parser.add_argument("--out", type=Path)
    known = parser.parse_args()
    content: dict[str, object] = {"samples": known.samples, "resamples": known.resamples}

    def measured(name: str, call: Callable[[], dict[str, object]]) -> None:
        start = time.perf_counter()
        content[name] = found = call()
        print(f"\n{name}: {time.perf_counter() - start:.0f} s")
        for key, value in found.items():
            numbers = [value] if isinstance(value, float) else value
            print(f"  {key:48s}" + "  ".join(f"{number:.3f}" for number in numbers))  # type: ignore[attr-defined]
        sys.stdout.flush()
        if known.out is not None:
            known.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    n, first, m = known.samples, known.patients[0], known.resamples
    if known.only != "tests":
        print("coverage: true value, intervals that hold it, above it, below it")
        for patients, fixed in ((first, True), (first, False), *((p, True) for p in known.patients[1:])):
            name = f"coverage, {patients} patients, mix {'fixed' if fixed else 'free'}"
            measured(name, lambda p=patients, f=fixed: coverage(n, p, f, m))
    if known.only == "coverage":
        return
    for patients in known.patients[:2]:
        measured(f"DeLong, {patients} patients", lambda p=patients: delong(n, p))
    measured("folds", lambda: folds(n))
    settings = [(first, True, False), (first, False, False), (first, True, True), (first, False, True)]
    settings += [(patients, alike, False) for patients in known.patients[1:2] for alike in (True, False)]
    for patients, alike, fixed in settings:
        name = f"{patients} patients, methods {'alike' if alike else 'unlike'}, mix {'fixed' if fixed else 'free'}"
        measured(f"tests, {name}", lambda p=patients, a=alike, f=fixed: paired(n, p, f, a, m))


if __name__ == "__main__":
    main()
