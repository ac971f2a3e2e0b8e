"""How far grades stay the same when photographs change, and what that does to agreement with the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.errors import RetinalabError
from retinalab.metrics.figures import Figures
from retinalab.metrics.grading import Array, Ranking, accuracy, kappa, ratio, sensitivity
from retinalab.metrics.measure import Measure, Metric
from retinalab.metrics.statistics import Clusters
from retinalab.protocol import Scale
from retinalab.robustness.conditions import ORIGINAL, VIEWS

__all__ = ["REFERENCE", "SELF", "beside_original", "evaluate_robustness", "views_of_eyes"]

SELF = ("self_kappa", "unchanged", "score_change")
"""Of grades held against those of the same photographs as they are."""
REFERENCE = ("kappa", "accuracy", "auc_referable")
"""Of grades held against the reference; each also as ``<name>_change`` from the photographs as they are."""

_UNDEFINED = {
    "self_kappa": "all grades, before and after, are one and the same",
    "kappa": "references and grades are all one and the same",
    "auc_referable": "needs photographs on both sides",
    "reference_unchanged": "no pair has two references",
}
_KEYS = ["set", "image", "fold", "seed"]


def evaluate_robustness(
    table: pd.DataFrame,
    scales: Mapping[str, Scale],
    views: bool = True,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Metric]:
    """Every figure with its 95 % interval by patient; over several seeds the mean, as in ``metrics.json``.

    Keys are ``dr/defocus/3/kappa``: disease, condition, severity (0 where there is none) and figure.

    - ``self_kappa``: quadratic kappa between the grade as the photograph is and as it is changed; ``unchanged``: share
      of equal grades; ``score_change``: mean absolute change of the referable probability (of the severity, in grades,
      where that is regressed).
    - ``kappa`` (quadratic), ``accuracy``, ``auc_referable`` and ``sensitivity_<k>`` against the reference, over the
      photographs that have one; ``kappa_change``, ``accuracy_change``, ``auc_referable_change``: minus those of the
      photographs as they are, in the same resamples.
    - ``views``: over all pairs of photographs of one eye; neither comes first, so that both orders count, half each,
      in ``self_kappa``, and ``n`` counts pairs. ``reference_unchanged``: share of pairs with equal reference, where
      both are known. Absent where no eye was photographed twice.

    Args:
        table: of kind ``robustness``.
        scales: disease -> its scale.
        views: whether the views of an eye are wanted.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    measure = Measure(resamples, seed)
    out: dict[str, Metric] = {}
    for disease, scale in scales.items():
        rows = beside_original(table, disease)

        def own(part: pd.DataFrame, clusters: Clusters, scale: Scale = scale) -> Figures:
            return _stacked(
                [(key, _against_self(each, clusters, scale)) for key, each in _by_condition(part)]
            )

        out |= _named(disease, measure("", rows, own, "reference"))
        known = rows[rows["reference"] >= 0]

        def held(part: pd.DataFrame, clusters: Clusters, scale: Scale = scale) -> Figures:
            each = [(key, _against_reference(one, clusters, scale)) for key, one in _by_condition(part)]
            return _with_changes(_stacked(each))

        out |= _named(disease, measure("", known, held, "reference"))
        pairs = views_of_eyes(table, disease) if views else table.iloc[:0]

        def seen(part: pd.DataFrame, clusters: Clusters, scale: Scale = scale) -> Figures:
            return _stacked([(f"{VIEWS}/0", _over_views(part, clusters, scale))])

        found = _named(disease, measure("", pairs, seen, "reference"))
        for metric in found.values():
            metric["n"] = len(pairs) // max(1, pairs["seed"].nunique())
        out |= found
        for name in SELF:
            out.pop(f"{disease}/{ORIGINAL}/0/{name}", None)
    return out


def beside_original(table: pd.DataFrame, disease: str) -> pd.DataFrame:
    """Each answer beside that on the same photograph as it is.

    Returns:
        Columns set, image, group, fold, seed, condition, severity, reference, grade, score, grade_before, score_before.

    Raises:
        RetinalabError: a photograph without an answer as it is.
    """
    rows = _answers(table, disease)
    before = rows.loc[rows["condition"] == ORIGINAL, [*_KEYS, "grade", "score"]]
    joined = rows.merge(before, on=_KEYS, how="left", suffixes=("", "_before"), validate="many_to_one")
    absent = joined["grade_before"].isna()
    if absent.any():
        raise RetinalabError(
            f"{disease}: {joined.loc[absent, 'image'].iloc[0]!r} has no row of condition {ORIGINAL!r}. Give the whole "
            "table."
        )
    return joined.astype({"grade_before": np.int64})


def views_of_eyes(table: pd.DataFrame, disease: str) -> pd.DataFrame:
    """All pairs of photographs of one eye, as they are; none where patients or eyes are unknown.

    Returns:
        Columns as :func:`beside_original`, and ``other`` (image), ``reference_before``; ``reference`` is that of the
        row's own photograph.
    """
    rows = _answers(table, disease)
    known = (rows["patient"] != "") & (rows["eye"] != "") & (rows["condition"] == ORIGINAL)
    pairs: list[dict[Any, Any]] = []
    for _, eye in rows[known].groupby(["set", "patient", "eye", "fold", "seed"], sort=False):
        for first, second in combinations(eye.to_dict("records"), 2):
            before = {f"{name}_before": first[name] for name in ("reference", "grade", "score")}
            pairs.append({**second, **before, "other": first["image"]})
    return pd.DataFrame(pairs, columns=None if pairs else [*rows.columns, "other"])


