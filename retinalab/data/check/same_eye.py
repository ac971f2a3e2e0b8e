"""Do two photographs show one eye? The marks of one are found in the other, at one shift, turn and scale."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["FEWEST_MARKS", "common_marks", "same_eye"]

FEWEST_MARKS = 40
"""Marks that two photographs of one eye must share. Among the photographs of DeepDRiD and dr600 that resemble each
other by hash, those of one eye share 88 or more, those of two eyes (which resemble each other by the reflections of
one camera) 16 or fewer."""

_SIDE = 512
_BLUR = 10.0
_RIM = 25
_RATIO = 0.8
_REACH = 5.0
_CELL = 64
_FEWEST_CELLS = 8


def same_eye(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two working images show one eye, be it at another visit and in another light.

    Shape:
        - ``first``, ``second``: ``(S, S, 3)``, uint8, RGB, cropped to the field of view.
    """
    marks, cells = common_marks(first, second)
    return marks >= FEWEST_MARKS and cells >= _FEWEST_CELLS


def common_marks(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    """How many marks of one photograph lie in the other where one similarity transform puts them.

    Reference: Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 60(2), 2004; the marks are his,
    of the green channel without its local mean and contrast.

    Shape:
        - ``first``, ``second``: ``(S, S, 3)``, uint8, RGB.
        - Returns: the number of marks, and of the cells of an 8 × 8 grid that they lie in: reflections of a camera
          are few and lie together.
    """
    finder = cv2.SIFT.create(nfeatures=600, contrastThreshold=0.01)
    (points, described), (others, other_described) = _marks(first, finder), _marks(second, finder)
    if described is None or other_described is None or min(len(points), len(others)) < 4:
        return 0, 0
    nearest = cv2.BFMatcher().knnMatch(described, other_described, k=2)
    matches = [pair[0] for pair in nearest if pair[0].distance < _RATIO * pair[1].distance]
    if len(matches) < 4:
        return 0, 0
    start = points[[match.queryIdx for match in matches]]
    end = others[[match.trainIdx for match in matches]]
    _, agreeing = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=_REACH)
    if agreeing is None:
        return 0, 0
    kept = start[agreeing.ravel() > 0]
    return len(kept), len(np.unique(kept // _CELL, axis=0))


def _marks(image: np.ndarray, finder: cv2.SIFT) -> tuple[np.ndarray, np.ndarray | None]:
    """Positions ``(n, 2)`` and descriptors ``(n, 128)`` of the marks away from the rim of the field."""
    green = image[..., 1].astype(np.float32)
    high = green - cv2.GaussianBlur(green, (0, 0), _BLUR)
    spread = np.sqrt(cv2.GaussianBlur(high**2, (0, 0), 2 * _BLUR)) + 1
    even = np.clip(128 + 45 * high / spread, 0, 255).astype(np.uint8)
    inside = cv2.erode((image.max(axis=2) > 12).astype(np.uint8), np.ones((_RIM, _RIM), np.uint8))
    large = cv2.resize(even, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    field = cv2.resize(inside, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)
    found, described = finder.detectAndCompute(large, field)
    return np.array([mark.pt for mark in found], np.float32).reshape(-1, 2), described
