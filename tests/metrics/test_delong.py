"""DeLong's variance against the authors' own example, brute force and a normal model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from retinalab.errors import RetinalabError
from retinalab.metrics.delong import delong_covariance, delong_interval, delong_test

# albumin, total protein, K-G score and benefit from surgery of the 43 complete cases of DeLong et al. 1988
CASES = """
3.0 5.8 10 0  3.2 6.3  5 1  3.9 6.8  3 1  2.8 4.8  6 0  3.2 5.8  3 1  0.9 4.0  5 0  2.5 5.7  8 0  1.6 5.6  5 1
3.8 5.7  5 1  3.7 6.7  6 1  3.2 5.4  4 1  3.8 6.6  6 1  4.1 6.6  5 1  3.6 5.7  5 1  4.3 7.0  4 1  3.6 6.7  4 0
2.3 4.4  6 1  4.2 7.6  4 0  4.0 6.6  6 0  3.5 5.8  6 1  3.8 6.8  7 1  3.0 4.7  8 0  4.5 7.4  5 1  3.7 7.4  5 1
3.1 6.6  6 1  4.1 8.2  6 1  4.3 7.0  5 1  4.3 6.5  4 1  3.2 5.1  5 1  2.6 4.7  6 1  3.3 6.8  6 0  1.7 4.0  7 0
3.7 6.1  5 1  3.3 6.3  7 1  4.2 7.7  6 1  3.5 6.2  5 1  2.9 5.7  9 0  2.1 4.8  7 1  2.8 6.2  8 0  4.0 7.0  7 1
3.3 5.7  6 1  3.7 6.9  5 1  3.6 6.6  5 1
"""
TABLE = np.array(CASES.split(), dtype=float).reshape(-1, 4)
BENEFIT = TABLE[:, 3] == 1
ALBUMIN, PROTEIN, SCORE = TABLE[:, 0], TABLE[:, 1], -TABLE[:, 2]


def brute(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas and covariance from every pair of a positive and a negative unit."""
    wins = [(np.sign(np.subtract.outer(s[positive], s[~positive])) + 1) / 2 for s in scores]
    ill, well = np.array([w.mean(axis=1) for w in wins]), np.array([w.mean(axis=0) for w in wins])
    covariance = np.cov(ill) / positive.sum() + np.cov(well) / (~positive).sum()
    return ill.mean(axis=1), np.atleast_2d(covariance)


@pytest.mark.parametrize(
    ("score", "published"),
    [
        (ALBUMIN, (0.7366, 0.0927, 0.5549, 0.9182)),
        (SCORE, (0.7258, 0.1028, 0.5243, 0.9273)),
        (PROTEIN, (0.6478, 0.1000, 0.4518, 0.8439)),
    ],
)
def test_areas_of_the_published_example(score: np.ndarray, published: tuple[float, ...]) -> None:
    found = delong_interval(BENEFIT, score, scale="area")
    assert (found.value, found.error, found.low, found.high) == pytest.approx(published, abs=6e-5)


def test_contrasts_of_the_published_example() -> None:
    # SAS/STAT 13.1 User's Guide, LOGISTIC, "Comparing Receiver Operating Characteristic Curves"
    for score, (difference, error, chi, p) in (
        (ALBUMIN, (0.0108, 0.0953, 0.0127, 0.9102)),
        (PROTEIN, (-0.0780, 0.1046, 0.5554, 0.4561)),
    ):
        found = delong_test(BENEFIT, score, SCORE)
        assert (found.difference.value, found.difference.error) == pytest.approx(
            (difference, error), abs=6e-5
        )
        assert (found.z**2, found.p) == pytest.approx((chi, p), abs=6e-5)


def test_limits_lie_as_far_from_the_area_on_the_logit_scale() -> None:
    found = delong_interval(BENEFIT, ALBUMIN)
    odds = [np.log(v / (1 - v)) for v in (found.low, found.value, found.high)]
    reach = 1.959964 * 0.0926944 / (0.7365591 * 0.2634409)
    assert np.diff(odds) == pytest.approx([reach, reach], rel=1e-5)


@pytest.mark.parametrize("levels", [4, 1000])
def test_agrees_with_every_pair(levels: int) -> None:
    generator = np.random.default_rng(levels)
    positive = generator.random(120) < 0.3
    scores = (generator.normal(size=(3, 120)) + positive).clip(-2, 3)
    scores = np.round(scores * levels / 5)
    areas, covariance = delong_covariance(positive, scores)
    expected, its = brute(positive, scores)
    np.testing.assert_allclose(areas, expected, atol=1e-12)
    np.testing.assert_allclose(covariance, its, atol=1e-12)
    np.testing.assert_allclose(areas, [roc_auc_score(positive, s) for s in scores])
    one = delong_test(positive, scores[0], scores[1])
    other = delong_test(positive, scores[1], scores[0])
    assert one.p == pytest.approx(other.p)
    assert one.difference.low == pytest.approx(-other.difference.high)


def test_intervals_hold_the_area_of_two_normal_laws() -> None:
    truth, held = stats.norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(250):
        generator = np.random.default_rng(seed)
        found = delong_interval(np.arange(200) < 80, generator.normal(size=200) + (np.arange(200) < 80))
        held += found.low <= truth <= found.high
    # four binomial standard errors of 250 samples
    assert held / 250 == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 250))


def test_patients_with_several_photographs_are_refused() -> None:
    groups = ["a", "a", "b", "c"]
    with pytest.raises(
        RetinalabError, match=r"independent units only: 'a' has 2 photographs.*bootstrap"
    ) as caught:
        delong_interval([True, False, True, False], [0.1, 0.2, 0.3, 0.4], groups)
    assert "\n" not in str(caught.value)
    alone = delong_interval([True, False, True, False], [0.1, 0.2, 0.3, 0.4], ["a", "b", "c", "d"])
    assert alone.value == 0.25
    with pytest.raises(RetinalabError, match="1 of 3 photographs have a score that is no finite number"):
        delong_interval([True, False, True], [0.1, np.nan, 0.3])


def test_what_is_undefined_is_said() -> None:
    assert "both sides" in delong_interval([True, True], [0.1, 0.2]).note
    single = delong_interval([True, False, False], [0.3, 0.2, 0.1])
    assert (single.value, single.note[:11]) == (1, "no interval")
    parted = delong_interval([True, True, False, False], [0.4, 0.3, 0.2, 0.1])
    assert (parted.value, parted.low, parted.high) == (1, 1, 1)
    assert "no variance" in parted.note
    same = delong_test([True, True, False, False], [0.4, 0.1, 0.2, 0.3], [0.4, 0.1, 0.2, 0.3])
    assert (same.difference.value, same.p) == (0, 1)
    assert np.isnan(delong_test([True, True, False, False], [4, 3, 2, 1], [1, 2, 3, 4]).p)
