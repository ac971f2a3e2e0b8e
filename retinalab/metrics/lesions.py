"""Rows of the lesions table: a photograph's score map and mask reduced to sums, so that no map is kept.

Pixels and lesions are counted apart. A lesion is an 8-connected component of the mask, a finding an 8-connected
component of the pixels whose score reaches a threshold. A finding is true where at least a fifth of its pixels are
lesion, else false; a lesion is hit where a true finding touches it. Without the share, a threshold so low that
everything is found would hit every lesion at the price of one false finding.
"""

from __future__ import annotations

from typing import TypedDict

import cv2
import numpy as np
import numpy.typing as npt

from retinalab.errors import RetinalabError

__all__ = ["BINS", "THRESHOLDS", "TRUE_SHARE", "LesionCounts", "lesion_counts"]

BINS = 256
"""Equal bins of the score histograms over [0, 1]; the last one holds 1 itself."""

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
"""Scores at which lesions and findings are counted for the curve of sensitivity against false findings (FROC): closer
at the ends, where the scores of segmentation networks crowd."""

TRUE_SHARE = 0.2
"""Share of a finding's pixels that must be lesion for it to be true."""


class LesionCounts(TypedDict):
    """The numeric columns of one row of the lesions table.

    ``hits_at`` and ``false_at`` are ``hits`` and ``false_components`` at each of :data:`THRESHOLDS`.
    """

    tp: int
    fp: int
    fn: int
    hist_in: npt.NDArray[np.int64]
    hist_out: npt.NDArray[np.int64]
    hits: int
    misses: int
    false_components: int
    hits_at: npt.NDArray[np.int64]
    false_at: npt.NDArray[np.int64]


def lesion_counts(
    score: npt.NDArray[np.floating], mask: npt.NDArray[np.uint8], threshold: float = 0.5
) -> LesionCounts:
    """Count one lesion class of one photograph.

    Args:
        score: ``(H, W)``, in [0, 1].
        mask: ``(H, W)``: 0 absent, 1 present, 255 ignored (left out of every count).
        threshold: of the counts at one threshold; a pixel is found where its score is at least this.

    Raises:
        RetinalabError: the two differ in size, a score lies outside [0, 1], or the mask has another value.

    Example:
        >>> counts = lesion_counts(np.array([[0.9, 0.2]]), np.array([[1, 1]], dtype=np.uint8))
        >>> counts["tp"], counts["fn"], counts["hits"]
        (1, 1, 1)
    """
    _check(score, mask)
    known, lesion = mask != 255, mask == 1
    found = (score >= threshold) & known
    bins = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    number, lesions = cv2.connectedComponents(lesion.astype(np.uint8), connectivity=8)
    seen = np.where(known, score, -1.0)
    at = _at_thresholds(seen, lesions, sorted({*THRESHOLDS, threshold}))
    hits, false = at[threshold]
    return LesionCounts(
        tp=int(np.count_nonzero(lesion & found)),
        fp=int(np.count_nonzero(found & ~lesion)),
        fn=int(np.count_nonzero(lesion & ~found)),
        hist_in=np.bincount(bins[lesion], minlength=BINS),
        hist_out=np.bincount(bins[known & ~lesion], minlength=BINS),
        hits=hits,
        misses=number - 1 - hits,
        false_components=false,
        hits_at=np.array([at[t][0] for t in THRESHOLDS], np.int64),
        false_at=np.array([at[t][1] for t in THRESHOLDS], np.int64),
    )


def _check(score: npt.NDArray[np.floating], mask: npt.NDArray[np.uint8]) -> None:
    if score.shape != mask.shape:
        raise RetinalabError(
            f"A score map of {score.shape} for a mask of {mask.shape}. Resize one to the other."
        )
    if not ((score >= 0) & (score <= 1)).all():
        raise RetinalabError("A lesion score lies outside [0, 1] or is nan. Give probabilities, not logits.")
    wrong = mask[(mask > 1) & (mask != 255)]
    if wrong.size:
        raise RetinalabError(f"A lesion mask holds {int(wrong[0])}. Give 0, 1 and 255 only.")


def _at_thresholds(
    seen: npt.NDArray[np.floating], lesions: npt.NDArray[np.int32], thresholds: list[float]
) -> dict[float, tuple[int, int]]:
    """Threshold -> lesions hit, false findings; ``seen`` is -1 where nothing is judged, ``lesions`` 0 where none is."""
    out: dict[float, tuple[int, int]] = {}
    before, counted = -1, (0, 0)
    for threshold in thresholds:
        found = seen >= threshold
        count = int(np.count_nonzero(found))
        if count != before:
            counted = _findings(found, lesions) if count else (0, 0)
        out[threshold], before = counted, count
    return out


def _findings(found: npt.NDArray[np.bool_], lesions: npt.NDArray[np.int32]) -> tuple[int, int]:
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    number, labels = cv2.connectedComponents(found[box].astype(np.uint8), connectivity=8)
    place = labels > 0
    finding, lesion = labels[place], lesions[box][place]
    inside = lesion > 0
    area = np.bincount(finding, minlength=number)[1:]
    true = np.bincount(finding[inside], minlength=number)[1:] / area >= TRUE_SHARE
    hit = np.unique(lesion[inside][true[finding[inside] - 1]]).size
    return int(hit), int(number - 1 - np.count_nonzero(true))
