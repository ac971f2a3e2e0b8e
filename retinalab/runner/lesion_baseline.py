"""What a threshold on colour reaches where a run maps lesions: chosen on training photographs, judged on its test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from retinalab.config import DataConfig, Experiment
from retinalab.data.dataset import PartDataset
from retinalab.data.parts import Part, Parts, identity
from retinalab.metrics.evaluate import evaluate
from retinalab.metrics.lesion_threshold import (
    ColourThreshold,
    ContrastHistograms,
    best_threshold,
    contrasts,
    in_field,
    level_counts,
)
from retinalab.metrics.lesions import BINS
from retinalab.records import LESIONS
from retinalab.runner.baselines import fold_parts, held_groups
from retinalab.transforms.draw import generator

__all__ = ["lesion_baseline", "threshold_figures"]

_PIXELS = 1 << 26
"""Of training photographs that thresholds are chosen on: 1,024 of 256 pixels, 83 of 896."""

_CHOSEN = 0x7E5


def threshold_figures(
    experiment: Experiment, parts: Mapping[str, Parts], counted: pd.DataFrame, primary: str
) -> dict[str, Any]:
    """Entries of ``metrics.json``: ``test/lesion/MA/f1_threshold`` and so on, beside every pixel F1 of test parts.

    Args:
        experiment: what was run.
        parts: stage -> its photographs, in the first fold.
        counted: the run's lesions table; only what it counts is counted here.
        primary: the set whose keys carry no name.
    """
    stages = [
        name
        for name in experiment.evaluated
        if experiment.stages[name].data.masks and parts[name].tests.keys() and len(counted)
    ]
    if not stages or not (counted["part"] == "test").any():
        return {}
    table, said = lesion_baseline(experiment, stages[-1], parts[stages[-1]])
    wanted = counted.loc[counted["part"] == "test", ["set", "lesion"]].drop_duplicates()
    table = table.merge(wanted, on=["set", "lesion"])
    if table.empty:
        return {}
    figures: dict[str, Any] = {}
    empty = pd.DataFrame(columns=["image", "set", "part"])
    for key, metric in evaluate(empty, experiment.protocol.scales, table, primary_set=primary).items():
        if key.endswith("/f1"):
            note = "; ".join(filter(None, [said.get(key.split("/")[-2], ""), metric.get("note", "")]))
            figures[f"{key}_threshold"] = {**metric, **({"note": note} if note else {})}
    return figures


def lesion_baseline(experiment: Experiment, stage: str, first: Parts) -> tuple[pd.DataFrame, dict[str, str]]:
    """A lesions table of the thresholds chosen on each fold's training part; lesion -> the first fold's in words.

    A lesion that no training photograph shows has no threshold and no rows. Patients of the test parts are left out of
    the choice. Photographs are read as the network's evaluation reads them, at its size and without augmentation.
    """
    data = experiment.stages[stage].data
    found: list[pd.DataFrame] = []
    said: dict[str, str] = {}
    for fold, split in fold_parts(experiment, stage, first):
        thresholds = _chosen(split, data)
        said = {lesion: str(one) for lesion, one in thresholds.items()} | said
        for part in split.tests.values():
            found.append(_judged(part, data, thresholds).assign(fold=fold, seed=experiment.seed))
    return pd.concat(found, ignore_index=True), said


def _chosen(split: Parts, data: DataConfig) -> dict[str, ColourThreshold]:
    """Lesion -> the threshold with the highest F1 on a bounded number of training photographs."""
    free = np.flatnonzero(~np.isin(split.train.records.groups, held_groups(split)))
    dataset = _dataset(split.train, data)
    owners = np.arange(len(dataset)) if dataset.windows is None else dataset.windows["photograph"].to_numpy()
    rows = np.flatnonzero(np.isin(owners, free))
    most = max(16, _PIXELS // data.input_size**2)
    if len(rows) > most:
        rows = np.sort(generator(_CHOSEN).permutation(rows)[:most])
    counted = {lesion: ContrastHistograms() for lesion in LESIONS}
    for _, image, masks in _read(dataset, rows):
        levels, field = contrasts(image), in_field(image)
        whole = level_counts(levels, field)
        for lesion, mask in zip(LESIONS, masks, strict=True):
            if (mask != 255).any():
                counted[lesion].add(levels, field, mask, whole)
    best = {lesion: best_threshold(one) for lesion, one in counted.items()}
    return {lesion: one for lesion, one in best.items() if one is not None}


def _judged(part: Part, data: DataConfig, thresholds: Mapping[str, ColourThreshold]) -> pd.DataFrame:
    dataset = _dataset(part, data)
    columns = ["image", "set", "part", "group"]
    named = identity(part)[columns].to_numpy()
    unused = np.zeros(BINS, np.int64)
    rows: list[dict[str, Any]] = []
    for photograph, image, masks in _read(dataset, np.arange(len(dataset))):
        levels, field = contrasts(image), in_field(image)
        for lesion, mask in zip(LESIONS, masks, strict=True):
            if lesion not in thresholds or not (mask != 255).any():
                continue
            found, there = thresholds[lesion].found(levels, field) & (mask != 255), mask == 1
            hit = int(np.count_nonzero(found & there))
            rows.append(
                {
                    **dict(zip(columns, named[photograph], strict=True)),
                    "lesion": lesion,
                    "tp": hit,
                    "fp": int(np.count_nonzero(found)) - hit,
                    "fn": int(np.count_nonzero(there)) - hit,
                    **dict.fromkeys(("hits", "misses", "false_components"), 0),
                    **dict.fromkeys(("hist_in", "hist_out"), unused),
                }
            )
    return pd.DataFrame(rows, columns=None if rows else [*columns, "lesion"])


def _dataset(part: Part, data: DataConfig) -> PartDataset:
    """Evaluated on the processor, so that photographs come warped; only their pixels and masks are wanted."""
    plain = data.model_copy(update={"background": None})
    return PartDataset(part, plain, (), 0, training=False, on_device=False)


def _read(dataset: PartDataset, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Position of the photograph, ``(H, W, 3)`` uint8 and ``(8, H, W)`` uint8, one at a time."""
    owners = None if dataset.windows is None else dataset.windows["photograph"].to_numpy()
    for row in rows:
        batch = dataset.__getitems__([(0, int(row), int(row))])
        photograph = int(row) if owners is None else int(owners[row])
        yield photograph, batch["image"][0].permute(1, 2, 0).numpy(), batch["mask"][0].numpy()
