"""Logistic recalibration: by which intercept and slope a predicted probability would have to be moved."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from retinalab.metrics.grading import Array

__all__ = ["SMALLEST", "Recalibration"]

SMALLEST = 1e-6
"""Probabilities are held this far from 0 and 1, whose logits are infinite."""

_STEPS, _LONGEST, _CLOSE, _FARTHEST = 60, 2.0, 1e-9, 200.0
_BLOCK = 1 << 16


class Recalibration:
    """Calibration intercept and slope for any number of weightings.

    The slope b is that of logit P(y) = a + b logit p; the intercept, calibration in the large, is a with b = 1. A
    calibrated prediction has 0 and 1; a slope below 1 means too extreme probabilities, an intercept below 0 too high
    ones. Both are undefined without both classes, and the slope where the probabilities separate them.

    Args:
        positive: ``(n,)`` bool.
        probability: ``(n,)``.

    Reference: Cox, Biometrika 1958; Van Calster et al., BMC Medicine 17, 2019.

    Example:
        >>> recalibration = Recalibration([True, False, False, False], [0.5] * 4)
        >>> round(float(recalibration(np.ones((1, 4)))[0, 0]), 3)
        -1.099
    """

    def __init__(self, positive: npt.ArrayLike, probability: npt.ArrayLike) -> None:
        self._y = np.asarray(positive, dtype=np.float64)
        self._x = logit(np.clip(np.asarray(probability, dtype=np.float64), SMALLEST, 1 - SMALLEST))
        self._start = np.zeros((2, 1))
        everyone = np.ones((1, self._y.size))
        if self._y.size and self._both(everyone)[0]:
            found = self._slope(everyone)
            self._start = np.where(np.isfinite(found), found, 0.0)

    def __call__(self, weights: npt.ArrayLike) -> Array:
        """Intercept and slope for each weighting: ``(b, n)`` to ``(b, 2)``; nan where undefined."""
        weights = np.asarray(weights, dtype=np.float64)
        out = np.full((len(weights), 2), np.nan)
        both = self._both(weights)
        if both.any():
            out[both, 0] = self._intercept(weights[both])
            out[both, 1] = self._slope(weights[both])[1]
        return out

    def _both(self, weights: Array) -> npt.NDArray[np.bool_]:
        total, sick = weights.sum(axis=1), weights @ self._y
        both: npt.NDArray[np.bool_] = (sick > 0) & (sick < total)
        return both

    def _intercept(self, weights: Array) -> Array:
        return np.concatenate([self._moved(block) for block in self._blocks(weights)])

    def _moved(self, weights: Array) -> Array:
        observed, at = weights @ self._y, np.zeros(len(weights))
        for _ in range(_STEPS):
            p = _logistic(self._x + at[:, None])
            predicted = np.einsum("bn,bn->b", weights, p)
            spread = np.maximum(predicted - np.einsum("bn,bn,bn->b", weights, p, p), 1e-12)
            step = np.clip((observed - predicted) / spread, -_LONGEST, _LONGEST)
            at += step
            if np.abs(step).max() < _CLOSE:
                return at
        return np.where(np.abs(step) < 1e-6, at, np.nan)

    def _slope(self, weights: Array) -> Array:
        """``(2, b)``: intercept and slope, by Newton's method with steps of bounded length."""
        return np.concatenate([self._turned(block) for block in self._blocks(weights)], axis=1)

    def _turned(self, weights: Array) -> Array:
        at = np.repeat(self._start, len(weights), axis=1)
        powers = self._x[:, None] ** np.arange(3)
        observed = (weights * self._y) @ powers[:, :2]
        for _ in range(_STEPS):
            p = _logistic(at[1][:, None] * self._x + at[0][:, None])
            weighted = weights * p
            first, second = (observed - weighted @ powers[:, :2]).T
            weighted *= np.subtract(1, p, out=p)
            a, b, c = (weighted @ powers).T
            determinant = np.maximum(a * c - b * b, 1e-300)
            step = np.stack([(c * first - b * second) / determinant, (a * second - b * first) / determinant])
            step *= np.minimum(1, _LONGEST / np.maximum(np.abs(step).max(axis=0), 1e-300))
            at += step
            if np.abs(step).max() < _CLOSE:
                break
        settled = (np.abs(step).max(axis=0) < 1e-6) & (np.abs(at).max(axis=0) < _FARTHEST)
        settled &= (a * c - b * b) > 1e-9 * a * c
        return np.where(settled, at, np.nan)

    def _blocks(self, weights: Array) -> Iterator[Array]:
        """So many weightings at once as stay near the processor, where Newton's steps are several times as fast."""
        rows = max(1, _BLOCK // max(1, self._y.size))
        for start in range(0, len(weights), rows):
            yield weights[start : start + rows]


def _logistic(logits: Array) -> Array:
    """As :func:`scipy.special.expit`, written over its argument; NumPy's exponential is several times as fast."""
    with np.errstate(over="ignore"):
        np.exp(np.negative(logits, out=logits), out=logits)
    logits += 1
    return np.reciprocal(logits, out=logits)
