"""Figure 8: average precision that is left as annotations go missing, as a table and as two panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from retinalab.errors import RetinalabError
from retinalab.metrics.statistics import Interval
from retinalab_clpi.detection.detectors import NOT_RUN
from retinalab_clpi.detection.score import (
    OVERLAPS,
    Matches,
    average_precision,
    coco_average_precision,
    interval_of_share,
)
from retinalab_clpi.detection.trial import GENERATOR, Trial
from retinalab_clpi.detection.truth import Boxes
from retinalab_clpi.generator import LESION_CLASSES

__all__ = ["TITLES", "Point", "draw_curves", "markdown", "points"]

TITLES: Mapping[str, str] = {
    GENERATOR: "CLPI's generator",
    "faster-rcnn": "Faster R-CNN",
    "ssd": "SSD",
    "faster-rcnn-resnext-dcn": "Faster R-CNN, ResNeXt, deformable",
}
_SHARES = ("share50", "share75")
_MARKS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Point:
    """One detector at one rate of loss, over all its seeds.

    Attributes:
        detector, rate: which.
        ap: AP50 and AP75 by the COCO backend, for each seed.
        figures: ``ap50``, ``ap75``, ``share50``, ``share75``: means over the seeds, with intervals over patients.
        classes: lesion -> AP50 and AP75, means over the seeds; nan where the test photographs show none.
    """

    detector: str
    rate: float
    ap: tuple[tuple[float, float], ...]
    figures: Mapping[str, Interval]
    classes: Mapping[str, tuple[float, float]]


def points(
    found: Mapping[Trial, Sequence[Boxes]], truth: Sequence[Boxes], groups: np.ndarray, resamples: int = 500
) -> list[Point]:
    """The points of the figure, detector by detector, rate by rate.

    Args:
        found: of every run what it found on each test photograph; every detector with the rate 0, with the same seeds.
        truth: boxes of each test photograph, none lost.
        groups: ``(photographs,)`` patient of each.
        resamples: of the bootstrap.

    Raises:
        RetinalabError: a detector without a run on all annotations, or no lesion in the truth.
    """
    if not any(len(boxes["labels"]) for boxes in truth):
        raise RetinalabError(
            "No test photograph has a lesion: nothing can be detected. Give photographs with masks."
        )
    matches = {trial: Matches(boxes, truth) for trial, boxes in found.items()}
    out = []
    for detector in dict.fromkeys(trial.detector for trial in found):
        runs = sorted(
            (trial for trial in found if trial.detector == detector), key=lambda t: (t.rate, t.seed)
        )
        full = [matches[trial] for trial in runs if trial.rate == 0]
        if not full:
            raise RetinalabError(
                f"Detector {detector!r} has no run on all annotations, which the figure divides by. Add the rate 0."
            )
        for rate in dict.fromkeys(trial.rate for trial in runs):
            mine = [trial for trial in runs if trial.rate == rate]
            lost = [matches[trial] for trial in mine]
            everything = np.ones((1, len(truth)))
            single = np.mean([average_precision(run, everything)[0] for run in lost], 0)
            out.append(
                Point(
                    detector,
                    rate,
                    tuple(coco_average_precision(found[trial], truth) for trial in mine),
                    interval_of_share(full, lost, groups, resamples),
                    {
                        lesion: (float(row[0]), float(row[1]))
                        for lesion, row in zip(LESION_CLASSES, single, strict=True)
                    },
                )
            )
    return out


def markdown(drawn: Sequence[Point], bounds: Mapping[str, tuple[float, float]]) -> str:
    """The figure as a table, with rows for what was not run.

    Args:
        drawn: as :func:`points`.
        bounds: further rows: what they are -> AP50 and AP75.
    """
    lines = [
        "| detector | annotations lost | AP50 | AP50 after / before | AP75 | AP75 after / before |",
        "|---|---|---|---|---|---|",
    ]
    for point in drawn:
        ap50, ap75 = np.mean(point.ap, 0)
        shares = [_text(point.figures[share]) for share in _SHARES]
        lines.append(
            f"| {TITLES.get(point.detector, point.detector)} | {point.rate:.0%} | {ap50:.3f} | {shares[0]} | "
            f"{ap75:.3f} | {shares[1]} |"
        )
    lines += [f"| {name} | | {ap50:.3f} | | {ap75:.3f} | |" for name, (ap50, ap75) in bounds.items()]
    lines += [f"| {name} | | {reason} | | | |" for name, reason in NOT_RUN.items()]
    return "\n".join(lines)


def draw_curves(drawn: Sequence[Point], path: Path, about: str) -> None:
    """Two panels, AP50 and AP75: the share that is left over the share of annotations that was lost.

    Args:
        drawn: as :func:`points`.
        path: PNG.
        about: the photographs, in words; stands under the panels.
    """
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True)
    detectors = list(dict.fromkeys(point.detector for point in drawn))
    for panel, share, least in zip(panels, _SHARES, OVERLAPS, strict=True):
        for number, detector in enumerate(detectors):
            mine = [point for point in drawn if point.detector == detector]
            values = np.array([point.figures[share].value for point in mine])
            low = np.array([point.figures[share].low for point in mine])
            high = np.array([point.figures[share].high for point in mine])
            beside = 0.5 * (number - (len(detectors) - 1) / 2)
            panel.errorbar(
                100 * np.array([point.rate for point in mine]) + beside,
                values,
                np.nan_to_num(np.stack([values - low, high - values]).clip(min=0)),
                marker=_MARKS[number % len(_MARKS)],
                markersize=5,
                capsize=2,
                linewidth=1.6 if detector == GENERATOR else 1.1,
                elinewidth=0.7,
                label=TITLES.get(detector, detector),
            )
        panel.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("annotations lost (%)")
        panel.set_ylabel(f"AP{100 * least:.0f} after / before")
        panel.set_title(f"AP{100 * least:.0f}")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8, loc="best")
    figure.supxlabel(about, fontsize=8, color="0.35")
    figure.savefig(path, dpi=150)


def _text(share: Interval) -> str:
    if np.isnan(share.value):
        return "undefined"
    if np.isnan(share.low) or share.low == share.high:
        return f"{share.value:.2f}"
    return f"{share.value:.2f} ({share.low:.2f}–{share.high:.2f})"
