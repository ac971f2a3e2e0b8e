"""Seconds for all grading figures of 10,000 photographs with intervals of 2,000 resamples.

    OMP_NUM_THREADS=2 python experiments/bench/statistics_speed.py

Five grades, two photographs a patient, one disease; wanted are less than 10 s on two cores. Beside the wall clock
stands the processor time, which other work on the machine changes less. ``--check`` computes the figures of a
few resamples again by scikit-learn with a weight for each photograph, as an independent result of the same draws.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measure import FOLDER, clocks, interleaved, write
from sklearn import metrics as sk

from retinalab.metrics import evaluate
from retinalab.metrics.figures import disease_figures
from retinalab.metrics.statistics import Clusters, resample
from retinalab.protocol import SCALES

SCALE = SCALES["icdr5"]


def photographs(n: int, views: int = 2, seed: int = 0) -> pd.DataFrame:
    """A table of predictions of ``n`` photographs, ``views`` of each patient."""
    generator = np.random.default_rng(seed)
    grade = generator.choice(5, n, p=[0.5, 0.1, 0.2, 0.1, 0.1])
    latent = grade + generator.normal(scale=0.9, size=n)
    p = np.exp(-((latent[:, None] - np.arange(5)) ** 2))
    p /= p.sum(axis=1, keepdims=True)
    columns = {f"dr_p{k}": p[:, k] for k in range(5)}
    names = {
        "image": [f"{k}.jpg" for k in range(n)],
        "set": "clinic",
        "patient": [str(k // views) for k in range(n)],
    }
    return pd.DataFrame({**names, "dr": grade, "dr_grade": p.argmax(axis=1), **columns})


def deviation(table: pd.DataFrame, draws: int = 3) -> float:
    """Largest difference from scikit-learn's figures over the first draws of the bootstrap."""
    rows = table.assign(group="clinic/" + table["patient"])
    clusters = Clusters.of(rows["group"], rows["dr"])
    figures = disease_figures(rows, clusters, "dr", SCALE)
    counts = next(resample(clusters, draws, 0))
    found = pd.DataFrame(figures.panel(counts), columns=list(figures.names))
    p = rows[[f"dr_p{k}" for k in range(5)]].to_numpy()
    worst = 0.0
    for row, weights in enumerate(counts[:, clusters.index(rows["group"])]):
        pair, w = (rows["dr"], rows["dr_grade"]), {"sample_weight": weights}
        expected = {
            "accuracy": sk.accuracy_score(*pair, **w),
            "kappa": sk.cohen_kappa_score(*pair, weights="quadratic", **w),
            "kappa_linear": sk.cohen_kappa_score(*pair, weights="linear", **w),
            "kappa_unweighted": sk.cohen_kappa_score(*pair, **w),
            "mae": sk.mean_absolute_error(*pair, **w),
            "precision": sk.precision_score(*pair, average="macro", **w),
            "recall": sk.recall_score(*pair, average="macro", **w),
            "f1": sk.f1_score(*pair, average="macro", **w),
            "auc_referable": sk.roc_auc_score(rows["dr"] >= 2, p[:, 2:].sum(axis=1), **w),
            "auc": np.mean([sk.roc_auc_score(rows["dr"] == k, p[:, k], **w) for k in range(5)]),
        }
        worst = max(worst, *(abs(found[name].iloc[row] - value) for name, value in expected.items()))
    return worst


def main(words: list[str] | None = None) -> None:
    """Print the seconds and write them as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photographs", type=int, default=10_000)
    parser.add_argument("--views", type=int, default=2, help="photographs of a patient")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--check", action="store_true", help="hold some resamples to scikit-learn")
    parser.add_argument("--out", type=Path, default=FOLDER / "statistics_speed.json", help="JSON file")
    known = parser.parse_args(words)
    table = photographs(known.photographs, known.views)
    found: dict[str, Any] = {}

    def figures() -> None:
        found.update(evaluate(table, {"dr": SCALE}, resamples=known.resamples))

    ((wall, processor),) = interleaved({"figures": figures}, repeats=1, warm=0, now=clocks)["figures"]
    print(
        f"{known.photographs} photographs, {found['test/dr/kappa']['n_groups']} patients, {len(found)} figures, "
        f"{known.resamples} resamples: {wall:.1f} s, {processor:.1f} s of processor time, "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')} threads of {os.cpu_count()}"
    )
    result = {"photographs": known.photographs, "resamples": known.resamples, "figures": len(found)}
    result |= {"seconds": float(wall), "cpu": float(processor)}
    if known.check:
        result["difference"] = deviation(table)
        print(f"largest difference from scikit-learn on the same draws: {result['difference']:.1e}")
    write(known.out, result)


if __name__ == "__main__":
    main()
