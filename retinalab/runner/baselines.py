"""What is reached without looking at the retina, on the photographs that a run learned from and was tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from retinalab.config import Experiment
from retinalab.data.decode import image_size
from retinalab.data.parts import Part, Parts, load_parts
from retinalab.metrics.evaluate import evaluate
from retinalab.metrics.shortcut import Frame, group_columns, photograph_features, predict, prediction_columns
from retinalab.metrics.shortcut.model import FEWEST
from retinalab.metrics.tables import diseases_of
from retinalab.protocol import Scale

__all__ = ["BASELINES", "baseline_figures", "baseline_predictions", "fold_parts", "held_groups"]

BASELINES: Mapping[str, slice] = {"shortcut": slice(None), "colour": group_columns("colour")}
"""Name, in metric keys and in the table, and the features that it sees."""

_KEPT = {"shortcut": ("auc_referable", "kappa", "accuracy"), "colour": ("auc_referable",)}
_KEYS = ["set", "image", "fold"]
_IDENTITY = [*_KEYS, "part", "patient", "eye", "view", "group", "quality"]
_CHUNK = 64

Features = dict[tuple[str, str], np.ndarray]


def baseline_predictions(
    experiment: Experiment, parts: Mapping[str, Parts], tested: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Fit every baseline on the training part of every fold, and predict the photographs that the run was tested on.

    Patients of the test part are left out of the fitting, since they may stand on both sides of a split as published.
    Features are taken from each photograph once, whatever the number of folds; seeds change nothing.

    Args:
        experiment: what was run.
        parts: stage -> its photographs, in the first fold.
        tested: the run's predictions of its test parts.

    Returns:
        A predictions table with a column ``baseline``, empty where there is none; and disease -> why it has none.
    """
    base = tested[tested["seed"] == tested["seed"].min()].reset_index(drop=True)
    graded = diseases_of(base)
    found: dict[str, list[pd.DataFrame]] = {}
    notes: dict[str, str] = {}
    for stage in experiment.evaluated:
        if experiment.stages[stage].data.windows is not None:
            continue  # it judges windows, not photographs
        features: Features = {}
        mine = [d for d in experiment.stages[stage].diseases or experiment.protocol.diseases if d in graded]
        for fold, split in fold_parts(experiment, stage, parts[stage]):
            for disease in mine:
                scale = experiment.protocol.scales[disease]
                fit = _to_fit_on(split, disease)
                why = _refusal(split.train.records.table[disease].to_numpy()[fit], disease, scale)
                if why:
                    notes.setdefault(disease, why)
                else:
                    found.setdefault(disease, []).append(_predict(split, fold, fit, disease, scale, features))
    fitted = {disease: each for disease, each in found.items() if disease not in notes}
    if not fitted:
        return pd.DataFrame(), notes
    kept = base[[*(column for column in _IDENTITY if column in base), *graded]].assign(seed=experiment.seed)
    return pd.concat([_beside(kept, name, fitted) for name in BASELINES], ignore_index=True), notes


def _beside(base: pd.DataFrame, baseline: str, found: Mapping[str, list[pd.DataFrame]]) -> pd.DataFrame:
    """One baseline's predictions of every disease, on exactly the rows of ``base``."""
    table = base.assign(baseline=baseline)
    for disease, each in found.items():
        every = pd.concat(each, ignore_index=True)
        mine = every[every["baseline"] == baseline]
        table = table.merge(mine, on=[*_KEYS, "baseline"], how="left", validate="one_to_one")
        table[f"{disease}_grade"] = table[f"{disease}_grade"].fillna(-1).astype(np.int64)
    return table


