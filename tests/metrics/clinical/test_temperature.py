"""Temperature scaling against a grid, against drawn labels of a known temperature, and at its limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from retinalab.metrics.clinical.temperature import LIMITS, fit_temperature, tempered


def drawn(photographs: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are ``sharpness`` times too extreme, and grades drawn from the true ones."""
    draw = np.random.default_rng(3)
    logits = draw.normal(0, 1.5, (photographs, 5))
    truth = softmax(logits, axis=1)
    grades = np.array([draw.choice(5, p=row) for row in truth])
    return softmax(sharpness * logits, axis=1), grades


def test_a_temperature_divides_the_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (7, 4))
    for temperature in (0.5, 1.0, 3.0):
        expected = softmax(logits / temperature, axis=1)
        np.testing.assert_allclose(tempered(softmax(logits, axis=1), temperature), expected, atol=1e-12)


def test_it_is_the_best_of_a_fine_grid() -> None:
    probabilities, grades = drawn(200, 1.7)
    found = fit_temperature(probabilities, grades).value
    grid = np.geomspace(*LIMITS, 6001)
    logits = np.log(probabilities)
    loss = [-log_softmax(logits / t, axis=1)[np.arange(200), grades].mean() for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(loss))], rel=1e-3)
    assert log_loss(grades, tempered(probabilities, found), labels=range(5)) <= min(loss) + 1e-9


def test_it_finds_how_much_too_extreme_probabilities_are() -> None:
    probabilities, grades = drawn(20000, 2.5)
    found = fit_temperature(probabilities, grades)
    assert found.value == pytest.approx(2.5, abs=0.1)
    assert not found.at_limit


def test_it_says_when_the_likelihood_still_rises_at_its_limits() -> None:
    sure = np.tile([0.6, 0.4], (10, 1))
    assert fit_temperature(sure, np.zeros(10, int)).at_limit
    wrong = fit_temperature(sure, np.ones(10, int))
    assert wrong.at_limit
    assert wrong.value == pytest.approx(LIMITS[1], rel=1e-3)


def test_probabilities_of_zero_stay_finite() -> None:
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
    found = fit_temperature(probabilities, [0, 1, 1])
    assert np.isfinite(tempered(probabilities, found.value)).all()
