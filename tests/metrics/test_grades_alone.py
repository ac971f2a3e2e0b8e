"""Predictions made elsewhere may be grades alone: figures of the confusion matrix, and no areas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from retinalab.metrics.evaluate import evaluate
from retinalab.protocol import SCALES


def test_grades_alone_have_agreement_and_no_areas() -> None:
    generator = np.random.default_rng(3)
    truth = generator.integers(0, 5, 80)
    answer = np.clip(truth + generator.integers(-1, 2, 80), 0, 4)
    table = pd.DataFrame({"image": [f"{i}.jpg" for i in range(80)], "dr": truth, "dr_grade": answer})
    found = evaluate(table, {"dr": SCALES["icdr5"]}, resamples=200)
    assert found["test/dr/accuracy"]["value"] == pytest.approx(accuracy_score(truth, answer))
    kappa = found["test/dr/kappa"]
    assert kappa["value"] == pytest.approx(cohen_kappa_score(truth, answer, weights="quadratic"))
    assert kappa["low"] is not None
    assert kappa["high"] is not None
    assert kappa["low"] < kappa["value"] < kappa["high"]
    assert not [key for key in found if "auc" in key]
