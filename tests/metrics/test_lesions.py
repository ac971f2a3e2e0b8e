"""Sums of a lesion map against pixels counted one by one, SciPy's components and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics as sk

from retinalab.errors import RetinalabError
from retinalab.metrics.lesions import BINS, THRESHOLDS, lesion_counts


def test_a_case_by_hand() -> None:
    mask = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 255], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0]], dtype=np.uint8)
    score = np.zeros((4, 5))
    score[0, 1] = score[0, 3] = score[0, 4] = score[1, 4] = 0.5
    counts = lesion_counts(score, mask)
    assert {k: v for k, v in counts.items() if not k.startswith("hist") and not k.endswith("_at")} == {
        "tp": 1, "fp": 2, "fn": 3, "hits": 1, "misses": 1, "false_components": 1,
    }  # fmt: skip
    assert counts["hist_in"][[0, 128]].tolist() == [3, 1]
    assert counts["hist_out"][[0, 128]].tolist() == [13, 2]
    assert len(counts["hist_in"]) == BINS


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_random_maps(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mask = generator.choice([0, 1, 255], (12, 14), p=[0.7, 0.25, 0.05]).astype(np.uint8)
    score = generator.choice(np.r_[np.linspace(0, 1, 9), generator.random(4)], (12, 14))
    counts = lesion_counts(score, mask)
    known = mask != 255
    truth, found = mask[known] == 1, score[known] >= 0.5
    tn, fp, fn, tp = sk.confusion_matrix(truth, found, labels=[False, True]).ravel()
    assert (counts["tp"], counts["fp"], counts["fn"]) == (tp, fp, fn)
    assert counts["hist_in"][128:].sum() == tp
    assert counts["hist_in"].sum() == tp + fn
    assert counts["hist_out"].sum() == tn + fp
    assert counts["hist_out"][128:].sum() == fp

    lesions, number = ndimage.label(mask == 1, np.ones((3, 3)))
    for threshold, at, wrong in [
        (0.5, counts["hits"], counts["false_components"]),
        *zip(THRESHOLDS, counts["hits_at"], counts["false_at"], strict=True),
    ]:
        findings, count = ndimage.label((score >= threshold) & known, np.ones((3, 3)))
        share = [(mask[findings == k] == 1).mean() for k in range(1, count + 1)]
        true = [k for k, one in enumerate(share, 1) if one >= 0.2]
        assert at == len(set(lesions[np.isin(findings, true)]) - {0})
        assert wrong == count - len(true)
    assert counts["misses"] == number - counts["hits"]


@pytest.mark.parametrize(
    ("score", "mask", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "score map of"),
        (np.full((2, 2), 1.5), np.zeros((2, 2)), "outside"),
        (np.full((2, 2), np.nan), np.zeros((2, 2)), "nan"),
        (np.zeros((2, 2)), np.full((2, 2), 7), "holds 7"),
    ],
)
def test_maps_that_are_not_what_they_should_be(score: np.ndarray, mask: np.ndarray, message: str) -> None:
    with pytest.raises(RetinalabError, match=message):
        lesion_counts(score, mask.astype(np.uint8))
