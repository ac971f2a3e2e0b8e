"""Temperature scaling: one number, fitted on validation, that makes probabilities more or less extreme."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from retinalab.metrics.grading import Array

__all__ = ["LIMITS", "Temperature", "fit_temperature", "tempered"]

LIMITS = (0.05, 20.0)
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Temperature:
    """The temperature, and whether it stopped at one of :data:`LIMITS`, where the likelihood still rises."""

    value: float
    at_limit: bool


def tempered(probabilities: npt.ArrayLike, temperature: float) -> Array:
    """Probabilities at a temperature: p^(1/T), normalised, which is softmax(logits / T).

    Shape:
        - ``probabilities``: ``(n, K)``, rows that sum to 1.
        - Returns: ``(n, K)``, float64.

    Example:
        >>> tempered([[0.8, 0.2]], 2.0).round(3).tolist()
        [[0.667, 0.333]]
    """
    logits = _logits(probabilities) / temperature
    out: Array = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    return out


def fit_temperature(probabilities: npt.ArrayLike, reference: npt.ArrayLike) -> Temperature:
    """The temperature at which the reference grades are most likely.

    Minimises -mean log softmax(log p / T)[reference], which is convex in 1/T; looked for between :data:`LIMITS`.

    Reference: Guo et al., ICML 2017, section 4.2.
    Differs from the paper: it starts from logits; log p differs from them by a constant of each photograph, which
    softmax does not see.

    Args:
        probabilities: ``(n, K)``.
        reference: ``(n,)`` grades, all known.
    """
    logits, rows = _logits(probabilities), np.asarray(reference, dtype=np.int64)
    right = logits[np.arange(len(rows)), rows]

    def loss(sharpness: float) -> float:
        return float((logsumexp(sharpness * logits, axis=1) - sharpness * right).mean())

    low, high = 1 / LIMITS[1], 1 / LIMITS[0]
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
    sharpness = float(found.x)
    at_limit = math.isclose(sharpness, low, rel_tol=1e-4) or math.isclose(sharpness, high, rel_tol=1e-4)
    return Temperature(1 / sharpness, at_limit)


def _logits(probabilities: npt.ArrayLike) -> Array:
    logits: Array = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _SMALLEST))
    return logits
