"""Probabilities of every network at the temperature that its own validation photographs gave."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from retinalab.metrics.clinical.targets import has_probabilities
from retinalab.metrics.clinical.temperature import Temperature, fit_temperature, tempered
from retinalab.metrics.clinical.thresholds import Model, models_of
from retinalab.metrics.grading import Array, score_from
from retinalab.metrics.tables import probabilities_of

__all__ = ["rescaled_score", "temperatures"]


def temperatures(
    validation: pd.DataFrame, tested: pd.DataFrame, disease: str
) -> dict[Model, Temperature] | str:
    """Fit one temperature for each network that was tested; or say why that cannot be.

    Args:
        validation, tested: predictions whose reference is known.
    """
    if not has_probabilities(tested, disease):
        return "a score or a grade alone is no probability"
    if not len(validation):
        return "no validation photograph with a known grade"
    columns = probabilities_of(tested, f"{disease}_p")
    found: dict[Model, Temperature] = {}
    for fold, seed in models_of(tested):
        own = validation[(validation["fold"] == fold) & (validation["seed"] == seed)]
        if own[disease].nunique() < 2:
            return "validation has photographs of one grade only"
        found[fold, seed] = fit_temperature(own[columns].to_numpy(), own[disease].to_numpy())
    return found


def rescaled_score(
    rows: pd.DataFrame, disease: str, lowest: int, fitted: Mapping[Model, Temperature]
) -> Array:
    """``(n,)`` probability of ``lowest`` or any grade above it, each row at its own network's temperature."""
    columns = probabilities_of(rows, f"{disease}_p")
    out = np.zeros(len(rows))
    fold, seed = rows["fold"].to_numpy(), rows["seed"].to_numpy()
    for model, temperature in fitted.items():
        mine = (fold == model[0]) & (seed == model[1])
        probabilities = rows.loc[mine, columns].to_numpy(dtype=np.float64)
        out[mine] = score_from(tempered(probabilities, temperature.value), lowest)
    return out
