"""Which ungradable photographs a run's protocol left out of its test parts, for the clinical reading."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from retinalab.config import Experiment
from retinalab.data.parts import Parts
from retinalab.metrics.clinical.ungradable import UNGRADABLE
from retinalab.runner.baselines import fold_parts

__all__ = ["ungradable_photographs"]


def ungradable_photographs(experiment: Experiment, parts: Mapping[str, Parts]) -> pd.DataFrame:
    """One row per photograph, fold and seed, with its references and no prediction; empty where there is none.

    Args:
        experiment: what was run.
        parts: stage -> its photographs, in the first fold.
    """
    frames = []
    for stage in experiment.evaluated:
        if experiment.stages[stage].data.windows is not None or not len(parts[stage].ungradable):
            continue
        for fold, split in fold_parts(experiment, stage, parts[stage]):
            for seed in range(experiment.seed, experiment.seed + experiment.seeds):
                frames.append(split.ungradable.assign(fold=fold, seed=seed, reason=UNGRADABLE))
    if not frames:
        return pd.DataFrame()
    table = pd.concat(frames, ignore_index=True)
    diseases = [disease for disease in ("dr", "dme") if disease not in experiment.protocol.diseases]
    return table.drop(columns=diseases).drop_duplicates(["set", "image", "fold", "seed"], ignore_index=True)
