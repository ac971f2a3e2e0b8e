"""The colour baseline: it finds colours, finds nothing else, and stays on its side of the split."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from retinalab.errors import RetinalabError
from retinalab.metrics import evaluate
from retinalab.metrics.shortcut import colour_features, colour_probe, field_of_view
from retinalab.protocol import SCALES


def photographs(n: int, tint: float, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    generator = np.random.default_rng(seed)
    patient = np.arange(n) // 2
    grade = np.repeat(generator.integers(0, 5, n // 2), 2)
    images = generator.integers(60, 120, (n, 16, 16, 3))
    images[..., 0] += (tint * (grade >= 2) * generator.random(n))[:, None, None].astype(int)
    images[:, :3] = 0
    table = pd.DataFrame(
        {"image": [f"{k}.png" for k in range(n)], "set": "s", "patient": patient.astype(str)}
    )
    return images.astype(np.uint8), table.assign(dr=grade)


def auc(predicted: pd.DataFrame) -> dict:  # type: ignore[type-arg]
    return dict(evaluate(predicted, {"dr": SCALES["referable"]}, resamples=300)["test/dr/auc"])


def test_features_are_means_and_shares_inside_the_field_of_view() -> None:
    image = np.zeros((1, 2, 3, 3), dtype=np.uint8)
    image[0, 0, 0] = image[0, 0, 1] = (100, 50, 30)
    image[0, 0, 2] = (200, 50, 0)
    image[0, 1] = [(255, 255, 255), (5, 5, 5), (0, 0, 0)]
    assert field_of_view(image)[0].tolist() == [[True, True, True], [False, False, False]]
    features = colour_features(image)[0]
    np.testing.assert_allclose(features[:3], np.array([400 / 3, 50, 20]) / 255)
    red, green, blue = features[3:].reshape(3, 16)
    assert np.flatnonzero(red).tolist() == [100 // 16, 200 // 16]
    assert red[6] == pytest.approx(2 / 3)
    assert green[3] == 1
    assert blue[0] == pytest.approx(1 / 3)
    assert not colour_features(np.zeros((1, 4, 4, 3), dtype=np.uint8)).any()


def test_it_sees_colour_and_nothing_where_there_is_none() -> None:
    images, table = photographs(200, tint=60)
    predicted = colour_probe(colour_features(images), table, "dr", SCALES["icdr5"])
    assert auc(predicted)["value"] > 0.85
    sides = predicted.groupby("patient")["fold"].nunique()
    assert (sides == 1).all()
    assert predicted["fold"].nunique() == 5

    images, table = photographs(200, tint=0)
    nothing = auc(colour_probe(colour_features(images), table, "dr", SCALES["icdr5"]))
    assert 0.3 < nothing["value"] < 0.65


def test_a_given_split_and_unknown_grades() -> None:
    images, table = photographs(120, tint=60)
    table.loc[[0, 119], "dr"] = -1
    features, train = colour_features(images), np.arange(120) < 80
    predicted = colour_probe(features, table, "dr", SCALES["icdr5"], train=train)
    assert predicted["image"].tolist() == [f"{k}.png" for k in range(80, 119)]
    np.testing.assert_array_equal(predicted["dr"], table["dr"][80:119] >= 2)
    with pytest.raises(RetinalabError, match="both sides of the split"):
        colour_probe(features, table, "dr", SCALES["icdr5"], train=np.arange(120) < 81)
    with pytest.raises(RetinalabError, match="Only one class"):
        colour_probe(features, table.assign(dr=0), "dr", SCALES["icdr5"])
    with pytest.raises(RetinalabError, match="119 rows of features for 120"):
        colour_probe(features[1:], table, "dr", SCALES["icdr5"])


def test_colours_predict_referable_disease_on_photographs(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "dr600" / "records.csv", dtype={"patient": str}).assign(set="dr600")
    paths = [str(shared_data / "dr600" / image) for image in table["image"]]
    images = [cv2.imread(path, cv2.IMREAD_REDUCED_COLOR_8)[..., ::-1] for path in paths]
    features = np.concatenate([colour_features(image[None]) for image in images])
    found = auc(colour_probe(features, table.fillna({"dr": -1}), "dr", SCALES["icdr5"]))
    assert found["value"] == pytest.approx(0.69, abs=0.03)
    assert found["low"] > 0.55
