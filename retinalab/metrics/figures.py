"""Panels of named figures over the rows of a table, ready for the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.froc import counts_at, froc_names, operating_points, photograph_shares, sensitivity_at
from retinalab.metrics.grading import Array, Ranking, mean_defined, ratio, referable_score, summary
from retinalab.metrics.ranking import ClusterRanking
from retinalab.metrics.statistics import Clusters, Panel
from retinalab.metrics.tables import probabilities_of
from retinalab.protocol import Scale

__all__ = [
    "Figures",
    "average_precision",
    "disease_figures",
    "joint_figures",
    "lesion_figures",
    "mean_figures",
    "mean_over_lesions",
    "presence_figures",
    "window_figures",
]


@dataclass(frozen=True)
class Figures:
    """Names and the panel that gives their values, in the same order."""

    names: tuple[str, ...]
    panel: Panel

    def values(self, clusters: Clusters) -> Array:
        """``(M,)`` values with every cluster drawn once."""
        values: Array = self.panel(np.ones((1, clusters.size)))[0]
        return values


def mean_figures(each: Sequence[Figures]) -> Figures:
    """Mean of the same figures over several seeds, under the same draws of patients."""

    def panel(counts: Array) -> Array:
        mean: Array = np.stack([one.panel(counts) for one in each]).mean(axis=0)
        return mean

    return each[0] if len(each) == 1 else Figures(each[0].names, panel)


def disease_figures(rows: pd.DataFrame, clusters: Clusters, disease: str, scale: Scale) -> Figures:
    """Figures of one disease: of the confusion matrix, ``auc``, and above two grades ``auc_referable``.

    ``auc`` is binary on two grades and one-vs-rest on more; a regression's score ranks by itself and has no
    one-vs-rest area. Grades alone, without probabilities or a score, have no areas. Rows must have a known
    reference.
    """
    reference = rows[disease].to_numpy(dtype=np.int64)
    predicted = rows[f"{disease}_grade"].to_numpy(dtype=np.int64)
    index = clusters.index(rows["group"])
    columns = probabilities_of(rows, f"{disease}_p")
    regression = f"{disease}_score" in rows
    if not regression and not columns:
        cells = _cells(reference, predicted, scale.size, index, clusters.size)
        return _confusion_figures(cells, scale)
    probabilities = rows[columns].to_numpy(dtype=np.float64)
    score = (
        rows[f"{disease}_score"].to_numpy(dtype=np.float64)
        if regression
        else referable_score(probabilities, scale)
    )
    return _graded(
        reference, predicted, score, None if regression else probabilities, index, clusters.size, scale
    )


def presence_figures(rows: pd.DataFrame, clusters: Clusters, lesion: str, threshold: float = 0.5) -> Figures:
    """Image F1 and AUC of one lesion's presence, from ``lesion_<X>`` and ``lesion_<X>_p``.

    F1 = 2 TP / (2 TP + FP + FN) over photographs; as of pixels, undefined where no photograph shows the lesion and it
    is found in none, and 0 where it is found in some.
    """
    reference = rows[f"lesion_{lesion}"].to_numpy(dtype=np.int64)
    score = rows[f"lesion_{lesion}_p"].to_numpy(dtype=np.float64)
    predicted = (score >= threshold).astype(np.int64)
    index = clusters.index(rows["group"])
    cells = _cells(reference, predicted, 2, index, clusters.size)
    ranking = Ranking(reference == 1, score)

    def panel(counts: Array) -> Array:
        _, fp, fn, tp = (counts @ cells).T
        return np.stack([ratio(2 * tp, 2 * tp + fp + fn), ranking(counts[:, index])], axis=1)

    return Figures(("image_f1", "image_auc"), panel)


def joint_figures(rows: pd.DataFrame, clusters: Clusters, diseases: Sequence[str]) -> Figures:
    """``accuracy``: share of photographs with every disease graded right; all references must be known."""
    right = np.all([rows[d].to_numpy() == rows[f"{d}_grade"].to_numpy() for d in diseases], axis=0)
    sums = _by_cluster(
        np.stack([right, np.ones(len(rows))], axis=1), clusters.index(rows["group"]), clusters.size
    )

    def panel(counts: Array) -> Array:
        totals = counts @ sums
        return ratio(totals[:, :1], totals[:, 1:])

    return Figures(("accuracy",), panel)


def lesion_figures(rows: pd.DataFrame, clusters: Clusters) -> Figures:
    """Figures of one lesion's segmentation over the photographs in which it was annotated, ignored pixels left out.

    ``f1`` = 2 TP / (2 TP + FP + FN) with pixels pooled over photographs; ``ap``, the area under precision-recall (mean
    of precision over steps of recall) from 256-bin score histograms; ``component_recall``, the share of lesions hit;
    ``false_components``, false findings per photograph (:mod:`retinalab.metrics.lesions` says what hits and what is
    false); where the table counts them at several thresholds, ``froc_1`` etc., the sensitivity for lesions at 1 false
    finding per photograph, and ``froc``, its mean over 1/8 to 8 (:mod:`retinalab.metrics.froc`).

    Photographs without the lesion count: whatever is found in them is false, in pixels as in findings. They have no
    figure of their own, so that no value for an empty photograph has to be agreed on.
    """
    index = clusters.index(rows["group"])
    counted = rows[["tp", "fp", "fn", "hits", "misses", "false_components"]].to_numpy(dtype=np.float64)
    sums = _by_cluster(np.column_stack([counted, photograph_shares(rows)]), index, clusters.size)
    histograms = [np.stack(rows[name].to_list()).astype(np.float64) for name in ("hist_in", "hist_out")]
    inside, outside = (_by_cluster(histogram, index, clusters.size) for histogram in histograms)
    curve = "hits_at" in rows and "false_at" in rows and bool(rows["hits_at"].notna().all())
    hits_at, false_at = (
        _by_cluster(counts_at(rows, name), index, clusters.size) if curve else np.zeros((clusters.size, 0))
        for name in ("hits_at", "false_at")
    )

    def panel(counts: Array) -> Array:
        tp, fp, fn, hits, misses, false, photographs = (counts @ sums).T
        figures = [
            ratio(2 * tp, 2 * tp + fp + fn),
            average_precision(counts @ inside, counts @ outside),
            ratio(hits, hits + misses),
            ratio(false, photographs),
        ]
        if curve:
            points = operating_points(counts @ hits_at, counts @ false_at, hits + misses, photographs)
            at_rates = sensitivity_at(*points)
            figures += [at_rates.mean(axis=1), *at_rates.T]
        return np.stack(figures, axis=1)

    names = ("f1", "ap", "component_recall", "false_components")
    return Figures((*names, *froc_names()) if curve else names, panel)


def mean_over_lesions(each: Sequence[Figures], *names: str) -> Figures:
    """Figures averaged over lesions with equal weight, leaving out those where one is undefined."""
    shared = tuple(name for name in names if all(name in one.names for one in each))
    positions = [[one.names.index(name) for name in shared] for one in each]

    def panel(counts: Array) -> Array:
        stacked = [one.panel(counts)[:, k] for one, k in zip(each, positions, strict=True)]
        return mean_defined(np.stack(stacked, axis=-1))

    return Figures(shared, panel)


def average_precision(inside: Array, outside: Array) -> Array:
    """Area under precision-recall from histograms of scores, ``(..., bins)`` each, lowest score first.

    AP = sum_k (R_k - R_{k-1}) P_k over the bins' edges from the top; nan without a positive.
    """
    positive = np.cumsum(inside[..., ::-1], axis=-1)
    negative = np.cumsum(outside[..., ::-1], axis=-1)
    precision = ratio(positive, positive + negative, 0.0)
    return ratio((inside[..., ::-1] * precision).sum(axis=-1), positive[..., -1])


def window_figures(rows: pd.DataFrame, clusters: Clusters) -> Figures:
    """Accuracy, macro precision, recall and F1, and sensitivity per class of patches."""
    size = len(probabilities_of(rows, "p"))
    scale = Scale("windows", tuple(str(k) for k in range(size)), referable=1, ordinal=False)
    reference, predicted = rows["label"].to_numpy(dtype=np.int64), rows["grade"].to_numpy(dtype=np.int64)
    cells = _cells(reference, predicted, size, clusters.index(rows["group"]), clusters.size)
    names = tuple(name for name in summary(np.zeros((size, size)), scale) if name != "kappa_unweighted")

    def panel(counts: Array) -> Array:
        figures = summary((counts @ cells).reshape(-1, size, size), scale)
        return np.stack([figures[name] for name in names], axis=1)

    return Figures(names, panel)


def _graded(
    reference: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    score: npt.NDArray[np.floating],
    probabilities: Array | None,
    index: npt.NDArray[np.int64],
    groups: int,
    scale: Scale,
) -> Figures:
    cells = _cells(reference, predicted, scale.size, index, groups)
    referable = ClusterRanking(reference >= scale.referable, score, index, groups)
    graded = scale.size > 2
    rest = (
        []
        if probabilities is None
        else [ClusterRanking(reference == k, p, index, groups) for k, p in enumerate(probabilities.T)]
    )
    names = (
        *summary(np.zeros((scale.size, scale.size)), scale),
        "auc",
        *(("auc_referable",) if graded else ()),
    )

    def panel(counts: Array) -> Array:
        figures = list(summary((counts @ cells).reshape(-1, scale.size, scale.size), scale).values())
        if graded:
            separate = [ranking(counts) for ranking in rest] or [np.full(len(counts), np.nan)]
            figures.append(mean_defined(np.stack(separate, axis=1)))
        figures.append(referable(counts))
        return np.stack(figures, axis=1)

    return Figures(names, panel)


def _confusion_figures(cells: Array, scale: Scale) -> Figures:
    def panel(counts: Array) -> Array:
        figures = summary((counts @ cells).reshape(-1, scale.size, scale.size), scale)
        return np.stack(list(figures.values()), axis=1)

    return Figures(tuple(summary(np.zeros((scale.size, scale.size)), scale)), panel)


def _cells(
    reference: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    size: int,
    index: npt.NDArray[np.int64],
    groups: int,
) -> Array:
    flat = np.bincount(index * size**2 + reference * size + predicted, minlength=groups * size**2)
    return flat.reshape(groups, size**2).astype(np.float64)


def _by_cluster(values: Array, index: npt.NDArray[np.int64], groups: int) -> Array:
    sums = np.zeros((groups, values.shape[1]))
    np.add.at(sums, index, values)
    return sums
