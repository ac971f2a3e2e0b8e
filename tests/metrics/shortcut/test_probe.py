"""The probe finds planted shortcuts in the right group, nothing where there is none, and says when it cannot tell."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from retinalab.errors import RetinalabError
from retinalab.metrics.shortcut import (
    FEATURES,
    Frame,
    Row,
    group_columns,
    photograph_features,
    probe,
    strongest,
)
from retinalab.protocol import SCALES

SCALE = {"dr": SCALES["icdr5"]}
WIDTH = sum(map(len, FEATURES.values()))


def labels(n: int = 160, seed: int = 0) -> pd.DataFrame:
    patient = np.arange(n) // 2
    grade = np.repeat(np.random.default_rng(seed).integers(0, 5, n // 2), 2)
    return pd.DataFrame(
        {"image": [f"{k}.jpg" for k in range(n)], "set": "s", "patient": patient.astype(str), "dr": grade}
    )


def noise(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, WIDTH))


@cache
def photographs(folder: Path, planted: str) -> np.ndarray:
    """Features of drawn photographs in which one property goes along with referable disease."""
    draw = np.random.default_rng(5)
    rows = []
    for k, grade in enumerate(labels()["dr"]):
        ill = grade >= 2
        image = np.zeros((96, 96, 3), np.uint8)
        colour = (
            draw.integers(-15, 16, 3)
            + [170, 90, 60]
            + (np.array([30, 0, 0]) if planted == "colour" and ill else 0)
        )
        image[:] = np.clip(colour + draw.normal(0, draw.uniform(6, 14), (96, 96, 1)), 25, 245)
        if planted == "sharpness" and ill:
            image = cv2.GaussianBlur(image, (0, 0), 1.5)
        cut = draw.integers(0, 6) + (12 if planted == "field" and ill else 0)
        circle = cv2.circle(np.zeros((96, 96), np.uint8), (48, 48), 48, 1, cv2.FILLED)
        circle[:cut] = 0
        image[circle == 0] = 0
        buffer = io.BytesIO()
        quality = (
            int(draw.integers(88, 94) if ill else draw.integers(80, 86)) if planted == "file" else 50 + k % 45
        )
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        path = folder / f"{k}.jpg"
        path.write_bytes(buffer.getvalue())
        rows.append(photograph_features(image, Frame(96, 96, (0, 0, 96)), path))
    return np.array(rows)


def by_group(rows: list[Row], target: str = "referable") -> dict[str, Row]:
    return {row["features"]: row for row in rows if row["target"] == target}


def auc(row: Row) -> float:
    assert row["auc"] is not None
    return row["auc"]


@pytest.mark.parametrize(
    ("planted", "named"),
    [("file", "JPEG quality"), ("field", "frame"), ("sharpness", "laplacian"), ("colour", "red")],
)
def test_a_planted_shortcut_is_found_in_its_group_and_named(planted: str, named: str, tmp_path: Path) -> None:
    found = by_group(probe(photographs(tmp_path, planted), labels(), SCALE, resamples=200))
    assert auc(found[planted]) > 0.9
    assert (found[planted]["low"] or 0) > 0.8
    assert auc(found["all"]) > 0.85
    assert named in found[planted]["strongest"]
    assert f"{planted}: " in found["all"]["strongest"]
    elsewhere = {"file": ("field", "sharpness", "colour"), "colour": ("field",), "field": ("sharpness",)}
    for group in elsewhere.get(planted, ()):
        assert auc(found[group]) < 0.65


def test_without_a_shortcut_every_group_stays_near_a_half() -> None:
    table = labels(400)
    for row in probe(noise(400), table, SCALE, resamples=300):
        assert 0.35 < auc(row) < 0.65
        assert (row["low"] or 1) < 0.55
        assert (row["n"], row["n_groups"], row["note"]) == (400, 200, "")


def test_figures_agree_with_scikit_learn() -> None:
    table, features = labels(), noise(160)
    features[:, group_columns("sharpness")] += 0.6 * table["dr"].to_numpy()[:, None]
    found = probe(features, table, SCALE, resamples=50)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    splits = list(folds.split(features, table["dr"] >= 2, "s/" + table["patient"]))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    for group in (*FEATURES, "all"):
        columns = slice(None) if group == "all" else group_columns(group)
        above = [
            cross_val_predict(
                model, features[:, columns], table["dr"] >= cut, cv=splits, method="predict_proba"
            )[:, 1]
            for cut in range(1, 5)
        ]
        assert auc(by_group(found)[group]) == pytest.approx(roc_auc_score(table["dr"] >= 2, above[1]))
        assert auc(by_group(found, "any")[group]) == pytest.approx(roc_auc_score(table["dr"] >= 1, above[0]))
        above[0] = np.maximum(above[0], above[1])
        above[2] = np.minimum(above[1], above[2])
        above[3] = np.minimum(above[2], above[3])
        grades = sum((chance >= 0.5).astype(int) for chance in above)
        kappa = cohen_kappa_score(table["dr"], grades, weights="quadratic")
        assert by_group(found)[group]["kappa"] == pytest.approx(kappa)


def test_a_given_split_tests_on_the_rest_and_leaves_unknown_grades_out() -> None:
    table, features = labels(), noise(160)
    table.loc[[0, 159], "dr"] = -1
    features[:, group_columns("field")] += table["dr"].to_numpy()[:, None]
    train = np.arange(160) < 100
    found = by_group(probe(features, table, SCALE, train, resamples=50))
    assert (found["field"]["n"], found["field"]["n_groups"]) == (59, 30)
    assert auc(found["field"]) > 0.85
    with pytest.raises(RetinalabError, match="both sides of the split"):
        probe(features, table, SCALE, np.arange(160) < 101)
    with pytest.raises(RetinalabError, match=rf"\(159, {WIDTH}\) features for 160 photographs"):
        probe(features[1:], table, SCALE)


@pytest.mark.parametrize(
    ("grades", "options", "reason"),
    [
        ([0] * 40, {}, "0 photographs to fit on are referable, fewer than 5"),
        ([4] * 40, {}, "0 photographs to fit on are not referable, fewer than 5"),
        ([2] * 4 + [0] * 36, {}, "4 photographs to fit on are referable, fewer than 5"),
        ([2] * 6 + [0] * 34, {}, "3 patients with photographs that are referable, for 5 folds"),
        (
            [2] * 20 + [0] * 20,
            {"train": np.arange(40) >= 10},
            "the photographs tested are all or none referable",
        ),
        (
            [0] * 10 + [2] * 4 + [0] * 26,
            {"train": np.arange(40) < 12},
            "2 photographs to fit on are referable, fewer than 5",
        ),
    ],
)
def test_where_nothing_can_be_told_a_row_says_why(
    grades: list[int], options: dict[str, np.ndarray], reason: str
) -> None:
    table = labels(40).assign(dr=grades)
    rows = by_group(probe(noise(40), table, SCALE, **options))
    assert set(rows) == {*FEATURES, "all"}
    for row in rows.values():
        assert row["note"] == f"not measured: {reason}"
        assert (row["auc"], row["low"], row["high"], row["kappa"]) == (None,) * 4


def test_one_target_may_be_told_where_the_other_cannot() -> None:
    table = labels(80).assign(dr=[0, 0, 1, 1] * 20)
    found = probe(noise(80), table, SCALE, resamples=20)
    assert {row["auc"] is None for row in found if row["target"] == "referable"} == {True}
    assert {row["auc"] is None for row in found if row["target"] == "any"} == {False}


def test_diseases_without_labels_have_no_row_and_two_grades_one_target() -> None:
    table = labels(80).assign(dme=[0, 0, 1, 1] * 20, other=-1)
    scales = {"dme": SCALES["binary"], "other": SCALES["binary"], "absent": SCALES["icdr5"]}
    found = probe(noise(80), table, scales, resamples=0)
    assert {(row["disease"], row["target"]) for row in found} == {("dme", "referable")}
    assert len(found) == 5
    assert found[0]["low"] is None


def test_the_strongest_features_have_the_largest_area_and_are_not_alike() -> None:
    draw = np.random.default_rng(2)
    positive = np.arange(200) % 2 == 0
    strong = positive + draw.normal(size=200)
    features = np.column_stack(
        [draw.normal(size=200), strong, strong + 0.1, -0.5 * positive + draw.normal(size=200)]
    )
    features[:3, 0] = np.nan
    text = strongest(features, positive, ["noise", "strong", "copy", "weak"], count=2)
    areas = roc_auc_score(positive, strong), 1 - roc_auc_score(positive, features[:, 3])
    assert text == f"strong higher (AUC {areas[0]:.2f}); weak lower (AUC {areas[1]:.2f})"
    assert strongest(features, np.ones(200, bool), ["a", "b", "c", "d"]) == ""
    assert strongest(np.ones((200, 1)), positive, ["constant"]) == ""


def test_colours_predict_referable_disease_on_photographs(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "dr600" / "records.csv", dtype={"patient": str}).assign(set="dr600")
    rows = []
    for image in table["image"]:
        reduced = cv2.imread(str(shared_data / "dr600" / image), cv2.IMREAD_REDUCED_COLOR_4)
        assert reduced is not None
        square = np.ascontiguousarray(reduced[:, 32:-32, ::-1][:128, :128])
        rows.append(photograph_features(square, Frame(512, 765, (126, 0, 512))))
    found = by_group(
        probe(np.array(rows), table.fillna({"dr": -1}).astype({"dr": int}), SCALE, resamples=200)
    )
    assert auc(found["colour"]) == pytest.approx(0.69, abs=0.04)
    assert (found["colour"]["low"] or 0) > 0.55
