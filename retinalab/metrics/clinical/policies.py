"""Ungradable photographs left out, counted as referred, and as the network grades them, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.clinical.options import Options
from retinalab.metrics.clinical.points import Plan
from retinalab.metrics.clinical.result import Ungradable
from retinalab.metrics.clinical.screening import combined, screening_figures
from retinalab.metrics.clinical.undefined import explained
from retinalab.metrics.figures import Figures
from retinalab.metrics.measure import Build, Measure, Metric
from retinalab.metrics.statistics import Clusters

__all__ = ["POLICIES", "read_ungradable"]

POLICIES = ("left out", "counted as referred", "as the network grades them")


def read_ungradable(
    tested: pd.DataFrame,
    marked: npt.NDArray[np.bool_],
    ungraded: pd.DataFrame,
    plans: Sequence[Plan],
    options: Options,
    measure: Measure,
) -> Ungradable:
    """Sensitivity, specificity, predictive values and referrals under each policy.

    An ungradable photograph without a reference grade counts for referrals alone. Gradable ones without a reference
    stay out of every policy.

    Args:
        tested: photographs with a predicted grade, with the plans' verdicts as columns.
        marked: ``(n,)`` bool, those of ``tested`` that are ungradable.
        ungraded: ungradable photographs without a prediction.
        plans: one per target; each is read at its preferred point.
        options: the stated prevalence.
        measure: the bootstrap.
    """
    disease = plans[0].target.disease
    known = (tested[disease] >= 0).to_numpy()
    first = (tested["seed"] == tested["seed"].min()).to_numpy()
    without = ungraded[ungraded["seed"] == ungraded["seed"].min()] if len(ungraded) else ungraded
    count = int((marked & first).sum()) + len(without)
    photographs = int((known & ~marked & first).sum()) + count
    if not count:
        return Ungradable(0, photographs, missing="no tested photograph is marked ungradable")
    referenced = int((marked & known & first).sum()) + int(
        (without[disease] >= 0).sum() if len(without) else 0
    )
    gradable, graded = tested[known & ~marked], tested[marked]
    everything = pd.concat([gradable, graded, ungraded], ignore_index=True)
    sources = np.repeat([0, 1, 2], [len(gradable), len(graded), len(ungraded)])
    out: dict[str, dict[str, dict[str, Metric]]] = {plan.target.name: {} for plan in plans}
    for policy in POLICIES if not len(ungraded) else POLICIES[:2]:
        chosen = everything if policy != POLICIES[0] else everything[sources == 0]
        forced = (sources > 0) if policy == POLICIES[1] else np.zeros(len(everything), bool)
        rows = chosen.assign(**_verdicts(chosen, plans, disease, forced[chosen.index]))
        for key, metric in measure("", rows, _build(plans, disease, options.prevalence), disease).items():
            _, target, name = key.split("/")
            out[target].setdefault(policy, {})[name] = metric
    told = {target: {name: explained(one) for name, one in each.items()} for target, each in out.items()}
    point = next(one for one in plans[0].points if one.name == plans[0].preferred)
    return Ungradable(count, photographs, referenced, point=point.text, policies=told)


def _verdicts(
    rows: pd.DataFrame, plans: Sequence[Plan], disease: str, forced: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.bool_]]:
    """For each target, who is referred and who is diseased."""
    out: dict[str, npt.NDArray[np.bool_]] = {}
    for plan in plans:
        verdict = rows[plan.column(plan.preferred)].fillna(False).to_numpy(dtype=bool)
        out[f"{plan.target.name}|referred"] = verdict | forced
        out[plan.target.positive] = rows[disease].to_numpy() >= plan.target.lowest
    return out


def _build(plans: Sequence[Plan], disease: str, prevalence: float) -> Build:
    def build(rows: pd.DataFrame, clusters: Clusters) -> Figures:
        known = rows[disease].to_numpy() >= 0
        return combined(
            {
                plan.target.name: screening_figures(
                    rows,
                    clusters,
                    rows[plan.target.positive],
                    rows[f"{plan.target.name}|referred"],
                    prevalence,
                    known,
                )
                for plan in plans
            }
        )

    return build
