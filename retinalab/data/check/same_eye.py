"""Do two photographs show one eye? The marks of one are found in the other, at one shift, turn and scale."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["FEWEST_CELLS", "FEWEST_MARKS", "Marks", "common_marks", "marks_of", "same_eye"]

FEWEST_MARKS = 40
"""Marks that two photographs of one eye must share. Among the 800 pairs of photographs of DeepDRiD and dr600 that
resemble each other most by hash and are not named as one eye, those of one eye share 71 or more, those of two eyes,
which resemble each other by the reflections of one camera, 27 or fewer."""
FEWEST_CELLS = 8
"""Cells of an 8 × 8 grid over the field that these must lie in: reflections are few and lie together."""

_BLUR = 10.0
_RIM = 25
_RATIO = 0.8
_REACH = 0.01


@dataclass(frozen=True)
class Marks:
    """Crossings, spots and ends that are found again under another light.

    Attributes:
        points: ``(n, 2)``, float32: x and y as shares of the image's side.
        described: ``(n, 128)``, float32.
    """

    points: np.ndarray
    described: np.ndarray


def marks_of(image: np.ndarray) -> Marks:
    """The marks of a photograph, away from the rim of the field.

    Reference: Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 60(2), 2004; of the green
    channel without its local mean and contrast.

    Shape:
        - ``image``: ``(S, S, 3)``, uint8, RGB, cropped to the field of view; S about 256.
    """
    green = image[..., 1].astype(np.float32)
    high = green - cv2.GaussianBlur(green, (0, 0), _BLUR)
    spread = np.sqrt(cv2.GaussianBlur(high**2, (0, 0), 2 * _BLUR)) + 1
    even = np.clip(128 + 45 * high / spread, 0, 255).astype(np.uint8)
    inside = cv2.erode((image.max(axis=2) > 12).astype(np.uint8), np.ones((_RIM, _RIM), np.uint8))
    found, described = cv2.SIFT.create(nfeatures=600, contrastThreshold=0.01).detectAndCompute(even, inside)
    points = np.array([mark.pt for mark in found], np.float32).reshape(-1, 2) / image.shape[0]
    return Marks(points, np.zeros((0, 128), np.float32) if described is None else described)


def same_eye(first: Marks, second: Marks) -> bool:
    """Whether two photographs show one eye, be it at another visit and in another light."""
    shared, cells = common_marks(first, second)
    return shared >= FEWEST_MARKS and cells >= FEWEST_CELLS


def common_marks(first: Marks, second: Marks) -> tuple[int, int]:
    """How many marks of one photograph lie in the other where one similarity transform puts them.

    Returns:
        The number of marks, and of the cells of an 8 × 8 grid that they lie in.
    """
    if min(len(first.points), len(second.points)) < 4:
        return 0, 0
    nearest = cv2.BFMatcher().knnMatch(first.described, second.described, k=2)
    matches = [pair[0] for pair in nearest if pair[0].distance < _RATIO * pair[1].distance]
    if len(matches) < 4:
        return 0, 0
    start = first.points[[match.queryIdx for match in matches]]
    end = second.points[[match.trainIdx for match in matches]]
    _, agreeing = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=_REACH)
    if agreeing is None:
        return 0, 0
    kept = start[agreeing.ravel() > 0]
    return len(kept), len(np.unique((kept * 8).astype(int), axis=0))
