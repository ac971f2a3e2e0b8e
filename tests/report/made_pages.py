"""Every kind of page, from made-up results: long names, missing pictures, undefined figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from retinalab.claims import load_claims
from retinalab.data.check.findings import Check
from retinalab.experiment import as_yaml, load_experiment
from retinalab.explain.deletion import REMOVED
from retinalab.metrics.comparison import compare_runs
from retinalab.metrics.scorecard import compare_saliency, evaluate_saliency
from retinalab.protocol import SCALES
from retinalab.report import write_report
from retinalab.report.check import write_check_page
from retinalab.report.comparison import write_comparison
from retinalab.report.folder import read_run
from retinalab.report.saliency import ScorecardPage, write_saliency_page
from retinalab.report.saliency_tiles import Seen, Shown, tile
from retinalab.reproduction import filled, runs_below
from retinalab.reproduction.page import write_tables
from retinalab.robustness.agreement import evaluate_robustness
from retinalab.robustness.conditions import Shown as Sheet
from retinalab.robustness.page import RobustnessPage, write_robustness_page

from .conftest import write_run

__all__ = ["LONG", "Marked", "all_pages", "maps_of"]

LONG = "a_very_long_file_name_without_any_break_" * 6 + ".jpg"
BANNERS = [("Research use only", "not a medical device."), ("Leaky", LONG)]
CLAIMS = """
paper: canet
protocols:
  ten: {split: ten folds, folds: 10, patients: mixed, selection: test, note: Means of folds.}
tables:
  "4":
    label: Table IV
    title: Networks with a title that is long enough to need several lines on a telephone
    data: messidor
    public: true
    source: own
    protocol: ten
    experiment: messidor
    doubt: Blurred.
    columns:
      Ac: {metric: test/dr/accuracy, factor: 0.01, unit: "%"}
      AUC: {metric: test/dr/auc}
    rows:
      ours: {values: {Ac: 92.6, AUC: 0.963}}
      joint training: {overrides: [train.task.variant=joint], values: {Ac: {published: 89.1, doubt: Smudged.}}}
      quoted: {source: quoted, why_not: another method, values: {Ac: 80.0}}
