"""What a finished run was trained on, in megapixels."""

from __future__ import annotations

from collections import defaultdict

import pandas as pd

from retinalab.config import Experiment, Stage
from retinalab.report.folder import RunFolder

__all__ = ["megapixels"]


def megapixels(run: RunFolder, experiment: Experiment) -> float | None:
    """Megapixels that the networks were shown in training, the most of any fold and seed.

    Steps as logged, times the batch, times the pixels of one input; a last batch that was smaller counts whole. Looking
    at photographs to make others out of them is no training and does not count.

    Returns:
        None where the run's history does not tell.
    """
    spent: dict[str, float] = defaultdict(float)
    told: set[str] = set()
    for history in run.history:
        stage = experiment.stages.get(history.stage)
        if stage is None or stage.kind != "train":
            continue
        steps = pd.to_numeric(history.table["step"], errors="coerce").max()
        if pd.notna(steps):
            told.add(history.stage)
            spent[history.child] += (int(steps) + 1) * _pixels_of_step(stage) / 1e6
    trained = {name for name, stage in experiment.stages.items() if stage.kind == "train"}
    return max(spent.values()) if spent and told == trained else None


def _pixels_of_step(stage: Stage) -> int:
    return int(stage.trainer.accumulate_grad_batches * stage.data.batch_size * stage.data.input_size**2)
