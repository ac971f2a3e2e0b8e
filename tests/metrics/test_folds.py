"""Differences fold by fold: hand-worked accuracies, the ratio of tested to trained photographs."""

from __future__ import annotations

import pandas as pd
import pytest

from retinalab.metrics.compare import compare
from retinalab.metrics.folds import fold_ratio
from retinalab.metrics.paired import resampled_t
from retinalab.protocol import SCALES

SCALE = {"dme": SCALES["binary"]}


def predictions(right: list[int], fold: list[int], part: str = "test") -> pd.DataFrame:
    """A photograph for each entry of ``right``: whether it is graded right; references alternate."""
    reference = [k % 2 for k in range(len(right))]
    grade = [r if ok else 1 - r for r, ok in zip(reference, right, strict=True)]
    return pd.DataFrame(
        {
            "image": [f"{part}{k}.jpg" for k in range(len(right))],
            "fold": fold, "part": part, "dme": reference, "dme_grade": grade,
            "dme_p0": [1.0 - g for g in grade], "dme_p1": [float(g) for g in grade], "set": "clinic",
        }
    )  # fmt: skip


def test_mean_over_folds_is_tested_with_the_overlap_of_training() -> None:
    folds = [k // 4 for k in range(12)]
    a = predictions([1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1], folds)
    b = predictions([1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0], folds)
    one = compare(a, b, SCALE, resamples=50)["test/dme/accuracy"]["folds"]
    assert [each["a"] for each in one["values"]] == [1, 0.75, 1]
    assert [each["difference"] for each in one["values"]] == pytest.approx([0.25, 0.25, 0.75])
    assert one["test_to_train"] == 4 / 8
    expected = resampled_t([0.25, 0.25, 0.75], 0.5)
    assert (one["mean"], one["low"], one["high"], one["p"]) == pytest.approx(
        (expected.value, expected.low, expected.high, expected.p)
    )


def test_validation_is_not_trained_on() -> None:
    folds = [k // 4 for k in range(12)]
    tested = predictions([1] * 12, folds)
    held_out = predictions([1] * 6, [0, 0, 1, 1, 2, 2], "val")
    assert fold_ratio(tested, None) == 4 / 8
    assert fold_ratio(tested, held_out) == 4 / 6
    assert fold_ratio(tested, held_out.assign(set="elsewhere")) == 4 / 8


def test_photographs_that_several_folds_test_are_no_folds_of_a_whole() -> None:
    every = pd.concat([predictions([1, 0, 1, 1], [fold] * 4) for fold in range(3)])
    assert fold_ratio(every, None) is None
    assert fold_ratio(predictions([1, 1], [-1, -1]), None) is None
    assert "folds" not in compare(every, every, SCALE, resamples=10)["test/dme/accuracy"]