"""


class Marked:
    """A source of pictures that knows lesions; one photograph cannot be had."""

    def __call__(self, name: str, image: str) -> np.ndarray | None:
        return None if image == "photos/007.jpg" else np.full((256, 256, 3), 90, np.uint8)

    def lesions(self, name: str, image: str) -> Mapping[str, np.ndarray]:
        mask = np.zeros((256, 256), bool)
        mask[100:110, 60:80] = True
        return {"HE": mask, "EX": mask.T}


def maps_of(folder: Path) -> pd.DataFrame:
    """Two maps of every tested photograph of a made-up run."""
    table = pd.read_parquet(folder / "predictions.parquet")
    rows = table[table["part"] == "test"][["image", "set", "part", "seed"]].assign(fold=-1)
    frames = []
    for name, side in (("red lesions", 4), ("a map whose name is long enough to need lines", 16)):
        values = (np.arange(side * side) * 255 // (side * side - 1)).astype(np.uint8).tobytes()
        sizes = {"height": side, "width": side, "native_height": side, "native_width": side}
        frames.append(rows.assign(map=name, **sizes, extent=1.0, peak=1.0, values=values))
    return pd.concat(frames, ignore_index=True)


def all_pages(folder: Path) -> dict[str, Path]:
    """Name -> page."""
    names = {0: LONG, 1: "<script>.jpg"}
    facts = {"command": "retinalab exp canet " + "trainer.option_without_break=" * 12, "commit": "f" * 120}
    whole = write_run(
        folder / "whole", sets=("made", "messidor2"), seeds=(0, 1), names=names, provenance=facts
    )
    first = write_run(folder / "first", {"dr": "icdr5"}, seeds=(0, 1), names=names, provenance=facts)
    second = write_run(folder / "second", {"dr": "icdr5"}, seeds=(2, 3), names=names, regression=True)
    readers = "".join(f"dr,{'ReaderWithoutABreak' * 8}{k},0.9,0.8{k},messidor2,any\n" for k in range(7))
    (whole / "readers.csv").write_text(f"disease,reader,sensitivity,specificity,set,target\n{readers}")
    maps_of(whole).to_parquet(whole / "maps.parquet")
    return {
        "run": write_report(whole, Marked()),
        "regression": write_report(second),
        "comparison": _comparison(first, second, folder / "comparison.html"),
        "table": _table(folder),
        "saliency": _saliency(folder / "saliency.html"),
        "check": _check(folder),
        "robustness": _robustness(folder / "robustness.html"),
    }


def _comparison(first: Path, second: Path, target: Path) -> Path:
    runs = [read_run(first), read_run(second)]
    tables = [run.predictions for run in runs if run.predictions is not None]
    found = compare_runs(
        tables, ["runs/first", f"runs/{LONG}"], runs[0].scales, tests=["dr/accuracy"], resamples=50
    )
    return write_comparison(found, runs, target, Marked())


def _table(folder: Path) -> Path:
    claims, runs = folder / "claims.yaml", folder / "runs"
    claims.write_text(CLAIMS, encoding="utf-8")
    for words in (["messidor", "seeds=3"], ["synthetic", "train.task.variant=joint"]):
        experiment = load_experiment("canet", words[0], words[1:])
        place = runs / "canet" / experiment.name / "aaaa0000-1"
        place.mkdir(parents=True)
        (place / "experiment.yaml").write_text(as_yaml(experiment), encoding="utf-8")
        metric = {"value": 0.9149, "low": 0.8951, "high": 0.9302, "n": 1200, "n_groups": 1200}
        (place / "metrics.json").write_text(json.dumps({"test/dr/accuracy": metric}), encoding="utf-8")
        known = {
            "command": "retinalab exp canet",
            "commit": "0123456789abcdef",
            "labels": ["synthetic: drawn"],
        }
        (place / "provenance.json").write_text(
            json.dumps({**known, "finished": "2026-01-01"}), encoding="utf-8"
        )
    return write_tables(
        filled(load_claims("canet", claims), runs_below([runs], "canet")[0]), [], folder / "table.html"
    )


def _saliency(target: Path) -> Path:
    draw, n = np.random.default_rng(0), 12
    frames = []
    for method in ("cam", "grad-cam++"):
        rows = pd.DataFrame({"image": [f"{k}.png" for k in range(n)], "set": "drawn", "part": "test"})
        rows = rows.assign(
            group=[f"drawn/{k // 2}" for k in range(n)], model="clpi", method=method, disease="dr"
        )
        rows = rows.assign(
            grade=2, fold=-1, seed=0, field=1000, lesion_pixels=10, lesions=np.arange(n) % 3, empty=0
        )
        for name in ("pointing", "mass", "border", "outside", "found_1", "found_5", "found_10"):
            rows[name], rows[f"{name}_chance"] = draw.random(n) * (rows["lesions"] > 0), 0.1
        rows = rows.assign(deletion=draw.random(n), deletion_random=0.5)
        curve = [list(np.linspace(0.9, 0.1, len(REMOVED)))] * n
        rows = rows.assign(deletion_curve=curve, deletion_random_curve=curve)
        frames.append(rows.assign(randomised_curve=[[0.5, 0.1]] * n, randomised_known=[[1, 1]] * n))
    table = pd.concat(frames, ignore_index=True)
    values = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    masks = np.zeros((8, 64, 64), np.uint8)
    masks[:3, 20:30, 20:30] = 1
    picture, field = np.full((64, 64, 3), 90, np.uint8), np.ones((64, 64), bool)
    maps = [
        Seen(model, f"map {k}", "0.20 to 0.90; 1 of 3 found in 10 %", picture, field, values * (k != 1))
        for model in ("clpi", LONG)
        for k in range(6)
    ]
    shown = Shown("Most lesions found", LONG, ["3 lesions", "dr grade 2"], picture, masks, maps)
    between = compare_saliency(table, ("clpi", "cam"), ("clpi", "grad-cam++"), resamples=50)
    page = ScorecardPage(
        "clpi", [("Run", LONG)], BANNERS, "patients", table, evaluate_saliency(table, resamples=50),
        {"grad-cam++ against cam": between}, REMOVED, [tile(shown)],
    )  # fmt: skip
    return write_saliency_page(page, target)


def _check(folder: Path) -> Path:
    return write_check_page(
        Check(
            findings=[], set="made", title="A set", root="/data/" + "unbroken" * 30, synthetic=False,
            photographs=1234, patients=30, counts=[{"what": "photographs", "published": 1235, "found": 1234}],
            cross=[{"dr": k, "dme": 0, "photographs": 7, "published": 7} for k in range(5)],
            facts={"median width, pixels": 1956.0}, lesion_pixels=[], probe=[], notes=[LONG], skipped=[LONG],
            seconds=62.0,
        ),
        folder, {},
    )  # fmt: skip


def _robustness(target: Path) -> Path:
    draw, frames = np.random.default_rng(0), []
    conditions = [("original", 0), ("flip", 0), ("colours", 0), *(("haze", k) for k in (1, 3, 5))]
    grade = np.arange(40) % 5
    for condition, severity in conditions:
        given = np.where(draw.random(40) < 0.2, draw.integers(0, 5, 40), grade)
        rows = pd.DataFrame(
            {"image": [f"{k}.png" for k in range(40)], "set": "toy", "dr": grade, "dr_grade": given}
        )
        rows = rows.assign(
            patient=[str(k // 2) for k in range(40)], eye=["left", "right"] * 20, view="", part="test"
        )
        rows = rows.assign(group=[f"toy/{k // 2}" for k in range(40)], fold=-1, seed=0, draw=0)
        frames.append(
            rows.assign(condition=condition, severity=severity, dr_referable=(given >= 2) * 0.8 + 0.1)
        )
    scales = {"dr": SCALES["icdr5"]}
    metrics = evaluate_robustness(pd.concat(frames, ignore_index=True), scales, resamples=50)
    y, x = np.mgrid[:160, :160] - 79.5
    image = np.repeat(((np.hypot(x, y) < 75) * 120).astype(np.uint8)[..., None], 3, axis=2)
    page = RobustnessPage(
        "a run",
        [("Run", LONG)],
        BANNERS,
        "patients",
        scales,
        frozenset(),
        metrics,
        Sheet("toy/0.png", image),
        0,
    )
    return write_robustness_page(page, target)
