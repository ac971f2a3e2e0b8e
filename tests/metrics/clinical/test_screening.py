"""Sensitivity, specificity, predictive values and referrals, counted by hand and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from retinalab.metrics.clinical.screening import FIGURES, predictive_values, screening_figures
from retinalab.metrics.statistics import Clusters


def figures(
    positive: list[bool], called: list[bool], prevalence: float, **options: list[bool]
) -> dict[str, float]:
    rows = pd.DataFrame({"group": [f"g{k:04d}" for k in range(len(positive))]})
    clusters = Clusters.of(rows["group"])
    one = screening_figures(rows, clusters, positive, called, prevalence, **options)
    return dict(zip(FIGURES, one.values(clusters).tolist(), strict=True))


def test_a_table_of_four_cells() -> None:
    """40 of 50 diseased and 30 of 150 healthy ones are called."""
    positive = [True] * 50 + [False] * 150
    called = [True] * 40 + [False] * 10 + [True] * 30 + [False] * 120
    found = figures(positive, called, 0.1)
    assert found["sensitivity"] == pytest.approx(0.8)
    assert found["specificity"] == pytest.approx(0.8)
    assert found["ppv"] == pytest.approx(40 / 70)
    assert found["npv"] == pytest.approx(120 / 130)
    assert found["referrals"] == pytest.approx(350)
    # 1,000 people, 100 diseased: 80 and 180 of the healthy are called, 20 are missed among 740
    assert found["ppv_stated"] == pytest.approx(80 / 260)
    assert found["npv_stated"] == pytest.approx(720 / 740)
    assert found["referrals_stated"] == pytest.approx(260)


def test_at_the_sets_own_prevalence_both_are_the_same() -> None:
    draw = np.random.default_rng(0)
    positive, called = (draw.uniform(size=200) < share for share in (0.3, 0.4))
    found = figures(positive.tolist(), called.tolist(), float(positive.mean()))
    for name in ("ppv", "npv", "referrals"):
        assert found[name] == pytest.approx(found[f"{name}_stated"])
    assert found["sensitivity"] == pytest.approx(recall_score(positive, called))
    assert found["ppv"] == pytest.approx(precision_score(positive, called))
    (correct, _), (missed, _) = confusion_matrix(positive, called)
    assert found["npv"] == pytest.approx(correct / (correct + missed))


def test_what_has_no_denominator_is_undefined() -> None:
    nobody = figures([True, False], [False, False], 0.1)
    assert np.isnan(nobody["ppv"])
    assert np.isnan(nobody["ppv_stated"])
    assert nobody["npv_stated"] == pytest.approx(0.9)
    healthy = figures([False, False], [True, False], 0.1)
    assert np.isnan(
        [healthy[name] for name in ("sensitivity", "ppv_stated", "npv_stated", "referrals_stated")]
    ).all()
    assert healthy["referrals"] == 500
    assert all(np.isnan(value) for value in predictive_values(np.nan, 0.9, 0.1))


def test_an_unknown_reference_counts_for_referrals_alone() -> None:
    found = figures([True, False, False], [True, False, True], 0.5, known=[True, True, False])
    assert (found["sensitivity"], found["specificity"], found["ppv"], found["npv"]) == (1, 1, 1, 1)
    assert found["referrals"] == pytest.approx(2000 / 3)


def test_clusters_are_drawn_whole() -> None:
    rows = pd.DataFrame({"group": ["a", "a", "b", "c"]})
    clusters = Clusters.of(rows["group"])
    one = screening_figures(rows, clusters, [True, False, True, False], [True, True, False, False], 0.1)
    drawn = one.panel(np.array([[2.0, 1.0, 1.0]]))[0]
    assert drawn[:2] == pytest.approx([2 / 3, 1 / 3])
    assert drawn[4] == pytest.approx(1000 * 4 / 6)
