"""Grading figures against scikit-learn, published confusion matrices and pairs counted one by one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from retinalab.errors import RetinalabError
from retinalab.metrics import grading
from retinalab.protocol import SCALES

SIZES = {"binary": 2, "risk3": 3, "messidor4": 4, "icdr5": 5}
PUBLISHED = (
    (
        [
            [6188, 260, 145, 0, 16],
            [220, 653, 201, 1, 1],
            [145, 311, 2580, 173, 40],
            [4, 0, 286, 378, 24],
            [12, 0, 93, 58, 307],
        ],
        0.8858,
        34,
        {"0-1 as 3-4": 0 + 16 + 1 + 1, "3-4 as 0-1": 4 + 0 + 12 + 0},
    ),
    (
        [
            [6258, 212, 128, 7, 4],
            [218, 655, 202, 0, 1],
            [139, 207, 2745, 127, 31],
            [3, 0, 288, 368, 33],
            [3, 2, 65, 45, 355],
        ],
        0.9082,
        20,
        {"0-1 as 3-4": 7 + 4 + 0 + 1, "3-4 as 0-1": 3 + 0 + 3 + 2},
    ),
)


def graded(seed: int, size: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    reference = generator.integers(0, size, n)
    probabilities = generator.dirichlet(np.ones(size), n) + np.eye(size)[reference] * generator.random((n, 1))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return reference, probabilities.argmax(axis=1), probabilities


@pytest.mark.parametrize(("rows", "quadratic", "unacceptable", "ways"), PUBLISHED)
def test_kappa_of_published_confusion_matrices(
    rows: list[list[int]], quadratic: float, unacceptable: int, ways: dict[str, float]
) -> None:
    confusion = np.array(rows, dtype=float)
    assert round(float(grading.kappa(confusion)), 4) == quadratic
    labels = np.repeat(np.indices((5, 5)).reshape(2, -1), confusion.astype(int).ravel(), axis=1)
    assert float(grading.kappa(confusion, "linear")) == pytest.approx(
        sk.cohen_kappa_score(*labels, weights="linear")
    )
    errors = grading.unacceptable_errors(confusion, SCALES["icdr5"])
    assert {way: float(count) for way, count in errors.items()} == ways
    assert sum(ways.values()) == unacceptable
    share = float(grading.summary(confusion, SCALES["icdr5"])["unacceptable"])
    assert share == pytest.approx(unacceptable / 12096)


def test_unacceptable_errors_are_counted_for_every_resample_and_only_where_the_scale_knows_them() -> None:
    reference, predicted, _ = graded(6, 5)
    weights = np.random.default_rng(7).integers(0, 4, (5, reference.size))
    errors = grading.unacceptable_errors(
        grading.confusion_matrix(reference, predicted, 5, weights), SCALES["icdr5"]
    )
    for k, row in enumerate(weights):
        pairs = list(zip(np.repeat(reference, row), np.repeat(predicted, row), strict=True))
        assert errors["0-1 as 3-4"][k] == sum(r <= 1 and p >= 3 for r, p in pairs)
        assert errors["3-4 as 0-1"][k] == sum(r >= 3 and p <= 1 for r, p in pairs)
    for name in ("messidor4", "referable", "any", "risk3", "binary"):
        size = SCALES[name].size
        assert grading.unacceptable_errors(np.ones((size, size)), SCALES[name]) == {}
        assert "unacceptable" not in grading.summary(np.ones((size, size)), SCALES[name])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_figures_of_the_confusion_matrix_agree_with_scikit_learn(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SIZES)))
    size = SIZES[name]
    n = data.draw(st.integers(1, 30))
    grades = st.lists(st.integers(0, size - 1), min_size=n, max_size=n)
    reference, predicted = np.array(data.draw(grades)), np.array(data.draw(grades))
    confusion = grading.confusion_matrix(reference, predicted, size)
    labels = list(range(size))
    np.testing.assert_array_equal(confusion, sk.confusion_matrix(reference, predicted, labels=labels))
    figures = {key: float(value) for key, value in grading.summary(confusion, SCALES[name]).items()}
    assert figures["accuracy"] == pytest.approx(sk.accuracy_score(reference, predicted))
    assert figures["mae"] == pytest.approx(sk.mean_absolute_error(reference, predicted))
    if size == 2:
        expected = sk.precision_recall_fscore_support(reference, predicted, average="binary", zero_division=0)
    else:
        expected = sk.precision_recall_fscore_support(reference, predicted, average="macro", zero_division=0)
    assert [figures[key] for key in ("precision", "recall", "f1")] == pytest.approx(expected[:3])
    if len({*reference, *predicted}) > 1:
        for key, weights in (("kappa", "quadratic"), ("kappa_linear", "linear"), ("kappa_unweighted", None)):
            assert figures[key] == pytest.approx(
                sk.cohen_kappa_score(reference, predicted, labels=labels, weights=weights)
            )
    else:
        assert np.isnan([figures["kappa"], figures["kappa_linear"], figures["kappa_unweighted"]]).all()
    recalls = sk.recall_score(reference, predicted, labels=labels, average=None, zero_division=np.nan)
    for grade, recall in zip(labels, recalls, strict=True):
        assert figures[f"sensitivity_{grade}"] == pytest.approx(recall, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_area_under_the_curve_agrees_with_scikit_learn_with_ties_and_multiplicities(
    data: st.DataObject,
) -> None:
    n = data.draw(st.integers(2, 25))
    positive = np.array([True, False, *data.draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))])
    score = np.array(data.draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))) / 6
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    weights[:2] += 1
    assert float(grading.binary_auc(positive, score)) == pytest.approx(sk.roc_auc_score(positive, score))
    assert float(grading.binary_auc(positive, score, weights)) == pytest.approx(
        sk.roc_auc_score(np.repeat(positive, weights), np.repeat(score, weights))
    )


@pytest.mark.parametrize("size", [3, 5])
def test_one_vs_rest_agrees_with_scikit_learn_and_skips_absent_grades(size: int) -> None:
    reference, _, probabilities = graded(1, size)
    area = float(grading.one_vs_rest_auc(reference, probabilities))
    assert area == pytest.approx(sk.roc_auc_score(reference, probabilities, multi_class="ovr"))
    some = reference != 1
    left = [k for k in range(size) if k != 1]
    expected = np.mean([sk.roc_auc_score(reference[some] == k, probabilities[some, k]) for k in left])
    assert float(grading.one_vs_rest_auc(reference[some], probabilities[some])) == pytest.approx(expected)


def test_referable_ranking_sums_the_grades_from_the_threshold() -> None:
    reference, _, probabilities = graded(2, 5)
    score = grading.referable_score(probabilities, SCALES["icdr5"])
    np.testing.assert_allclose(score, [row[2] + row[3] + row[4] for row in probabilities])
    pairs = [
        1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
        for i in np.flatnonzero(reference >= 2)
        for j in np.flatnonzero(reference < 2)
    ]
    assert float(grading.binary_auc(reference >= 2, score)) == pytest.approx(np.mean(pairs))


def test_weights_are_repetitions_for_every_figure_at_once() -> None:
    reference, predicted, probabilities = graded(3, 5)
    weights = np.random.default_rng(4).integers(0, 4, (6, reference.size))
    confusions = grading.confusion_matrix(reference, predicted, 5, weights)
    figures = grading.summary(confusions, SCALES["icdr5"])
    areas = grading.one_vs_rest_auc(reference, probabilities, weights)
    for k, row in enumerate(weights):
        again = np.repeat(reference, row), np.repeat(predicted, row)
        assert float(areas[k]) == pytest.approx(
            float(grading.one_vs_rest_auc(again[0], np.repeat(probabilities, row, axis=0)))
        )
        assert figures["f1"][k] == pytest.approx(sk.f1_score(*again, average="macro", zero_division=0))
        assert figures["kappa"][k] == pytest.approx(sk.cohen_kappa_score(*again, weights="quadratic"))


def test_what_is_undefined_is_nan_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing = grading.summary(np.zeros((3, 3)), SCALES["risk3"])
        assert all(np.isnan(value) for value in nothing.values())
        assert np.isnan(grading.binary_auc([True, True], [0.1, 0.2]))
        assert np.isnan(grading.binary_auc([True, False], [0.1, 0.2], [1, 0]))


def test_unknown_references_are_left_out() -> None:
    confusion = grading.confusion_matrix([-1, 1, 0], [0, 1, 1], 2, np.array([[5, 1, 2]]))
    assert confusion.tolist() == [[[0.0, 2.0], [0.0, 1.0]]]


def test_unknown_weighting() -> None:
    with pytest.raises(RetinalabError, match="Did you mean 'quadratic'"):
        grading.kappa(np.eye(2), "quadratc")  # type: ignore[arg-type]
