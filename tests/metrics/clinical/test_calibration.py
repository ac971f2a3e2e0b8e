"""Brier score, adaptive calibration error and reliability, counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss

from retinalab.metrics.clinical.calibration import CALIBRATION, calibration_figures, equal_mass_bins
from retinalab.metrics.statistics import Clusters, bootstrap


def rows_of(count: int) -> pd.DataFrame:
    return pd.DataFrame({"group": [f"g{k:03d}" for k in range(count)]})


def figures(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    rows = rows_of(len(y))
    clusters = Clusters.of(rows["group"])
    one = calibration_figures(rows, clusters, y, p)
    return dict(zip(one.names, one.values(clusters).tolist(), strict=True))


def test_twenty_photographs_by_hand() -> None:
    """Ten at 0.2 of whom 3 are positive, ten at 0.7 of whom 6 are: errors 0.1 and 0.1 over equal halves."""
    y = np.array([1] * 3 + [0] * 7 + [1] * 6 + [0] * 4)
    p = np.array([0.2] * 10 + [0.7] * 10)
    found = figures(y, p)
    assert found["ece"] == pytest.approx(0.1)
    brier = (3 * 0.64 + 7 * 0.04 + 6 * 0.09 + 4 * 0.49) / 20
    assert found["brier"] == pytest.approx(brier) == pytest.approx(brier_score_loss(y, p))
    assert [found[f"size_{k}"] for k in (0, 1)] == [10, 10]
    assert [found[f"predicted_{k}"] for k in (0, 1)] == pytest.approx([0.2, 0.7])
    assert [found[f"observed_{k}"] for k in (0, 1)] == pytest.approx([0.3, 0.6])


def test_errors_in_a_bin_cancel_and_between_bins_do_not() -> None:
    y = np.array([1, 0] * 10 + [1, 0] * 10)
    below, above = figures(y, np.full(40, 0.4)), figures(y, np.array([0.3] * 20 + [0.7] * 20))
    assert below["ece"] == pytest.approx(0.1)
    assert above["ece"] == pytest.approx(0.2)


def test_ece_is_that_of_a_loop_over_sorted_photographs() -> None:
    draw = np.random.default_rng(1)
    p, y = draw.uniform(size=130), draw.uniform(size=130) < 0.4
    order = np.argsort(p)
    bins = np.array_split(order, 10)
    gaps = [len(b) / 130 * abs(y[b].mean() - p[b].mean()) for b in bins]
    assert figures(y, p)["ece"] == pytest.approx(sum(gaps))


def test_bins_have_equal_mass_and_ties_stay_together() -> None:
    counts = np.bincount(equal_mass_bins(np.random.default_rng(0).uniform(size=1000)))
    assert counts.tolist() == [100] * 10
    assert np.bincount(equal_mass_bins(np.arange(25.0))).tolist() == [12, 13]
    tied = equal_mass_bins(np.array([0.1] * 30 + [0.5] * 40 + [0.9] * 30))
    assert len({*tied[:30]}) == len({*tied[30:70]}) == len({*tied[70:]}) == 1
    shuffled = np.random.default_rng(2).permutation(100)
    values = np.round(np.random.default_rng(4).uniform(size=100), 1)
    assert (equal_mass_bins(values)[shuffled] == equal_mass_bins(values[shuffled])).all()


def test_too_few_photographs_have_no_calibration_error() -> None:
    found = figures(np.array([1, 0] * 9), np.linspace(0.1, 0.9, 18))
    assert np.isnan(found["ece"])
    assert found["brier"] > 0


def test_resamples_weigh_whole_clusters() -> None:
    draw = np.random.default_rng(8)
    p, y = draw.uniform(size=60), (draw.uniform(size=60) < 0.5).astype(int)
    rows = pd.DataFrame({"group": np.repeat([f"g{k:02d}" for k in range(30)], 2)})
    clusters = Clusters.of(rows["group"])
    counts = draw.integers(0, 3, (4, 30)).astype(float)
    found = calibration_figures(rows, clusters, y, p).panel(counts)
    for row, times in zip(found, np.repeat(counts, 2, axis=1).astype(int), strict=True):
        assert row[2] == pytest.approx(brier_score_loss(np.repeat(y, times), np.repeat(p, times)))
    intervals = bootstrap(calibration_figures(rows, clusters, y, p).panel, clusters, 200)
    for name, one in zip(CALIBRATION, intervals, strict=False):
        assert one.low < one.high, name
