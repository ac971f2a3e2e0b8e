"""The colour threshold: the best of all thresholds by brute force, and contrasts that mean what they say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sklearn.metrics import f1_score

from retinalab.metrics.lesion_threshold import (
    CONTRASTS,
    ColourThreshold,
    ContrastHistograms,
    best_threshold,
    contrasts,
    in_field,
    level_counts,
)


def photograph(spots: list[tuple[int, int]], colour: tuple[int, int, int], side: int = 64) -> np.ndarray:
    image = np.zeros((side, side, 3), np.uint8)
    cv2.circle(image, (side // 2, side // 2), side // 2 - 2, (150, 80, 40), cv2.FILLED)
    for spot in spots:
        cv2.circle(image, spot, 2, colour, cv2.FILLED)
    noise = np.random.default_rng(0).integers(0, 6, image.shape).astype(np.uint8)
    return image + noise * (image > 0).astype(np.uint8)


def test_contrasts_are_zero_where_nothing_stands_out() -> None:
    flat = np.zeros((40, 40, 3), np.uint8)
    flat[5:35, 5:35] = (120, 90, 30)
    assert (contrasts(flat) == 128).all()
    flat[20, 20] = (120, 110, 30)
    found = contrasts(flat)
    assert found.shape == (len(CONTRASTS), 40, 40)
    field, mean = 900, (899 * 90 + 110) / 900
    assert found[CONTRASTS.index("green above its field's mean"), 20, 20] == 128 + round((110 - mean) / 2)
    assert in_field(flat).sum() == field
    assert (found[:, ~in_field(flat)] == 128).all()


@pytest.mark.parametrize("colour", [(250, 230, 120), (70, 10, 5)])
def test_the_threshold_is_the_best_of_all(colour: tuple[int, int, int]) -> None:
    image = photograph([(20, 30), (40, 25), (33, 45)], colour)
    mask = np.zeros((64, 64), np.uint8)
    for x, y in [(20, 30), (40, 25)]:
        cv2.circle(mask, (x, y), 3, 1, cv2.FILLED)
    mask[44:60] = 255
    levels, field = contrasts(image), in_field(image)
    counted = ContrastHistograms()
    counted.add(levels, field, mask, level_counts(levels, field))
    chosen = best_threshold(counted)
    assert chosen is not None
    known = field & (mask != 255)
    scores = {
        (k, high, level): f1_score(
            mask[known] == 1, one[known] >= level if high else one[known] <= level, zero_division=0
        )
        for k, one in enumerate(levels)
        for high in (True, False)
        for level in np.unique(one)
    }
    found = chosen.found(levels, field)
    assert f1_score(mask[known] == 1, found[known]) == pytest.approx(max(scores.values()))
    assert not found[~field].any()


def test_a_lesion_that_is_never_shown_has_no_threshold() -> None:
    image = photograph([], (0, 0, 0))
    counted = ContrastHistograms()
    levels, field = contrasts(image), in_field(image)
    counted.add(levels, field, np.zeros((64, 64), np.uint8), level_counts(levels, field))
    assert best_threshold(counted) is None
    assert counted.outside.sum(1).tolist() == [field.sum()] * len(CONTRASTS)
    assert str(ColourThreshold(1, False, 118)) == "green above its local mean: at most -20 of 255"
