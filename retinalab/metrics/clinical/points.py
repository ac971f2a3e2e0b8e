"""The operating points of a target: that of the predicted grades, and two whose threshold validation fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.clinical.options import Options
from retinalab.metrics.clinical.result import Point
from retinalab.metrics.clinical.screening import screening_figures
from retinalab.metrics.clinical.targets import Target
from retinalab.metrics.clinical.thresholds import Chosen, Rate, called, choose
from retinalab.metrics.clinical.undefined import explained
from retinalab.metrics.figures import Figures
from retinalab.metrics.measure import Metric
from retinalab.metrics.statistics import Clusters

__all__ = ["Plan", "plan_points", "point_figures", "with_figures"]


@dataclass(frozen=True)
class Plan:
    """Operating points of a target, and the column that holds each one's verdict.

    Attributes:
        target: what is looked for.
        points: without figures.
        verdicts: name of a point -> ``(n,)`` bool; absent where the point could not be chosen.
    """

    target: Target
    points: Sequence[Point]
    verdicts: Mapping[str, npt.NDArray[np.bool_]]

    def columns(self) -> dict[str, npt.NDArray[np.bool_]]:
        """The verdicts as columns of the table."""
        return {self.column(name): verdict for name, verdict in self.verdicts.items()}

    def column(self, name: str) -> str:
        """Name of a verdict's column."""
        return f"{self.target.name}|{name}"

    @property
    def preferred(self) -> str:
        """The point with the specificity that validation fixed, else that of the predicted grades."""
        return "specificity" if "specificity" in self.verdicts else "grade"


def plan_points(tested: pd.DataFrame, validation: pd.DataFrame, target: Target, options: Options) -> Plan:
    """Choose thresholds on validation and apply them to the tested rows.

    Args:
        tested, validation: of :func:`retinalab.metrics.clinical.targets.judged`, or the worse eyes of such; the
            references of ``validation`` are known.
        target: what is looked for.
        options: the rates that validation has to reach.
    """
    points = [Point("grade", f"predicted grade {target.lowest} or above")]
    verdicts = {"grade": tested[target.graded].to_numpy(dtype=bool)}
    wanted: tuple[tuple[Rate, float], ...] = (
        ("specificity", options.specificity),
        ("sensitivity", options.sensitivity),
    )
    for rate, share in wanted:
        text = f"{rate} {share:g} on validation"
        chosen = choose(validation, tested, target, rate, share)
        if isinstance(chosen, str):
            points.append(Point(rate, text, missing=chosen))
            continue
        points.append(_point(rate, text, chosen, share))
        verdicts[rate] = called(tested, target, chosen.thresholds)
    return Plan(target, points, verdicts)


def point_figures(
    rows: pd.DataFrame, clusters: Clusters, plans: Sequence[Plan], prevalence: float
) -> dict[str, Figures]:
    """Panels of every point of every target, by ``<target>/<point>``; the rows hold the verdicts' columns."""
    return {
        f"{plan.target.name}/{name}": screening_figures(
            rows,
            clusters,
            rows[plan.target.positive].to_numpy(),
            rows[plan.column(name)].to_numpy(),
            prevalence,
        )
        for plan in plans
        for name in plan.verdicts
    }


def with_figures(plan: Plan, metrics: Mapping[str, Metric]) -> list[Point]:
    """The points with their figures, from metrics named ``<target>/<point>/<figure>``."""
    out = []
    for point in plan.points:
        room = f"{plan.target.name}/{point.name}/"
        mine = {k.removeprefix(room): m for k, m in metrics.items() if k.startswith(room)}
        out.append(replace(point, figures=explained(mine)))
    return out


def _point(rate: Rate, text: str, chosen: Chosen, share: float) -> Point:
    side = chosen.photographs - chosen.positive if rate == "specificity" else chosen.positive
    few = side / len(chosen.thresholds) * (1 - share) < 1
    which = "negative" if rate == "specificity" else "positive"
    counted = f"{side} {which} there" + (
        f", over {len(chosen.thresholds)} networks" * (len(chosen.thresholds) > 1)
    )
    return Point(
        rate, text,
        thresholds=list(chosen.thresholds.values()),
        validation={
            "photographs": chosen.photographs, "positive": chosen.positive,
            "sensitivity": chosen.sensitivity, "specificity": chosen.specificity,
        },
        note=f"with {counted}, {share:g} cannot be told from 1" if few else "",
    )  # fmt: skip