def _answers(table: pd.DataFrame, disease: str) -> pd.DataFrame:
    columns = [*_KEYS, "patient", "eye", "group", "condition", "severity"]
    score = f"{disease}_score" if f"{disease}_score" in table else f"{disease}_referable"
    return table[columns].assign(
        reference=table[disease], grade=table[f"{disease}_grade"], score=table[score].astype(np.float64)
    )


def _by_condition(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [
        (f"{name}/{level}", each)
        for (name, level), each in rows.groupby(["condition", "severity"], sort=False)
    ]


def _against_self(rows: pd.DataFrame, clusters: Clusters, scale: Scale) -> Figures:
    before, after = (rows[name].to_numpy(np.int64) for name in ("grade_before", "grade"))
    cells = _cells(rows, clusters, before, after, scale.size)
    return _agreement(rows, clusters, cells, scale)


def _over_views(rows: pd.DataFrame, clusters: Clusters, scale: Scale) -> Figures:
    before, after = (rows[name].to_numpy(np.int64) for name in ("grade_before", "grade"))
    there = _cells(rows, clusters, before, after, scale.size)
    back = _cells(rows, clusters, after, before, scale.size)
    own = _agreement(rows, clusters, (there + back) / 2, scale)
    first, second = (rows[name].to_numpy(np.int64) for name in ("reference_before", "reference"))
    both = (first >= 0) & (second >= 0)
    sums = _by_cluster(rows, clusters, np.stack([both & (first == second), both], axis=1))

    def panel(counts: Array) -> Array:
        totals = counts @ sums
        return np.column_stack([own.panel(counts), ratio(totals[:, 0], totals[:, 1])])

    return Figures((*own.names, "reference_unchanged"), panel)


def _agreement(rows: pd.DataFrame, clusters: Clusters, cells: Array, scale: Scale) -> Figures:
    moved = (rows["score"] - rows["score_before"]).abs().to_numpy(np.float64)
    sums = _by_cluster(rows, clusters, np.stack([moved, np.ones(len(rows))], axis=1))

    def panel(counts: Array) -> Array:
        confusion = _confusion(counts, cells, scale)
        totals = counts @ sums
        change = ratio(totals[:, 0], totals[:, 1])
        return np.stack([kappa(confusion), accuracy(confusion), change], axis=1)

    return Figures(SELF, panel)


def _against_reference(rows: pd.DataFrame, clusters: Clusters, scale: Scale) -> Figures:
    reference, grade = (rows[name].to_numpy(np.int64) for name in ("reference", "grade"))
    cells = _cells(rows, clusters, reference, grade, scale.size)
    ranking = Ranking(reference >= scale.referable, rows["score"].to_numpy(np.float64))
    index = clusters.index(rows["group"])

    def panel(counts: Array) -> Array:
        confusion = _confusion(counts, cells, scale)
        figures = [kappa(confusion), accuracy(confusion), ranking(counts[:, index])]
        return np.column_stack([*figures, sensitivity(confusion)])

    return Figures((*REFERENCE, *(f"sensitivity_{grade}" for grade in range(scale.size))), panel)


def _stacked(each: Sequence[tuple[str, Figures]]) -> Figures:
    """Figures of several conditions in one panel, so that all have the same resamples."""
    names = tuple(f"{key}/{name}" for key, one in each for name in one.names)
    return Figures(names, lambda counts: np.concatenate([one.panel(counts) for _, one in each], axis=1))


def _with_changes(figures: Figures) -> Figures:
    """The same, and what each figure of a changed photograph has more than that of the photograph as it is."""
    place = {name: k for k, name in enumerate(figures.names)}
    changed = [
        name
        for name in figures.names
        if name.rsplit("/", 1)[1] in REFERENCE and not name.startswith(f"{ORIGINAL}/")
    ]
    after = np.array([place[name] for name in changed], np.int64)
    before = np.array([place[f"{ORIGINAL}/0/{name.rsplit('/', 1)[1]}"] for name in changed], np.int64)

    def panel(counts: Array) -> Array:
        values = figures.panel(counts)
        return np.concatenate([values, values[:, after] - values[:, before]], axis=1)

    return Figures((*figures.names, *(f"{name}_change" for name in changed)), panel)


def _named(disease: str, found: Mapping[str, Metric]) -> dict[str, Metric]:
    """With the disease in the keys, and why a figure is undefined."""
    out = {f"{disease}{key}": metric for key, metric in found.items()}
    for key, metric in out.items():
        name = key.rsplit("/", 1)[1].removesuffix("_change")
        if metric["value"] is None and name in _UNDEFINED:
            metric["note"] = f"undefined: {_UNDEFINED[name]}"
        elif metric["value"] is None and name.startswith("sensitivity_"):
            metric["note"] = f"undefined: no photograph of grade {name.removeprefix('sensitivity_')}"
    return out


def _cells(
    rows: pd.DataFrame,
    clusters: Clusters,
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    size: int,
) -> Array:
    """``(G, size²)``: the confusion matrix of each cluster."""
    index = clusters.index(rows["group"])
    flat = np.bincount(index * size**2 + first * size + second, minlength=clusters.size * size**2)
    return flat.reshape(clusters.size, size**2).astype(np.float64)


def _confusion(counts: Array, cells: Array, scale: Scale) -> Array:
    return np.asarray((counts @ cells).reshape(-1, scale.size, scale.size))


def _by_cluster(rows: pd.DataFrame, clusters: Clusters, values: np.ndarray) -> Array:
    sums = np.zeros((clusters.size, values.shape[1]))
    np.add.at(sums, clusters.index(rows["group"]), values)
    return sums
