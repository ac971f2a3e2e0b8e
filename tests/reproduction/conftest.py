"""A made-up claims file and made-up run folders, small enough to be worked by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from retinalab.experiment import as_yaml, load_experiment

CLAIMS = """
paper: canet
protocols:
  ten: {split: ten folds, folds: 10, patients: mixed, selection: test, note: Means of folds.}
tables:
  "4":
    label: Table IV
    title: Networks
    data: messidor
    public: true
    source: own
    protocol: ten
    experiment: messidor
    doubt: Blurred.
    columns:
      Parameters: {kind: size, factor: 1.0e+6}
      Ac: {metric: test/dr/accuracy, factor: 0.01, unit: "%"}
      AUC: {metric: test/dr/auc}
    rows:
      ours: {values: {Parameters: 29.03 M, Ac: 92.6, AUC: 0.963}}
      joint training:
        source: reimplemented
        overrides: [train.task.variant=joint]
        doubt: Rounded.
        values: {Ac: {published: 89.1, doubt: Smudged.}, AUC: 0.942}
      quoted: {source: quoted, why_not: another method, values: {Ac: 80.0}}
  "7":
    label: Table VII
    title: Elsewhere
    data: private
    public: false
    experiment: idrid
    surrogate: public photographs in the place of private ones
    columns: {Joint: {metric: test/joint/accuracy, factor: 0.01}}
    rows:
      ours: {values: {Joint: 65.1}}
  fig-5:
    label: Figure 5
    title: Counts
    data: idrid
    public: true
    kind: data
    command: retinalab data check idrid --root FOLDER
    rows: {photographs: {value: "516"}}
  text:
    label: Text
    title: In the text
    rows:
      ours again: {where: IV, value: 92.6%, repeats: ["4", ours, Ac]}
      better: {where: IV, value: 3.5%, difference: [["4", ours, Ac], ["4", joint training, Ac]]}
      epochs: {kind: setting, value: "1000"}
"""

Write = Callable[..., Path]


def metric(value: float, low: float, high: float, n: int = 1200, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n, "n_groups": n, **more}


METRICS = {"test/dr/accuracy": metric(0.9149, 0.8951, 0.9302), "test/dr/auc": metric(0.95, 0.93, 0.97)}


@pytest.fixture
def claims_path(tmp_path: Path) -> Path:
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIMS, encoding="utf-8")
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def write_run(runs: Path) -> Write:
    """Write the folder of a finished run, as a run of that experiment leaves it."""

    def write(
        name: str,
        *overrides: str,
        number: int = 1,
        metrics: Mapping[str, Any] = METRICS,
        labels: tuple[str, ...] = (),
        finished: str = "2026-01-01",
    ) -> Path:
        experiment = load_experiment("canet", name, overrides)
        place = runs / "canet" / experiment.name / f"aaaa0000-{number}"
        place.mkdir(parents=True)
        (place / "experiment.yaml").write_text(as_yaml(experiment), encoding="utf-8")
        (place / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        command = " ".join(["retinalab exp canet", name, *overrides])
        known = {"command": command, "commit": "0123456789abcdef", "labels": labels, "finished": finished}
        (place / "provenance.json").write_text(json.dumps(known), encoding="utf-8")
        return place

    return write
