"""What the colours of a photograph alone say about its grade: the figure that a network has to beat.

Cameras and clinics differ in colour and in how ill their patients are, so a network can score well by telling
cameras apart. Here a logistic regression sees mean colours and colour histograms, and no structure at all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from retinalab.errors import RetinalabError
from retinalab.metrics.tables import complete_predictions
from retinalab.protocol import Scale

__all__ = ["colour_features", "colour_probe", "field_of_view"]


def field_of_view(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels neither near black nor near white, the two backgrounds; ``(n, H, W, 3)`` to ``(n, H, W)``."""
    inside: npt.NDArray[np.bool_] = (images.max(axis=-1) > 20) & (images.min(axis=-1) < 250)
    return inside


def colour_features(images: npt.NDArray[np.uint8], bins: int = 16) -> npt.NDArray[np.float64]:
    """Mean and histogram of each channel inside the field of view.

    Shape:
        - ``images``: ``(n, H, W, 3)``, uint8, RGB.
        - Returns: ``(n, 3 + 3 * bins)``, float64: means in [0, 1], then the share of pixels in each bin,
          red first; zeros for a photograph without a field of view.
    """
    features = np.zeros((len(images), 3 + 3 * bins))
    for row, (image, inside) in enumerate(zip(images, field_of_view(images), strict=True)):
        pixels = image[inside]
        if not len(pixels):
            continue
        features[row, :3] = pixels.mean(axis=0) / 255
        for channel in range(3):
            counts = np.bincount(pixels[:, channel].astype(np.int64) * bins // 256, minlength=bins)
            features[row, 3 + channel * bins : 3 + (channel + 1) * bins] = counts / len(pixels)
    return features


def colour_probe(
    features: npt.NDArray[np.float64],
    table: pd.DataFrame,
    disease: str,
    scale: Scale,
    train: npt.ArrayLike | None = None,
    folds: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict referable disease from colours: out of fold by group, or on the photographs not in ``train``.

    Args:
        features: ``(n, F)``, as :func:`colour_features` gives them.
        table: n rows with ``image``, ``patient`` (or ``group``) and the reference grade, -1 unknown.
        disease: the graded column.
        scale: its scale; positive is ``scale.referable`` and above.
        train: ``(n,)`` bool, the photographs to fit on; none means cross-validation.
        folds: number of folds, stratified, without a group on two sides.
        seed: of the folds.

    Returns:
        Predictions as in :mod:`retinalab.metrics.tables` on the scale ``referable``, for ``evaluate``: every
        photograph of known grade, or those outside ``train``.

    Raises:
        RetinalabError: sizes differ, a group on both sides of ``train``, or one class only to fit on.
    """
    if len(features) != len(table):
        raise RetinalabError(
            f"{len(features)} rows of features for {len(table)} photographs. Give one row each."
        )
    full = complete_predictions(table.reset_index(drop=True))
    known = (full[disease] >= 0).to_numpy()
    positive = (full[disease] >= scale.referable).to_numpy()
    groups = full["group"].to_numpy(dtype=str)
    fold = np.full(len(full), -1)
    probability = np.full(len(full), np.nan)
    for number, (fit, test) in enumerate(_rounds(known, positive, groups, train, folds, seed)):
        if positive[fit].all() or not positive[fit].any():
            raise RetinalabError(f"Only one class of {disease} to fit colours on. Give both, or fewer folds.")
        probability[test] = _model().fit(features[fit], positive[fit]).predict_proba(features[test])[:, 1]
        fold[test] = number if train is None else -1
    full["part"], full["fold"] = "test", fold
    full[disease] = positive.astype(np.int64)
    full[f"{disease}_p0"], full[f"{disease}_p1"] = 1 - probability, probability
    full[f"{disease}_grade"] = (probability >= 0.5).astype(np.int64)
    predicted: pd.DataFrame = full[~np.isnan(probability)].reset_index(drop=True)
    return predicted


Round = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def _rounds(
    known: npt.NDArray[np.bool_],
    positive: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.str_],
    train: npt.ArrayLike | None,
    folds: int,
    seed: int,
) -> list[Round]:
    rows = np.flatnonzero(known)
    if train is not None:
        chosen = np.asarray(train, dtype=bool)
        both = set(groups[chosen & known]) & set(groups[~chosen & known])
        if both:
            raise RetinalabError(
                f"{str(min(both))!r} is on both sides of the split ({len(both)} such). Split by patient."
            )
        return [(rows[chosen[rows]], rows[~chosen[rows]])]
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [(rows[fit], rows[test]) for fit, test in splitter.split(rows, positive[rows], groups[rows])]


def _model() -> Pipeline:
    # C = 0.1: the bins of a histogram are strongly correlated; 0.03 to 1 move the AUC by less than 0.01
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
