"""Figures with intervals from a table of saliency: one network and method alone, and two on the same photographs.

A table of kind ``saliency`` has a row for each photograph, network (``model``) and method:

- ``image, set, part, fold, seed, group``: which photograph and network, as in the predictions;
- ``model, method, disease, grade``: whose map, and the grade that it explains (-1: the severity; -2: that
  the photograph shows a lesion);
- ``reference``: the photograph's own grade (-1: unknown); a table without the column knows none;
- the columns of :class:`~retinalab.metrics.saliency.MapFigures`;
- ``deletion_curve``: the network's answer after each removal, ``deletion``: the area under it; ``deletion_random*``:
  the same for the random order (:mod:`retinalab.explain.deletion`);
- ``randomised_curve``: rank correlation with the map after each step of the randomisation, ``randomised_known``:
  whether it exists (:mod:`retinalab.explain.randomisation`); 0 where it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retinalab.errors import RetinalabError, unknown
from retinalab.metrics.compare import Difference
from retinalab.metrics.figures import Figures, mean_figures
from retinalab.metrics.grading import Array, ratio
from retinalab.metrics.measure import Measure, Metric
from retinalab.metrics.statistics import Clusters, Interval, Panel, bootstrap

__all__ = [
    "SALIENCY_FIGURES",
    "EmptyMaps",
    "compare_saliency",
    "empty_maps",
    "evaluate_saliency",
    "saliency_figures",
]

SALIENCY_FIGURES = (
    "pointing", "pointing_chance", "mass", "mass_chance", "recall_1", "recall_1_chance", "recall_5", "recall_5_chance",
    "recall_10", "recall_10_chance", "border", "border_chance", "outside", "outside_chance", "empty_with_lesions",
    "empty_without_lesions", "deletion", "deletion_random", "deletion_gain", "randomised",
    "randomised_undefined",
)  # fmt: skip
"""``pointing`` and ``mass``: means over photographs with lesions, an empty map giving 0. ``recall_*``: of the lesions
of all photographs together, at that many percent of the field. ``border``: mean over maps that are not empty;
``outside``: over those with a value anywhere. ``empty_*``: shares of empty maps among photographs with and without
lesions.
``deletion``: mean area under the curve, ``deletion_gain`` what the random order has above it. ``randomised``: mean rank
correlation of the map with that of the wholly randomised network, over photographs in which both maps vary;
``randomised_undefined``: the share of the others."""

_KEYS = ["set", "image", "fold", "seed"]


def saliency_figures(rows: pd.DataFrame, clusters: Clusters) -> Figures:
    """The figures of :data:`SALIENCY_FIGURES` of one network and method.

    Args:
        rows: of one network, method and seed.
        clusters: the units that are drawn.
    """
    pairs = _fractions(rows)
    index = clusters.index(rows["group"])
    sums = np.zeros((2, clusters.size, len(SALIENCY_FIGURES)))
    for side in (0, 1):
        np.add.at(sums[side], index, np.column_stack([pairs[name][side] for name in SALIENCY_FIGURES]))

    def panel(counts: Array) -> Array:
        return ratio(counts @ sums[0], counts @ sums[1])

    return Figures(SALIENCY_FIGURES, panel)


def evaluate_saliency(
    table: pd.DataFrame, resamples: int = 2000, seed: int = 0, primary_set: str | None = None
) -> dict[str, Metric]:
    """Every figure of every network and method, with its 95 % interval, resampled by patient.

    Keys are ``test/<model>/<method>/pointing`` for the primary set, ``test@idrid/...`` for any other. Folds are pooled
    and seeds averaged, as in :func:`retinalab.metrics.evaluate.evaluate`.

    Args:
        table: of kind ``saliency``.
        resamples: bootstrap resamples; 0 gives values without intervals.
        seed: of the bootstrap.
        primary_set: the set whose keys carry no name; by default the first in the table.

    Raises:
        RetinalabError: a photograph stands twice under one network and method.
    """
    measure, out = Measure(resamples, seed), dict[str, Metric]()
    for prefix, rows in _parts(table, primary_set):
        for (model, method), mine in rows.groupby(["model", "method"], sort=False):
            _check_once(mine, f"{model}, {method}")
            out |= measure(f"{prefix}/{model}/{method}", mine, saliency_figures)
    return out


def compare_saliency(
    table: pd.DataFrame,
    a: tuple[str, str],
    b: tuple[str, str],
    resamples: int = 2000,
    seed: int = 0,
    primary_set: str | None = None,
) -> dict[str, Difference]:
    """Difference of every figure between two maps of the same photographs, with its 95 % interval.

    A resample draws the same patients for both sides, so that what makes lesions hard to find cancels.

    Args:
        table: of kind ``saliency``.
        a, b: network and method of each side.
        resamples, seed, primary_set: as for :func:`evaluate_saliency`.

    Raises:
        RetinalabError: a side has no rows, or the two have different photographs or patients.
    """
    known = [f"{m}, {n}" for m, n in table[["model", "method"]].drop_duplicates().itertuples(index=False)]
    for side in (a, b):
        if f"{side[0]}, {side[1]}" not in known:
            raise unknown("network and method", f"{side[0]}, {side[1]}", known)
    out: dict[str, Difference] = {}
    for prefix, rows in _parts(table, primary_set):
        sides = [rows[(rows["model"] == model) & (rows["method"] == method)] for model, method in (a, b)]
        _check_same(sides, (a, b))
        clusters = Clusters.of(sides[0]["group"])
        first, second = (
            mean_figures([saliency_figures(part, clusters) for _, part in side.groupby("seed")])
            for side in sides
        )
        intervals = bootstrap(_minus(first, second), clusters, resamples, seed)
        left, right = first.values(clusters), second.values(clusters)
        for k, (name, interval) in enumerate(zip(SALIENCY_FIGURES, intervals, strict=True)):
            found = _difference(interval, float(left[k]), float(right[k]), sides[0], clusters.size)
            out[f"{prefix}/{name}"] = found
    return out


@dataclass(frozen=True)
class EmptyMaps:
    """How many maps of one network and method are empty, of which photographs.

    Each is a count of empty maps and of all maps: ``normal`` of photographs whose reference grade is 0, ``diseased``
    above 0; ``with_lesions`` and ``without_lesions`` by what was annotated, also where the grade is unknown.
    """

    model: str
    method: str
    all: tuple[int, int]
    normal: tuple[int, int]
    diseased: tuple[int, int]
    with_lesions: tuple[int, int]
    without_lesions: tuple[int, int]


def empty_maps(table: pd.DataFrame) -> list[EmptyMaps]:
    """Empty maps of every network and method: a gate that is right empties those of normal photographs alone.

    Args:
        table: of kind ``saliency``.

    Example:
        >>> columns = {"model": "a", "method": "gmsm", "lesions": [0, 3], "reference": [0, 2], "empty": [1, 0]}
        >>> found = empty_maps(pd.DataFrame(columns))[0]
        >>> found.normal, found.diseased, found.all
        ((1, 1), (0, 1), (1, 2))
    """
    out = []
    for (model, method), rows in table.groupby(["model", "method"], sort=False):
        empty = rows["empty"].to_numpy() == 1
        reference = rows["reference"].to_numpy() if "reference" in rows else np.full(len(rows), -1)
        lesions = rows["lesions"].to_numpy() > 0
        kinds = (np.ones(len(rows), bool), reference == 0, reference > 0, lesions, ~lesions)
        out.append(
            EmptyMaps(str(model), str(method), *((int((empty & k).sum()), int(k.sum())) for k in kinds))
        )
    return out


def _fractions(rows: pd.DataFrame) -> dict[str, tuple[Array, Array]]:
    """Figure -> what each photograph adds above and below the line."""
    column = {name: rows[name].to_numpy(dtype=np.float64) for name in rows if rows[name].dtype.kind in "iuf"}
    lesions, empty = column["lesions"], column["empty"]
    ill, some = (lesions > 0).astype(np.float64), 1 - empty
    anywhere, every = ((some > 0) | (column["outside"] > 0)).astype(np.float64), np.ones(len(rows))
    out = {}
    for suffix in ("", "_chance"):
        for name in ("pointing", "mass"):
            out[name + suffix] = column[name + suffix] * ill, ill
        for percent in (1, 5, 10):
            out[f"recall_{percent}{suffix}"] = column[f"found_{percent}{suffix}"], lesions
        out["border" + suffix] = column["border" + suffix] * some, some
        out["outside" + suffix] = column["outside" + suffix] * anywhere, anywhere
    out["empty_with_lesions"] = empty * ill, ill
    out["empty_without_lesions"] = empty * (1 - ill), 1 - ill
    for name in ("deletion", "deletion_random"):
        out[name] = column[name], every
    out["deletion_gain"] = column["deletion_random"] - column["deletion"], every
    last, known = (
        np.array([float(cell[-1]) for cell in rows[name]])
        for name in ("randomised_curve", "randomised_known")
    )
    out["randomised"] = last * known, known
    out["randomised_undefined"] = 1 - known, every
    return out


def _minus(a: Figures, b: Figures) -> Panel:
    def panel(counts: Array) -> Array:
        return a.panel(counts) - b.panel(counts)

    return panel


def _difference(interval: Interval, a: float, b: float, rows: pd.DataFrame, groups: int) -> Difference:
    out = Difference(
        a=_finite(a), b=_finite(b), difference=_finite(interval.value), low=_finite(interval.low),
        high=_finite(interval.high), n=int(rows["image"].nunique()), n_groups=groups,
    )  # fmt: skip
    if interval.note:
        out["note"] = interval.note
    return out


def _parts(table: pd.DataFrame, primary: str | None) -> Iterator[tuple[str, pd.DataFrame]]:
    first = primary if primary is not None or not len(table) else str(table["set"].iloc[0])
    for (part, name), rows in table.groupby(["part", "set"], sort=False):
        yield (str(part) if name == first else f"{part}@{name}"), rows


def _check_once(rows: pd.DataFrame, where: str) -> None:
    twice = rows[rows.duplicated(_KEYS)]
    if len(twice):
        raise RetinalabError(
            f"Photograph {twice['set'].iloc[0]}/{twice['image'].iloc[0]} stands twice under {where} ({len(twice)} such "
            "rows). Keep one row for each fold and seed."
        )


def _check_same(sides: Sequence[pd.DataFrame], names: Sequence[tuple[str, str]]) -> None:
    """Both sides must hold the same photographs of the same patients in every seed."""
    reference: pd.DataFrame | None = None
    for side, (model, method) in zip(sides, names, strict=True):
        _check_once(side, f"{model}, {method}")
        for _, rows in side.groupby("seed"):
            mine = rows[["set", "image", "group"]].sort_values(["set", "image"]).reset_index(drop=True)
            if reference is None:
                reference = mine
            elif not reference.equals(mine):
                raise RetinalabError(
                    f"Different photographs: {', '.join(names[0])} and {', '.join(names[1])} have {len(reference)} and "
                    f"{len(mine)}, not the same ones. Compare maps of the same photographs."
                )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
