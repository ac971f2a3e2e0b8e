"""The models at each threshold against scikit-learn, and the grades that they make."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from retinalab.errors import RetinalabError
from retinalab.metrics.shortcut import predict, prediction_columns, rounds
from retinalab.metrics.shortcut.model import at_least
from retinalab.protocol import SCALES

ICDR = SCALES["icdr5"]


def sample(n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    grades = np.repeat(draw.integers(0, 5, n // 2), 2)
    features = grades[:, None] * [0.5, 0.2, 0] + draw.normal(size=(n, 3))
    return features, grades, np.repeat(np.arange(n // 2), 2).astype(str)


def test_each_threshold_is_a_standardised_logistic_regression() -> None:
    features, grades, groups = sample()
    train = np.arange(120) < 80
    found = predict(features, grades, ICDR, rounds(grades, ICDR, groups, train, 5, 0))
    scaler = StandardScaler().fit(features[train])
    for cut in range(1, 5):
        model = LogisticRegression(C=0.1, max_iter=2000).fit(
            scaler.transform(features[train]), grades[train] >= cut
        )
        expected = model.predict_proba(scaler.transform(features[~train]))[:, 1]
        np.testing.assert_allclose(found[~train, cut - 1], expected)
    assert np.isnan(found[train]).all()


def test_folds_keep_patients_whole_and_predict_everyone_once() -> None:
    features, grades, groups = sample()
    parts = rounds(grades, ICDR, groups, None, 5, 0)
    assert sorted(np.concatenate([test for _, test in parts]).tolist()) == list(range(120))
    for fit, test in parts:
        assert not set(groups[fit]) & set(groups[test])
        assert not set(fit) & set(test)
    assert np.isfinite(predict(features, grades, ICDR, parts)).all()


def test_unknown_features_count_as_average_and_a_column_of_them_as_nothing() -> None:
    features, grades, groups = sample()
    parts = rounds(grades, ICDR, groups, np.arange(120) < 80, 5, 0)
    empty = np.column_stack([features, np.full(120, np.nan)])
    np.testing.assert_allclose(predict(empty, grades, ICDR, parts), predict(features, grades, ICDR, parts))
    holes, filled = features.copy(), features.copy()
    holes[100:, 0], filled[100:, 0] = np.nan, features[:80, 0].mean()
    np.testing.assert_allclose(predict(holes, grades, ICDR, parts), predict(filled, grades, ICDR, parts))


def test_a_grade_that_training_lacks_is_never_predicted() -> None:
    features, grades, groups = sample()
    lacking = np.minimum(grades, 3)
    found = predict(features, lacking, ICDR, rounds(lacking, ICDR, groups, np.arange(120) < 80, 5, 0))
    assert (found[80:, 3] == 0).all()
    assert (prediction_columns(found[80:], "dr", ICDR)["dr_p4"] == 0).all()


def test_probabilities_fall_and_referable_disease_keeps_its_own() -> None:
    crossing = np.array([[0.5, 0.6, 0.7, 0.1], [0.9, 0.4, 0.2, 0.3], [0.8, 0.7, 0.6, 0.55]])
    falling = at_least(crossing, ICDR)
    np.testing.assert_array_equal(
        falling, [[0.6, 0.6, 0.6, 0.1], [0.9, 0.4, 0.2, 0.2], [0.8, 0.7, 0.6, 0.55]]
    )
    table = prediction_columns(crossing, "dr", ICDR)
    shares = table[[f"dr_p{k}" for k in range(5)]].to_numpy()
    np.testing.assert_allclose(
        shares, [[0.4, 0, 0, 0.5, 0.1], [0.1, 0.5, 0.2, 0, 0.2], [0.2, 0.1, 0.1, 0.05, 0.55]]
    )
    np.testing.assert_allclose(shares[:, 2:].sum(axis=1), crossing[:, 1])
    assert table["dr_grade"].tolist() == [3, 1, 4]
    binary = prediction_columns(np.array([[0.3], [0.5]]), "dme", SCALES["binary"])
    assert binary.to_numpy().tolist() == [[0.7, 0.3, 0], [0.5, 0.5, 1]]


def test_a_patient_on_both_sides_is_refused() -> None:
    _, grades, groups = sample()
    with pytest.raises(RetinalabError, match=r"'40' is on both sides of the split \(1 such\)"):
        rounds(grades, ICDR, groups, np.arange(120) < 81, 5, 0)
