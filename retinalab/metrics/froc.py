"""Sensitivity for lesions against false findings per photograph: the free-response ROC."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.grading import Array, ratio
from retinalab.metrics.lesions import THRESHOLDS

__all__ = [
    "FALSE_RATES",
    "counts_at",
    "froc_names",
    "operating_points",
    "photograph_shares",
    "sensitivity_at",
]

FALSE_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False findings per photograph at which a sensitivity is read, and over which it is averaged.

Reference: Niemeijer et al., IEEE TMI 2010 (Retinopathy Online Challenge).
"""


def froc_names() -> tuple[str, ...]:
    """Names of the figures: the mean over the rates, and the sensitivity at each.

    Example:
        >>> froc_names()[:2]
        ('froc', 'froc_0.125')
    """
    return ("froc", *(f"froc_{rate:g}" for rate in FALSE_RATES))


def operating_points(
    hits_at: Array, false_at: Array, lesions: Array, photographs: Array
) -> tuple[Array, Array]:
    """False findings per photograph and sensitivity at every threshold.

    Shape:
        - ``hits_at``, ``false_at``: ``(..., T)`` sums over photographs at each of T thresholds.
        - ``lesions``, ``photographs``: ``(...)`` numbers of both; photographs without the lesion belong to the second.
        - Returns: two arrays ``(..., T)``; nan without a photograph, or without a lesion.
    """
    return ratio(false_at, photographs[..., None]), ratio(hits_at, lesions[..., None])


def sensitivity_at(false: Array, sensitivity: Array) -> Array:
    """The highest sensitivity that any threshold reaches at no more than each of :data:`FALSE_RATES`.

    0 where every threshold gives more false findings, since finding nothing is always open.

    Shape:
        - ``false``, ``sensitivity``: ``(..., T)``, from :func:`operating_points`.
        - Returns: ``(..., 7)``; nan where the sensitivity is undefined.

    Example:
        >>> sensitivity_at(np.array([3.0, 0.5]), np.array([0.9, 0.4])).tolist()
        [0.0, 0.0, 0.4, 0.4, 0.4, 0.9, 0.9]
    """
    best = [np.where(false <= rate, sensitivity, 0.0).max(axis=-1) for rate in FALSE_RATES]
    undefined = np.asarray(np.isnan(sensitivity).any(axis=-1))[..., None]
    return np.where(undefined, np.nan, np.stack(best, axis=-1))


def photograph_shares(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """``(n,)``: 1 for each row, shared out where a photograph was judged in several pieces (windows).

    Args:
        rows: of the lesions table, of one lesion.
    """
    keys = [column for column in ("set", "image", "part", "fold", "seed") if column in rows]
    return 1.0 / rows.groupby(keys, dropna=False)["lesion"].transform("size").to_numpy(np.float64)


def counts_at(rows: pd.DataFrame, column: str) -> Array:
    """``(n, T)`` counts at every threshold."""
    counts: Array = np.stack(rows[column].to_list()).astype(np.float64).reshape(-1, len(THRESHOLDS))
    return counts
