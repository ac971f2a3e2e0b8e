"""Parts that keep patients whole and grades in proportion, from a seed alone."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from retinalab.errors import RetinalabError

__all__ = ["hold_out", "k_folds"]


def hold_out(
    rows: np.ndarray, groups: np.ndarray, grades: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a share of the patients.

    Patients are shuffled, ordered by their highest grade and taken at even steps, so that every grade is held
    out in proportion; at least one patient stays on either side.

    Args:
        rows: positions to divide.
        groups: the patient of each.
        grades: the grade of each; -1 unknown.
        share: of the patients.
        seed: of the shuffle.

    Shape:
        - ``rows``, ``groups``, ``grades``: ``(n,)``.
        - Returns: the rows kept and the rows held out, ascending.

    Raises:
        RetinalabError: fewer than two patients.
    """
    patients = pd.Series(grades).groupby(groups).max().sort_index()
    if len(patients) < 2:
        raise RetinalabError(
            f"{len(patients)} patients cannot be divided. Give more photographs, or the official parts."
        )
    order = np.random.default_rng(seed).permutation(len(patients))
    order = order[np.argsort(patients.to_numpy()[order], kind="stable")]
    count = int(np.clip(round(share * len(patients)), 1, len(patients) - 1))
    taken = order[((np.arange(count) + 0.5) * len(patients) / count).astype(int)]
    held = np.isin(groups, patients.index.to_numpy(dtype=str)[taken])
    return np.sort(rows[~held]), np.sort(rows[held])


def k_folds(groups: np.ndarray, grades: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """The test rows of each fold: patients whole, grades in proportion.

    Shape:
        - ``groups``, ``grades``: ``(n,)``.
        - Returns: ``folds`` arrays of ascending rows, disjoint, together all rows.

    Raises:
        RetinalabError: fewer than two folds, or fewer patients than folds.
    """
    patients = len(np.unique(groups))
    if folds < 2 or patients < folds:
        raise RetinalabError(
            f"{patients} patients cannot be divided into {folds} folds. Use 2 to {patients} folds."
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        pairs = list(splitter.split(grades, _frequent(grades, folds), groups))
    return [np.sort(test) for _, test in pairs]


def _frequent(grades: np.ndarray, least: int) -> np.ndarray:
    """Join grades that are rarer than the number of folds to the next lower one."""
    levels, counts = np.unique(grades, return_counts=True)
    joined = grades.copy()
    for level, count, lower in zip(levels[1:][::-1], counts[1:][::-1], levels[:-1][::-1], strict=True):
        if count < least:
            joined[joined == level] = lower
    return joined
