"""Values that follow from others: what true values print is never called impossible; what cannot be is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn.metrics import f1_score, precision_score, recall_score

from retinalab.audit import Check, judge
from retinalab.errors import RetinalabError


def check(name: str, value: str, given: str, **more: object) -> Check:
    return Check(Path(), 2, "", "", name, value, given=given, **more)  # type: ignore[arg-type]


def verdict(name: str, value: str, given: str, **more: object) -> str:
    return judge(check(name, value, given, **more)).verdict


@pytest.mark.parametrize("name", ["mean", "sum", "difference", "weighted", "change"])
def test_what_true_values_print_is_possible(name: str) -> None:
    draw = np.random.default_rng(3)
    for _ in range(200):
        values = draw.uniform(0.2, 0.9, 2 if name in ("difference", "change") else draw.integers(2, 9))
        shown = [f"{v:.3f}" for v in values]
        of = {
            "mean": values.mean(), "sum": values.sum(), "difference": values[0] - values[1],
            "weighted": 0.8 * values[0] + 0.2 * values[1], "change": values[0] / values[1] - 1,
        }[name]  # fmt: skip
        given = f"0.8*{shown[0]}; 0.2*{shown[1]}" if name == "weighted" else "; ".join(shown)
        assert verdict(name, f"{of:.3f}", given) == "possible", (given, of)


def test_a_mean_is_possible_within_rounding_and_no_further() -> None:
    """The ends of the interval, by linear programming over everything that prints as the row."""
    row = [0.209, 0.583, 0.714, 0.535, 0.622, 0.549, 0.554, 0.659]
    bounds = [(v - 0.0005, v + 0.0005) for v in row]
    low = linprog(np.full(8, 1 / 8), bounds=bounds).fun
    high = -linprog(np.full(8, -1 / 8), bounds=bounds).fun
    given = "; ".join(f"{v:.3f}" for v in row)
    for k in range(545, 565):
        meets = low <= k / 1000 + 0.0005 and k / 1000 - 0.0005 <= high
        assert (verdict("mean", f"0.{k}", given) == "possible") == meets
    assert verdict("mean", "0.553", given) == "possible"


def test_sums_of_counts_are_exact_and_of_rounded_values_are_not() -> None:
    assert verdict("sum", "1200", "546; 654") == "possible"
    assert verdict("sum", "1201", "546; 654") == "impossible"
    assert verdict("sum", "24", "12; 11", unit="k") == "possible"
    assert verdict("sum", "25", "12; 11", unit="k") == "impossible"


def test_relative_and_absolute_differences_are_told_apart() -> None:
    assert verdict("difference", "2.0", "65.1; 63.1", unit="%") == "possible"
    assert verdict("change", "2.0", "65.1; 63.1", unit="%") == "impossible"
    assert verdict("change", "3.2", "65.1; 63.1", unit="%") == "possible"
    assert verdict("change", "3.2", "65.1; 0.0", unit="%") == "untestable"


def test_both_right_lies_between_frechets_bounds() -> None:
    draw = np.random.default_rng(4)
    for _ in range(200):
        right = draw.random((2, 400)) < draw.uniform(0.1, 0.99, (2, 1))
        both, one, other = (f"{100 * x.mean():.1f}" for x in (right.all(0), right[0], right[1]))
        assert verdict("joint", both, f"{one}; {other}", unit="%") == "possible"
    assert verdict("joint", "91.4", "91.2; 92.6", unit="%") == "impossible"
    assert verdict("joint", "83.6", "91.2; 92.6", unit="%") == "impossible"
    assert verdict("joint", "83.7", "91.2; 92.6", unit="%") == "possible"


def test_f1_of_one_class_is_the_harmonic_mean() -> None:
    draw = np.random.default_rng(5)
    for _ in range(100):
        truth, answer = draw.random((2, 300)) < draw.uniform(0.2, 0.8, (2, 1))
        p, r, f = (
            f"{m(truth, answer, zero_division=0):.3f}" for m in (precision_score, recall_score, f1_score)
        )
        assert verdict("f1", f, f"precision={p}; recall={r}") == "possible"
        assert verdict("f1", f"{float(f) + 0.004:.3f}", f"precision={p}; recall={r}") == "impossible"


def test_mean_f1_never_leaves_its_bounds_and_may_be_below_the_harmonic_mean() -> None:
    draw = np.random.default_rng(6)
    below = 0
    for _ in range(100):
        truth, answer = draw.integers(0, 4, (2, 60))
        answer = np.where(draw.random(60) < 0.4, truth, answer)
        p, r, f = (
            m(truth, answer, average="macro", zero_division=0)
            for m in (precision_score, recall_score, f1_score)
        )
        given = f"precision={p:.3f}; recall={r:.3f}"
        assert verdict("f1", f"{f:.3f}", given, averaged=4) == "possible"
        below += verdict("f1", f"{f:.3f}", given) == "impossible"
        assert verdict("f1", f"{2 * p * r / (p + r) + 0.01:.3f}", given, averaged=4) == "impossible"
    assert below > 0


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (check("mean", "0.5", ""), "'from' does not fit 'mean', got ''"),
        (check("difference", "0.5", "1; 2; 3"), "'from' does not fit 'difference'"),
        (check("change", "0.5", "1"), "'from' does not fit 'change'"),
        (check("joint", "0.5", "0.5"), "'from' does not fit 'joint'"),
        (check("weighted", "0.5", "0.5; 0.2*3"), "'from' does not fit 'weighted'"),
        (check("mean", "0.5", "0.5; high"), "'high' is no printed number"),
    ],
)
def test_rows_that_do_not_fit_are_refused(made: Check, message: str) -> None:
    with pytest.raises(RetinalabError) as caught:
        judge(made)
    assert message in str(caught.value)
