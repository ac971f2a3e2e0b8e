"""What is reached without the retina: on the photographs tested, from those trained on, and told where it cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from retinalab.data.decode import decode
from retinalab.data.fov import crop_to_square, field_of_view
from retinalab.metrics import evaluate, read_table
from retinalab.metrics.compare import compare
from retinalab.metrics.shortcut import Frame, photograph_features
from retinalab.protocol import SCALES
from retinalab.runner import Result, run
from retinalab.testing import write_fake_set

ONE = "train.trainer.max_epochs=1"
KEYS = ["set", "image", "fold"]


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """Sixty-four photographs that no two share a likeness, three fifths of them referable."""
    root = write_fake_set("table", tmp_path / "set", 64)
    for index, path in enumerate(sorted((root / "images").iterdir())):
        draw = np.random.default_rng(index)
        patches = cv2.resize(draw.integers(40, 220, (6, 8, 3)).astype(np.uint8), (96, 72))
        inside = cv2.circle(np.zeros((72, 96), np.uint8), (48, 36), 33, 1, cv2.FILLED)
        Image.fromarray(cv2.bitwise_and(patches, patches, mask=inside)).save(path, quality=95)
    table = pd.read_csv(root / "records.csv").assign(dr=[(index // 2) % 5 for index in range(64)])
    table.to_csv(root / "records.csv", index=False)
    return root


def baselines(result: Result, name: str) -> pd.DataFrame:
    table = read_table(result.folder / "baselines.parquet", "predictions")
    return table[table["baseline"] == name].reset_index(drop=True)


def features(root: Path, image: str) -> np.ndarray:
    """As the run prepares a photograph: cropped to the field and brought to 32 pixels."""
    photograph = decode(root / image, 32)
    field = field_of_view(photograph)
    height, width = decode(root / image).shape[:2]
    full = field.rescale(height, width)
    frame = Frame(height, width, (full.x0, full.y0, full.side))
    return photograph_features(crop_to_square(photograph, field, 32), frame, root / image)


def chances(fit: np.ndarray, ill: np.ndarray, test: np.ndarray) -> np.ndarray:
    fit, test = (np.where(np.isnan(side), 0, side) for side in (fit, test))
    scaler = StandardScaler().fit(fit)
    model = LogisticRegression(C=0.1, max_iter=2000).fit(scaler.transform(fit), ill)
    found: np.ndarray = model.predict_proba(scaler.transform(test))[:, 1]
    return found


def test_both_are_fitted_on_training_and_judged_on_test(make: Callable[..., Any], larger: Path) -> None:
    result = run(make("one", f"data.root={larger}", ONE))
    split = pd.read_csv(result.folder / "split-train.csv")
    grades = pd.read_csv(larger / "records.csv").set_index("image")["dr"]
    train, test = (split.loc[split["part"] == part, "image"].tolist() for part in ("train", "test"))
    known = {image: features(larger, image) for image in (*train, *test)}
    fit, held = (np.array([known[image] for image in images]) for images in (train, test))
    ill = (grades[test] >= 2).to_numpy()
    for name, columns in (("shortcut", slice(None)), ("colour", slice(-51, None))):
        expected = chances(fit[:, columns], (grades[train] >= 2).to_numpy(), held[:, columns])
        rows = baselines(result, name).set_index("image").loc[test]
        np.testing.assert_allclose(rows[["dr_p2", "dr_p3", "dr_p4"]].sum(axis=1), expected, atol=1e-5)
        figure = result.metrics[f"test/dr/auc_referable_{name}"]
        assert figure["value"] == pytest.approx(roc_auc_score(ill, expected))
        assert figure["n"] == len(test)
        assert figure["low"] <= figure["value"] <= figure["high"]
    shortcut = baselines(result, "shortcut")
    kappa = cohen_kappa_score(shortcut["dr"], shortcut["dr_grade"], weights="quadratic")
    assert result.metrics["test/dr/kappa_shortcut"]["value"] == pytest.approx(kappa)


def test_the_table_gives_the_figures_again_and_compares_pairwise(
    make: Callable[..., Any], larger: Path
) -> None:
    result = run(make("one", f"data.root={larger}", ONE, "seeds=2", "seed=3"))
    mine = result.predictions[result.predictions["part"] == "test"]
    scales = {"dr": SCALES["icdr5"], "dme": SCALES["risk3"]}
    shortcut = baselines(result, "shortcut")
    assert shortcut["seed"].unique().tolist() == [3]
    assert sorted(shortcut["image"]) == sorted(mine["image"].unique())
    again = evaluate(shortcut, scales)
    for disease in ("dr", "dme"):
        for figure in ("auc_referable", "kappa", "accuracy"):
            assert result.metrics[f"test/{disease}/{figure}_shortcut"] == again[f"test/{disease}/{figure}"]
    assert result.metrics["test/joint/accuracy_shortcut"] == again["test/joint/accuracy"]
    found = compare(mine, shortcut, scales, resamples=20)["test/dr/auc_referable"]
    assert found["b"] == result.metrics["test/dr/auc_referable_shortcut"]["value"]
    assert found["a"] == result.metrics["test/dr/auc_referable"]["value"]


def test_further_sets_are_judged_by_what_was_fitted_on_training(
    make: Callable[..., Any], larger: Path
) -> None:
    result = run(
        make("one", f"data.root={larger}", ONE, "protocol.diseases={dr: icdr5}", "test.sets=[dr600]")
    )
    rows = baselines(result, "shortcut")
    tested = result.predictions[result.predictions["part"] == "test"]
    pd.testing.assert_frame_equal(
        rows[[*KEYS, "group", "dr"]].sort_values(KEYS, ignore_index=True),
        tested[[*KEYS, "group", "dr"]].sort_values(KEYS, ignore_index=True),
    )
    there = rows[(rows["set"] == "dr600") & (rows["dr"] >= 0)]
    score = there[["dr_p2", "dr_p3", "dr_p4"]].sum(axis=1)
    figure = result.metrics["test@dr600/dr/auc_referable_shortcut"]
    assert figure["value"] == pytest.approx(roc_auc_score(there["dr"] >= 2, score))
    assert figure["n"] == len(there)
    assert "test@dr600/dr/auc_referable_colour" in result.metrics


def test_every_fold_is_fitted_on_its_own_training_part(make: Callable[..., Any], larger: Path) -> None:
    folds = ("folds=3", "protocol.split=folds", f"data.root={larger}", ONE)
    rows = baselines(run(make("one", *folds)), "shortcut")
    assert len(rows) == rows["image"].nunique() == 64
    assert rows.groupby("patient")["fold"].nunique().max() == 1
    alone = baselines(run(make("one", *folds, "fold=2")), "shortcut")
    mine = rows[rows["fold"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, mine, check_exact=True)


def test_too_few_to_fit_on_is_said_and_not_passed_over(make: Callable[..., Any], larger: Path) -> None:
    table = pd.read_csv(larger / "records.csv")
    table["dr"] = [2 if index < 4 else 0 for index in range(64)]
    table.to_csv(larger / "records.csv", index=False)
    result = run(make("one", f"data.root={larger}", ONE))
    entry = json.loads((result.folder / "metrics.json").read_text())["test/dr/auc_referable_shortcut"]
    assert entry["value"] is None
    assert "have referable dr; 5 with and without are needed" in entry["note"]
    assert "dr_grade" not in baselines(result, "shortcut")
    assert result.metrics["test/dme/auc_referable_shortcut"]["value"] is not None
