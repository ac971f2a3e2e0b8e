"""Rows of the lesions table: a photograph's score map and mask reduced to sums, so that no map is kept."""

from __future__ import annotations

from typing import TypedDict

import cv2
import numpy as np
import numpy.typing as npt

from retinalab.errors import RetinalabError

__all__ = ["BINS", "LesionCounts", "lesion_counts"]

BINS = 256
"""Equal bins of the score histograms over [0, 1]; the last one holds 1 itself."""


class LesionCounts(TypedDict):
    """The numeric columns of one row of the lesions table."""

    tp: int
    fp: int
    fn: int
    hist_in: npt.NDArray[np.int64]
    hist_out: npt.NDArray[np.int64]
    hits: int
    misses: int
    false_components: int


def lesion_counts(
    score: npt.NDArray[np.floating], mask: npt.NDArray[np.uint8], threshold: float = 0.5
) -> LesionCounts:
    """Count one lesion class of one photograph.

    Pixels and 8-connected components are counted apart: a lesion of the reference is hit when a found pixel
    lies in it, a found component is false when it touches no lesion.

    Args:
        score: ``(H, W)``, in [0, 1].
        mask: ``(H, W)``: 0 absent, 1 present, 255 ignored (left out of every count).
        threshold: a pixel is found where its score is at least this.

    Raises:
        RetinalabError: the two differ in size, a score lies outside [0, 1], or the mask has another value.

    Example:
        >>> counts = lesion_counts(np.array([[0.9, 0.2]]), np.array([[1, 1]], dtype=np.uint8))
        >>> counts["tp"], counts["fn"], counts["hits"]
        (1, 1, 1)
    """
    if score.shape != mask.shape:
        raise RetinalabError(
            f"A score map of {score.shape} for a mask of {mask.shape}. Resize one to the other."
        )
    if not ((score >= 0) & (score <= 1)).all():
        raise RetinalabError("A lesion score lies outside [0, 1] or is nan. Give probabilities, not logits.")
    if not np.isin(mask, (0, 1, 255)).all():
        raise RetinalabError(
            f"A lesion mask holds {int(mask[~np.isin(mask, (0, 1, 255))][0])}. Give 0, 1 and 255 only."
        )
    known = mask != 255
    lesion, found = mask == 1, (score >= threshold) & known
    bins = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    hits, lesions = _touched(lesion, found)
    true, components = _touched(found, lesion)
    return LesionCounts(
        tp=int((lesion & found).sum()),
        fp=int((found & ~lesion).sum()),
        fn=int((lesion & ~found).sum()),
        hist_in=np.bincount(bins[lesion], minlength=BINS),
        hist_out=np.bincount(bins[known & ~lesion], minlength=BINS),
        hits=hits,
        misses=lesions - hits,
        false_components=components - true,
    )


def _touched(region: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> tuple[int, int]:
    number, labels = cv2.connectedComponents(region.astype(np.uint8), connectivity=8)
    return int(np.unique(labels[region & other]).size), int(number) - 1
