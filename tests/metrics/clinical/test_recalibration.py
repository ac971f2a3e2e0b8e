"""Calibration intercept and slope against statsmodels and scikit-learn, with weights, and where undefined."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from retinalab.metrics.clinical.recalibration import SMALLEST, Recalibration

DRAW = np.random.default_rng(5)
P = DRAW.uniform(0.02, 0.98, 300)
Y = DRAW.uniform(size=300) < expit(0.4 + 0.6 * logit(P))


def test_the_slope_is_that_of_a_logistic_regression_on_the_logit() -> None:
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(logit(P)[:, None], Y)
    assert Recalibration(Y, P)(np.ones((1, 300)))[0, 1] == pytest.approx(model.coef_[0, 0], abs=1e-5)


def test_the_intercept_is_that_with_the_logit_as_offset() -> None:
    model = sm.GLM(Y.astype(float), np.ones(300), family=sm.families.Binomial(), offset=logit(P)).fit()
    assert Recalibration(Y, P)(np.ones((1, 300)))[0, 0] == pytest.approx(model.params[0], abs=1e-7)


def test_weights_count_photographs_as_often_as_they_were_drawn() -> None:
    weights = DRAW.integers(0, 4, (5, 300)).astype(float)
    found = Recalibration(Y, P)(weights)
    for row, times in zip(found, weights.astype(int), strict=True):
        y, x = np.repeat(Y, times), np.repeat(logit(P), times)
        slope = sm.GLM(y.astype(float), sm.add_constant(x), family=sm.families.Binomial()).fit().params[1]
        offset = sm.GLM(y.astype(float), np.ones(len(y)), family=sm.families.Binomial(), offset=x).fit()
        np.testing.assert_allclose(row, [offset.params[0], slope], atol=1e-6)


def test_a_calibrated_prediction_has_intercept_0_and_slope_1() -> None:
    """Shares of exactly 1/4 and 3/4 among photographs predicted so."""
    p = np.repeat([0.25, 0.75], 8)
    y = np.repeat([1, 0, 1, 0], [2, 6, 6, 2])
    np.testing.assert_allclose(Recalibration(y, p)(np.ones((1, 16)))[0], [0, 1], atol=1e-9)


def test_it_is_undefined_without_both_sides_and_the_slope_where_they_are_separated() -> None:
    one = Recalibration([True, True, False], [0.9, 0.8, 0.1])
    found = one(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    assert np.isnan(found[[0, 1, 3]]).all()
    assert np.isfinite(found[2, 0])
    assert np.isnan(found[2, 1])


def test_saturated_probabilities_are_held_from_0_and_1() -> None:
    p = np.array([0.0, 1.0] * 10)
    y = np.array([0, 1] * 8 + [1, 0] * 2)
    intercept, slope = Recalibration(y, p)(np.ones((1, 20)))[0]
    assert intercept == pytest.approx(0, abs=1e-6)
    assert slope == pytest.approx(logit(0.8) / logit(1 - SMALLEST), rel=1e-6)


def test_equal_probabilities_have_no_slope() -> None:
    found = Recalibration([True, False, False, False], [0.3] * 4)(np.ones((1, 4)))[0]
    assert found[0] == pytest.approx(logit(0.25) - logit(0.3), abs=1e-8)
    assert np.isnan(found[1])
