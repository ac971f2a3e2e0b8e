"""The area from wins between patients against scikit-learn with a weight for each photograph."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from retinalab.metrics.ranking import ClusterRanking


@pytest.mark.parametrize("clusters", [12, 450])
@pytest.mark.parametrize("levels", [5, 10_000])
def test_areas_of_weighted_patients_agree_with_scikit_learn(clusters: int, levels: int) -> None:
    generator = np.random.default_rng(clusters + levels)
    index = np.append(np.arange(clusters), generator.integers(clusters, size=clusters))
    positive = generator.random(index.size) < 0.4
    score = np.round((generator.normal(size=index.size) + positive) * levels / 6)
    weights = generator.integers(0, 3, size=(4, clusters)) * 1.5
    found = ClusterRanking(positive, score, index, clusters)(weights)
    expected = [roc_auc_score(positive, score, sample_weight=w[index]) for w in weights]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_without_either_side_there_is_no_area() -> None:
    ranking = ClusterRanking([True, False, True], [0.3, 0.1, 0.2], [0, 1, 2], 3)
    np.testing.assert_array_equal(
        ranking(np.array([[1.0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]])), [np.nan] * 3 + [1]
    )
