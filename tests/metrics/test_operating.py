"""Operating points: scikit-learn's ROC, interpolation by hand, and brute force over thresholds and coins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from retinalab.metrics.operating import OperatingCurve, at_readers_points, disease_score

# positives score 0.9, 0.7, 0.7, 0.2; negatives 0.8, 0.7, 0.5, 0.4, 0.1. Thresholds from the top give (1 - specificity,
# sensitivity) = (0, 1/4), (1/5, 1/4), (2/5, 3/4), (3/5, 3/4), (4/5, 3/4), (4/5, 1), (1, 1).
POSITIVE = [1, 1, 1, 1, 0, 0, 0, 0, 0]
SCORE = [0.9, 0.7, 0.7, 0.2, 0.8, 0.7, 0.5, 0.4, 0.1]


@pytest.mark.parametrize(
    ("specificity", "sensitivity"),
    [
        (1.0, 0.25),
        (0.8, 0.25),
        (0.7, 0.5),
        (0.6, 0.75),
        (0.4, 0.75),
        (0.2, 1.0),
        (0.1, 1.0),
        (0.0, 1.0),
        (0.9, 0.25),
    ],
)
def test_sensitivity_at_a_specificity_by_hand(specificity: float, sensitivity: float) -> None:
    curve = OperatingCurve(POSITIVE, SCORE)
    found = curve(np.ones((1, 9)), [(0.5, specificity)])
    assert found[0, 0] == pytest.approx(sensitivity)


@pytest.mark.parametrize(
    ("sensitivity", "specificity"),
    [(0.0, 1.0), (0.25, 1.0), (0.5, 0.7), (0.75, 0.6), (0.8, 0.2), (1.0, 0.2)],
)
def test_specificity_at_a_sensitivity_by_hand(sensitivity: float, specificity: float) -> None:
    found = OperatingCurve(POSITIVE, SCORE)(np.ones((1, 9)), [(sensitivity, 0.5)])
    assert found[0, 1] == pytest.approx(specificity)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_curve_is_that_of_scikit_learn_with_ties_and_multiplicities(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 25))
    positive = np.array([True, False, *data.draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))])
    score = np.array(data.draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))) / 6
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    weights[:2] += 1
    false, true, _ = roc_curve(
        np.repeat(positive, weights), np.repeat(score, weights), drop_intermediate=False
    )
    points = [(float(s), float(c)) for s in (0.0, 0.3, 0.77, 1.0) for c in (0.0, 0.21, 0.5, 1.0)]
    points += [(float(t), float(1 - f)) for f, t in zip(false, true, strict=True)]
    found = OperatingCurve(positive, score)(weights[None].astype(float), points)[0].reshape(-1, 2)
    for (sensitivity, specificity), (at_specificity, at_sensitivity) in zip(points, found, strict=True):
        assert at_specificity == pytest.approx(best(false, true, 1 - specificity))
        assert at_sensitivity == pytest.approx(best(1 - true, 1 - false, 1 - sensitivity))


def best(x: np.ndarray, y: np.ndarray, at: float) -> float:
    """The highest y that any coin between two neighbouring points reaches at exactly ``at``."""
    reached = []
    for k in range(len(x) - 1):
        low, high = sorted((x[k], x[k + 1]))
        if not low - 1e-9 <= at <= high + 1e-9:
            continue
        if high - low < 1e-9:
            reached += [y[k], y[k + 1]]
        else:
            share = np.clip((at - x[k]) / (x[k + 1] - x[k]), 0, 1)
            reached.append(y[k] + share * (y[k + 1] - y[k]))
    return float(max(reached))


def test_without_either_side_nothing_is_defined() -> None:
    curve = OperatingCurve([True, False], [0.9, 0.1])
    assert np.isnan(curve([[1.0, 0.0], [0.0, 2.0]], [(0.5, 0.5)])).all()
    assert curve([[1.0, 3.0]], [(0.5, 0.5)]).tolist() == [[1.0, 1.0]]


def graded(n: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    grade = np.arange(n) % 5
    shares = generator.dirichlet(np.ones(5), n) + 0.3 * np.eye(5)[grade]
    shares /= shares.sum(axis=1, keepdims=True)
    table = pd.DataFrame({"dr": grade, "group": [str(k // 2) for k in range(n)], "seed": seed})
    return table.assign(**{f"dr_p{k}": shares[:, k] for k in range(5)})


def test_intervals_hold_the_value_and_widen_with_fewer_patients() -> None:
    points = [(0.8, 0.9), (0.6, 0.7)]
    many, few = (at_readers_points(graded(n, 0), "dr", 2, points, resamples=400) for n in (600, 60))
    for large, small in zip(many, few, strict=True):
        for one, other in zip(large, small, strict=True):
            assert one.low <= one.value <= one.high
            assert other.high - other.low > 1.5 * (one.high - one.low)


def test_seeds_are_averaged_and_the_threshold_is_a_choice() -> None:
    tables = [graded(200, 1), graded(200, 2)]
    for lowest in (1, 2):
        each = [at_readers_points(t, "dr", lowest, [(0.8, 0.75)], resamples=0)[0] for t in tables]
        (both,) = at_readers_points(pd.concat(tables), "dr", lowest, [(0.8, 0.75)], resamples=0)
        assert both[0].value == pytest.approx(np.mean([one[0].value for one in each]))
        false, true, _ = roc_curve(
            tables[0]["dr"] >= lowest, tables[0][[f"dr_p{k}" for k in range(lowest, 5)]].sum(axis=1)
        )
        assert each[0][0].value == pytest.approx(np.interp(0.25, false, true), abs=0.02)


def test_a_regression_ranks_by_its_score() -> None:
    table = pd.DataFrame({"dr_score": [0.3, 2.5], "dr_p0": [0.9, 0.1]})
    assert disease_score(table, "dr", 2).tolist() == [0.3, 2.5]
    assert disease_score(table.drop(columns="dr_score").assign(dr_p1=[0.1, 0.9]), "dr", 1).tolist() == [
        0.1,
        0.9,
    ]