def baseline_figures(
    table: pd.DataFrame,
    notes: Mapping[str, str],
    tested: pd.DataFrame,
    scales: Mapping[str, Scale],
    primary: str,
) -> dict[str, Any]:
    """Entries of ``metrics.json``: ``test/dr/auc_referable_shortcut``, ``test@aptos/dr/kappa_shortcut`` and so on.

    Args:
        table: from :func:`baseline_predictions`.
        notes: likewise; such a disease gets an undefined entry that says why.
        tested: the run's predictions of its test parts.
        scales: disease -> its scale.
        primary: the set whose keys carry no name.
    """
    figures: dict[str, Any] = {}
    for name, kept in _KEPT.items() if len(table) else ():
        rows = table[table["baseline"] == name]
        for key, metric in evaluate(rows, scales, primary_set=primary).items():
            room, _, figure = key.rpartition("/")
            disease = room.rpartition("/")[2]
            if disease in scales and scales[disease].size == 2 and figure == "auc":
                figure = "auc_referable"
            if figure in kept and not (disease == "joint" and name != "shortcut"):
                figures[f"{room}/{figure}_{name}"] = metric
    for disease, why in notes.items():
        known = tested[tested[disease] >= 0]
        for tested_set, rows in known.groupby("set"):
            n, groups = int(rows["image"].nunique()), int(rows["group"].nunique())
            empty = {"value": None, "low": None, "high": None, "n": n, "n_groups": groups, "note": why}
            prefix = "test" if tested_set == primary else f"test@{tested_set}"
            figures |= {f"{prefix}/{disease}/auc_referable_{baseline}": empty for baseline in BASELINES}
    return figures


def fold_parts(experiment: Experiment, stage: str, first: Parts) -> Iterator[tuple[int, Parts]]:
    """The photographs of each fold of a stage, the first of which were read already; -1 where there are none."""
    if experiment.folds == 1 or experiment.fold is not None:
        yield (-1 if experiment.fold is None else experiment.fold), first
        return
    yield 0, first
    data = experiment.stages[stage].data
    for fold in range(1, experiment.folds):
        yield (
            fold,
            load_parts(data, experiment.protocol, experiment.roots, experiment.test, fold, experiment.folds),
        )


def held_groups(split: Parts) -> np.ndarray:
    """The patients of every test part, whom nothing is fitted on."""
    return np.concatenate([part.records.groups for part in split.tests.values()])


def _to_fit_on(split: Parts, disease: str) -> np.ndarray:
    known = split.train.records.table[disease].to_numpy() >= 0
    return np.flatnonzero(known & ~np.isin(split.train.records.groups, held_groups(split)))


def _refusal(grades: np.ndarray, disease: str, scale: Scale) -> str:
    positive = int((grades >= scale.referable).sum())
    fewest = min(positive, len(grades) - positive)
    if fewest >= FEWEST:
        return ""
    return (
        f"not measured: of {len(grades)} training photographs {positive} have referable {disease}; "
        f"{FEWEST} with and without are needed"
    )


def _predict(
    split: Parts, fold: int, fit: np.ndarray, disease: str, scale: Scale, known: Features
) -> pd.DataFrame:
    tests = list(split.tests.values())
    features = np.concatenate([_features(part, known) for part in (split.train, *tests)])
    grades = np.concatenate(
        [part.records.table[disease].to_numpy(np.int64) for part in (split.train, *tests)]
    )
    test = np.arange(len(split.train), len(features))
    names = pd.concat([part.records.table[["set", "image"]] for part in tests], ignore_index=True)
    frames = []
    for name, columns in BASELINES.items():
        chances = predict(features[:, columns], grades, scale, [(fit, test)])[test]
        predicted = prediction_columns(chances, disease, scale)
        frames.append(pd.concat([names, predicted], axis=1).assign(fold=fold, baseline=name))
    return pd.concat(frames, ignore_index=True)


def _features(part: Part, known: Features) -> np.ndarray:
    """Features of every photograph of a part, read in chunks where they are not known already."""
    keys = list(zip(part.records.table["set"], part.records.table["image"], strict=True))
    missing = [place for place, key in enumerate(keys) if key not in known]
    boxes = part.cache.boxes[part.rows]
    for start in range(0, len(missing), _CHUNK):
        chunk = missing[start : start + _CHUNK]
        images = part.cache.images(part.rows[chunk])
        for place, image in zip(chunk, images, strict=True):
            known[keys[place]] = _of(part, place, boxes[place], image)
    return np.stack([known[key] for key in keys])


def _of(part: Part, place: int, box: np.ndarray, image: np.ndarray) -> np.ndarray:
    x, y, side = (float(value) for value in box)
    path = part.records.path(place)
    if path.is_file():
        height, width = (float(value) for value in image_size(path))
    else:
        height, width = part.records.table[["height", "width"]].to_numpy(np.float64)[place]
    return photograph_features(image, Frame(height, width, (x, y, side)), path)
