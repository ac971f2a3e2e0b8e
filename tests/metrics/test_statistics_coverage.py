"""Coverage of intervals and false findings of tests on clustered samples whose truth is known, in small."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

SAMPLES = 60


@pytest.fixture(scope="module")
def bench(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("statistics_coverage")


def tolerance(rate: float) -> float:
    """Three and a half binomial standard errors."""
    return 3.5 * float(np.sqrt(rate * (1 - rate) / SAMPLES))


def test_intervals_hold_the_truth_as_often_as_stated(bench: ModuleType) -> None:
    found = bench.coverage(SAMPLES, patients=60, fixed=True, resamples=300)
    for name in ("kappa", "accuracy", "auc_referable", "kappa_linear", "f1"):
        truth, held, above, below = found[name]
        assert 0.3 < truth < 0.95
        assert held == pytest.approx(0.95, abs=tolerance(0.95))
        assert held + above + below == pytest.approx(1)


def test_equal_methods_are_found_different_as_rarely_as_stated(bench: ModuleType) -> None:
    found = bench.paired(SAMPLES, patients=60, fixed=False, alike=True, resamples=300)
    for name in ("kappa, permutation", "accuracy, McNemar by patient", "auc_referable, bootstrap"):
        assert found[name] == pytest.approx(0.05, abs=tolerance(0.05))


def test_the_population_is_what_the_truth_is_computed_of(bench: ModuleType) -> None:
    mirrored = bench.world(500, (0.5, 0.5), mirrored=True)
    rows = np.arange(mirrored.grade.size)
    a, b = (mirrored.table(rows, k, mirrored.owner) for k in (0, 1))
    assert (a["dr"] == a["dr_grade"]).mean() == (b["dr"] == b["dr_grade"]).mean()
    assert bench.truth(mirrored, None)["accuracy"] == pytest.approx((a["dr"] == a["dr_grade"]).mean())
    assert sum(mirrored.mix(100)) == 100
