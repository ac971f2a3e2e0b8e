"""How much of the grade colours alone give away: logistic regression on histograms and mean colours.

    python experiments/bench/synthetic_shortcut.py --count 600 --size 192 --out shortcut.json

Five folds by patient, balanced prevalence. Three strengths of regularisation are tried and all are printed; the
highest is what counts against the world. Beside it stands the probe that every report carries, group by group.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from retinalab.data.fov import crop_to_square, field_of_view
from retinalab.metrics.shortcut import frame_of, photograph_features, probe
from retinalab.protocol import SCALES
from retinalab.synthetic import WORLD_VERSION, World, WorldOptions


def colour_features(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Means, spreads and 16-bin histograms of red, green and blue inside the field: (54,)."""
    pixels = image[field].astype(np.float32)
    bins = [
        np.histogram(pixels[:, channel], bins=16, range=(0, 256))[0] / len(pixels) for channel in range(3)
    ]
    return np.concatenate([pixels.mean(axis=0), pixels.std(axis=0), *bins])


def scores(features: np.ndarray, grades: np.ndarray, groups: np.ndarray) -> dict[str, dict[str, float]]:
    """Quadratic kappa and AUC of grade >= 2, out of fold, per regularisation."""
    found = {}
    for strength in (0.01, 0.1, 1.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=3000))
        folds = GroupKFold(5)
        chances = cross_val_predict(model, features, grades, groups=groups, cv=folds, method="predict_proba")
        predicted = np.unique(grades)[chances.argmax(axis=1)]
        referable = chances[:, np.unique(grades) >= 2].sum(axis=1)
        found[f"C={strength}"] = {
            "kappa": float(cohen_kappa_score(grades, predicted, weights="quadratic")),
            "auc_referable": float(roc_auc_score(grades >= 2, referable)),
        }
    return found


def whole_features(image: np.ndarray) -> np.ndarray:
    """What the probe sees of a photograph that has no file."""
    field = field_of_view(image)
    return photograph_features(crop_to_square(image, field, 256), frame_of(image, field))


def main() -> None:
    """Print and write the scores of DR and DME."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    world = World(WorldOptions(photographs=options.count, seed=options.seed))
    features, whole, dr, dme, groups = [], [], [], [], []
    for index in range(len(world)):
        scene, photograph = world.scene(index), world.render(index, options.size)
        features.append(colour_features(photograph.image, photograph.field))
        whole.append(whole_features(photograph.image))
        dr.append(scene.dr)
        dme.append(scene.dme)
        groups.append(scene.patient)
    table = np.array(features)
    labels = pd.DataFrame({"image": range(options.count), "patient": groups, "dr": dr, "dme": dme}).astype(
        {"image": str, "patient": str}
    )
    result = {
        "world": WORLD_VERSION,
        "photographs": options.count,
        "size": options.size,
        "seed": options.seed,
        "dr counts": np.bincount(dr, minlength=5).tolist(),
        "dr": scores(table, np.array(dr), np.array(groups)),
        "dme": scores(table, np.array(dme), np.array(groups)),
        "probe": probe(np.array(whole), labels, {"dr": SCALES["icdr5"], "dme": SCALES["risk3"]}),
    }
    print(json.dumps(result, indent=1))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
