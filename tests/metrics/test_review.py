"""Figures of made photographs against brute force, scikit-learn and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from retinalab.metrics.review import (
    area_share,
    nearest_bits,
    nearness,
    picture_features,
    spread,
    told_apart,
)


def test_the_nearest_hash_is_that_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    hashes, others = (rng.integers(0, 1 << 63, (n, 4), dtype=np.uint64) for n in (40, 1500))
    hashes[5] = others[1400] ^ np.array([1, 0, 2, 1 << 40], np.uint64)
    hashes[7] = 0  # shows no field of view
    others[3] = 0
    words = [sum(int(word) << (64 * k) for k, word in enumerate(row)) for row in others]
    expected = [
        min(
            (sum(int(word) << (64 * k) for k, word in enumerate(row)) ^ other).bit_count()
            for other in words
            if other
        )
        for row in hashes
    ]
    expected[7] = -1
    found = nearest_bits(hashes, others)
    assert found.tolist() == expected
    assert found[5] == 3
    assert nearest_bits(hashes, others[3:4]).tolist() == [-1] * 40


def test_nearness_counts_those_within_forty_bits_and_those_without_a_field() -> None:
    found = nearness(np.array([41, 40, 3, -1, 90]))
    assert (found["n"], found["near"], found["note"]) == (4, 2, "1 of 5 show no field of view")
    assert found["quantiles"] == {
        "0": 3, "0.05": 3, "0.25": 3, "0.5": 40, "0.75": 41, "0.95": 90, "1": 90,
    }  # fmt: skip
    none = nearness(np.array([-1, -1]))
    assert (none["n"], none["near"], none["quantiles"]) == (0, 0, None)
    assert none["note"].startswith("undefined")


def test_nothing_has_no_quantiles_and_says_why() -> None:
    assert spread([], "undefined: none") == {"n": 0, "quantiles": None, "note": "undefined: none"}


def test_the_share_of_an_area_is_that_of_all_pixels_together() -> None:
    found = area_share([1, 30], [100, 100], ["a", "b"], "")
    assert found["value"] == pytest.approx(31 / 200)
    assert (found["low"], found["high"]) == (pytest.approx(0.01), pytest.approx(0.30))
    assert (found["n"], found["n_groups"]) == (2, 2)
    same = area_share([10, 20, 30], [100, 200, 300], ["a", "b", "c"], "")
    assert same["value"] == same["low"] == same["high"] == pytest.approx(0.1)


def test_photographs_of_one_patient_have_a_share_and_no_interval() -> None:
    found = area_share([1, 3], [4, 4], ["a", "a"], "")
    assert (found["value"], found["low"], found["high"]) == (0.5, None, None)
    assert found["note"] == "no interval: a single group"


def test_a_share_of_nothing_says_why() -> None:
    found = area_share([0, 0], [0, 0], ["a", "b"], "undefined: nothing was changed")
    assert found["value"] is None
    assert found["note"] == "undefined: nothing was changed"


def features(shift: float, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of 60 originals and 60 made photographs of 30 patients, those made with one feature moved."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2 * n, 6))
    values[n:, 2] += shift
    values[3, 4] = np.nan
    groups = np.array([f"p{k // 2}" for k in range(n)] * 2)
    return values, np.arange(2 * n) >= n, groups


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_telling_apart_is_scikit_learns_cross_validation(shift: float) -> None:
    values, made, groups = features(shift)
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, values, made, groups=groups, cv=folds, method="predict_proba")[:, 1]
    found = told_apart(values, made, groups, resamples=200)
    assert found["value"] == pytest.approx(roc_auc_score(made, scores), abs=1e-9)
    assert found["low"] is not None
    assert found["high"] is not None
    assert found["low"] <= found["value"] <= found["high"]
    assert (found["low"] > 0.5) == bool(shift)
    assert (found["n"], found["n_groups"]) == (120, 30)


def test_too_few_photographs_or_patients_are_no_figure() -> None:
    values, made, groups = features(1.0)
    few = told_apart(values[:64], made[:64], groups[:64])
    assert few["value"] is None
    assert few["note"] == (
        "undefined: only 4 made photographs of 2 patients; at least 5 of at least 5 patients are needed"
    )
    one = told_apart(values, made, np.where(made, "p", groups))
    assert one["value"] is None
    assert "of 1 patient;" in str(one.get("note"))


def test_features_see_sharpness_and_colour_at_one_size() -> None:
    rng = np.random.default_rng(2)
    image = rng.integers(40, 200, (1, 512, 512, 3)).astype(np.uint8)
    flat = np.full((1, 512, 512, 3), 100, np.uint8)
    found = picture_features(np.concatenate([image, flat, np.zeros_like(flat)]))
    assert found.shape == (3, 54)
    assert (found[0, :2] > found[1, :2]).all()
    assert found[1, 3:6] == pytest.approx(100 / 255)
    assert np.isnan(found[2, :3]).all()
    assert not found[2, 3:].any()
