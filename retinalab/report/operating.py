"""Operating points on a ROC whose thresholds validation chose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from retinalab.metrics.clinical.options import Options
from retinalab.metrics.clinical.targets import Target, judged
from retinalab.metrics.clinical.thresholds import Rate, called, choose

__all__ = ["OperatingPoint", "chosen_points"]


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold that was chosen on validation comes to on the tested photographs.

    Attributes:
        text: what validation had to reach, and what was reached here (mean over the networks).
        places: 1 − specificity and sensitivity of each seed.
    """

    text: str
    places: list[tuple[float, float]]


def chosen_points(
    rows: pd.DataFrame, validation: pd.DataFrame, disease: str, lowest: int, options: Options | None = None
) -> tuple[list[OperatingPoint], list[str]]:
    """The points at a specificity and at a sensitivity that validation fixed; and why one is not there.

    Reference: Gulshan et al., JAMA 2016 (operating points with one of the two rates fixed).

    Args:
        rows: predictions of one test set whose reference is known, on both sides of ``lowest``.
        validation: complete predictions of the validation part; those without a reference are left out.
        disease: what is graded.
        lowest: the lowest grade that counts as positive.
        options: rates that validation has to reach.
    """
    options = options or Options()
    target = Target("operating", disease, lowest)
    known = validation[(validation[disease] >= 0) & (validation[f"{disease}_grade"] >= 0)]
    tested, chosen_on = judged(rows, (target,)), judged(known, (target,))
    wanted: tuple[tuple[Rate, float], ...] = (
        ("specificity", options.specificity),
        ("sensitivity", options.sensitivity),
    )
    points, missing = [], []
    for rate, share in wanted:
        chosen = choose(chosen_on, tested, target, rate, share)
        if isinstance(chosen, str):
            missing.append(f"no threshold at {rate} {share:g}, since {chosen}")
            continue
        places = _places(tested, target, called(tested, target, chosen.thresholds))
        if not places:
            missing.append(
                f"no point at {rate} {share:g}, since no seed was tested on both sides of grade {lowest}"
            )
            continue
        false, true = np.mean(places, axis=0)
        reached = f"here {true:.2f} sensitive, {1 - false:.2f} specific"
        points.append(OperatingPoint(f"{rate} {share:g} on validation: {reached}", places))
    return points, missing


def _places(tested: pd.DataFrame, target: Target, verdict: np.ndarray) -> list[tuple[float, float]]:
    positive, seeds = tested[target.positive].to_numpy(dtype=bool), tested["seed"].to_numpy()
    places = []
    for seed in np.unique(seeds):
        ill, well = (seeds == seed) & positive, (seeds == seed) & ~positive
        if ill.any() and well.any():
            places.append((float(verdict[well].mean()), float(verdict[ill].mean())))
    return places
