"""Operating points: scikit-learn's ROC curve, a network's own threshold in every seed and fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_curve

from retinalab.metrics.referral import (
    referral_figures,
    referred,
    validation_thresholds,
    youden_threshold,
)
from retinalab.metrics.statistics import Clusters


@pytest.mark.parametrize("levels", [6, 10_000])
def test_threshold_has_the_greatest_youden_index_of_the_curve(levels: int) -> None:
    generator = np.random.default_rng(levels)
    positive = generator.random(200) < 0.4
    score = np.round((generator.normal(size=200) + positive) * levels / 6)
    false, true, _ = roc_curve(positive, score, drop_intermediate=False)
    decision = score >= youden_threshold(positive, score)
    assert decision[positive].mean() - decision[~positive].mean() == pytest.approx((true - false).max())


def test_threshold_of_one_side_alone_is_undefined() -> None:
    assert np.isnan(youden_threshold([True, True], [0.1, 0.2]))
    assert youden_threshold([True, False], [0.1, 0.2]) == 0.1  # nothing beats referring everyone


def table(seeds: int, n: int = 60) -> pd.DataFrame:
    dr = np.random.default_rng(0).integers(5, size=n)
    each = []
    for seed in range(seeds):
        latent = dr + np.random.default_rng(seed + 1).normal(scale=1.5, size=n) + 2 * seed
        each.append(pd.DataFrame({"dr": dr, "dr_score": latent, "seed": seed, "fold": np.arange(n) % 2}))
    return pd.concat(each, ignore_index=True).assign(group=lambda t: (t.index % n // 2).astype(str))


def test_every_network_has_the_threshold_of_its_own_validation() -> None:
    validation = table(2)
    found = validation_thresholds(validation, "dr", 2)
    assert set(found) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    one = validation[(validation["seed"] == 1) & (validation["fold"] == 0)]
    assert found[1, 0] == youden_threshold(one["dr"] >= 2, one["dr_score"])
    assert found[1, 0] > found[0, 0] + 0.5
    lacking = validation[(validation["seed"] == 0) | (validation["dr"] < 2)]
    assert set(validation_thresholds(lacking, "dr", 2)) == {(0, 0), (0, 1)}


def test_sensitivity_and_specificity_agree_with_scikit_learn() -> None:
    rows = table(1)
    thresholds = {(0, 0): 2.5, (0, 1): 1.5}
    decision = referred(rows, "dr", 2, thresholds)
    assert decision.tolist() == [s >= (1.5 if k % 2 else 2.5) for k, s in enumerate(rows["dr_score"])]
    clusters = Clusters.of(rows["group"], rows["dr"])
    weights = np.random.default_rng(3).integers(0, 3, size=(3, clusters.size)).astype(float)
    figures = referral_figures(rows, clusters, "dr", 2, thresholds)
    assert figures.names == ("sensitivity_referable", "specificity_referable")
    for found, w in zip(figures.panel(weights), weights, strict=True):
        sample = w[clusters.index(rows["group"])]
        expected = [
            recall_score(rows["dr"] >= 2, decision, pos_label=side, sample_weight=sample) for side in (1, 0)
        ]
        assert found == pytest.approx(expected)
