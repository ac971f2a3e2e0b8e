"""Average precision of detections as COCO defines it, and what it keeps when annotations are lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import box_iou

from retinalab.errors import RetinalabError
from retinalab.metrics.statistics import Clusters, Interval, Panel, bootstrap
from retinalab_clpi.detection.truth import Boxes
from retinalab_clpi.generator import LESION_CLASSES

__all__ = ["OVERLAPS", "Matches", "average_precision", "coco_average_precision", "interval_of_share", "match"]

OVERLAPS = (0.5, 0.75)
"""Least intersection over union of AP50 and AP75."""

_MOST = 1000
_RECALLS = np.linspace(0, 1, 101)


def coco_average_precision(found: Sequence[Boxes], truth: Sequence[Boxes]) -> tuple[float, float]:
    """AP50 and AP75, the mean over the classes of the truth, by torchmetrics with a COCO backend.

    Up to 1,000 detections of a photograph count (COCO's own limit is 100, fewer than some photographs have lesions).

    Raises:
        RetinalabError: the backend is not installed.
    """
    try:
        metric = MeanAveragePrecision(
            iou_thresholds=list(OVERLAPS),
            rec_thresholds=_RECALLS.tolist(),  # torchmetrics' own are float32: 2 of 10 lesions would not reach 0.2
            max_detection_thresholds=[1, 100, _MOST],
            backend="faster_coco_eval",
        )
    except ModuleNotFoundError as error:
        raise RetinalabError(
            "Average precision needs the COCO backend faster-coco-eval. Install this plugin with its extra "
            "'detection', or: pip install faster-coco-eval"
        ) from error
    metric.warn_on_many_detections = False
    metric.update(list(found), list(truth))
    values = metric.compute()
    return float(values["map_50"]), float(values["map_75"])


class Matches:
    """Detections of many photographs, each matched to the truth or not, so that resampling is arithmetic.

    COCO's rule: detections of a class in order of their scores, each takes the lesion of that class that it overlaps
    most among those still free, if by enough.

    Attributes:
        scores: per class ``(n,)`` in descending order.
        photograph: per class ``(n,)`` position of each.
        hits: per class ``(2, n)`` bool, for each of ``OVERLAPS``.
        lesions: ``(classes, photographs)`` number of true boxes.
    """

    def __init__(self, found: Sequence[Boxes], truth: Sequence[Boxes]) -> None:
        if len(found) != len(truth):
            raise RetinalabError(
                f"{len(found)} photographs with detections, {len(truth)} with truth. Give the same."
            )
        labels = range(1, len(LESION_CLASSES) + 1)
        self.lesions = np.array([[int((t["labels"] == label).sum()) for t in truth] for label in labels])
        self.scores, self.photograph, self.hits = [], [], []
        for label in labels:
            single = [match(f, t, label) for f, t in zip(found, truth, strict=True)]
            scores = np.concatenate([scores for scores, _ in single])
            order = np.argsort(-scores, kind="stable")
            self.scores.append(scores[order])
            self.photograph.append(np.repeat(np.arange(len(single)), [len(s) for s, _ in single])[order])
            self.hits.append(np.concatenate([hits for _, hits in single], 1)[:, order])

    def __len__(self) -> int:
        return int(self.lesions.shape[1])


def match(found: Boxes, truth: Boxes, label: int) -> tuple[np.ndarray, np.ndarray]:
    """One class on one photograph.

    Returns:
        Scores in descending order ``(n,)`` and whether each detection hits ``(2, n)`` at each of ``OVERLAPS``.
    """
    mine, theirs = found["labels"] == label, truth["labels"] == label
    scores = found["scores"][mine].numpy()
    order = np.argsort(-scores, kind="stable")[:_MOST]
    overlap = box_iou(found["boxes"][mine].double(), truth["boxes"][theirs].double()).numpy()[order]
    hits = np.zeros((len(OVERLAPS), len(order)), bool)
    for row, least in enumerate(OVERLAPS):
        free = np.ones(overlap.shape[1], bool)
        for position in np.flatnonzero((overlap >= least).any(1)):
            best = int(np.argmax(np.where(free, overlap[position], -1.0)))
            if free[best] and overlap[position, best] >= least:
                free[best] = False
                hits[row, position] = True
    return scores[order], hits


def average_precision(matches: Matches, counts: np.ndarray) -> np.ndarray:
    """AP of resampled photographs: the mean of the interpolated precision at recall 0, 0.01, ... 1.

    Shape:
        - ``counts``: ``(b, photographs)`` how often each was drawn.
        - Returns: ``(b, classes, 2)``; nan where no lesion of a class was drawn.
    """
    out = np.full((len(counts), len(LESION_CLASSES), len(OVERLAPS)), np.nan)
    lesions = counts @ matches.lesions.T
    for label in range(len(LESION_CLASSES)):
        drawn = counts[:, matches.photograph[label]]
        every = drawn.cumsum(1)
        for row in range(len(OVERLAPS)):
            true = (drawn * matches.hits[label][row]).cumsum(1)
            with np.errstate(invalid="ignore", divide="ignore"):
                precision = np.nan_to_num(true / every)
            highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            for sample in np.flatnonzero(lesions[:, label] > 0):
                at = np.searchsorted(true[sample] / lesions[sample, label], _RECALLS, side="left")
                reached = at < highest.shape[1]
                out[sample, label, row] = highest[sample, at[reached]].sum() / len(_RECALLS)
    return out


def interval_of_share(
    full: Sequence[Matches], lost: Sequence[Matches], groups: np.ndarray, resamples: int = 500
) -> dict[str, Interval]:
    """AP and the share of it that is left, with intervals over the patients of the test photographs.

    Both runs are resampled together, and the runs of several seeds averaged: the interval says how far the figure
    depends on these photographs, not on the seeds.

    Args:
        full: a detector trained on all annotations, one entry per seed.
        lost: the same, trained after the loss.
        groups: ``(photographs,)`` patient of each.
        resamples: of the bootstrap.

    Returns:
        ``ap50``, ``ap75`` after the loss and ``share50``, ``share75``: AP after the loss over AP without.
    """
    clusters = Clusters.of(groups)
    index = clusters.index(groups)

    def panel(counts: np.ndarray) -> np.ndarray:
        drawn = counts[:, index]
        after, before = (_mean(runs, drawn) for runs in (lost, full))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(before > 0, after / before, np.nan)
        return np.concatenate([after, share], 1)

    figures: Panel = panel
    names = ("ap50", "ap75", "share50", "share75")
    return dict(zip(names, bootstrap(figures, clusters, resamples), strict=True))


def _mean(runs: Sequence[Matches], drawn: np.ndarray) -> np.ndarray:
    """``(b, 2)``: over the classes that were drawn, then over the seeds."""
    values = np.stack([average_precision(run, drawn) for run in runs])
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean = np.where(defined, values, 0).sum(2) / defined.sum(2)
    return np.asarray(mean.mean(0))
