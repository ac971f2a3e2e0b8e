"""A made-up run folder: what the report must cope with, in the columns and files that a run leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from retinalab.metrics import evaluate, majority, write_table
from retinalab.protocol import SCALES

from .browser import chromium

MakeRun = Callable[..., Path]
PHOTOGRAPHS = 60


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes the folder of a made-up run and returns it; options as of :func:`write_run`."""
    return lambda place="made-1", **options: write_run(tmp_path / place, **options)


@pytest.fixture(scope="session")
def browser() -> str:
    """Headless Chromium; the test is skipped where none is installed."""
    found = chromium()
    if found is None:
        pytest.skip("no Chromium on this machine to open a page; install one with: apt-get install chromium")
    return found


def write_run(
    folder: Path,
    diseases: dict[str, str] | None = None,
    sets: tuple[str, ...] = ("made",),
    seeds: tuple[int, ...] = (0,),
    regression: bool = False,
    history: tuple[str, ...] = ("",),
    known_patients: bool = True,
    names: dict[int, str] | None = None,
    experiment: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
) -> Path:
    """Write a plausible run: 60 test photographs of 30 patients per set, and as many for validation.

    Args:
        history: folders (``fold-0``) that have a history of two stages; "" is the run's own.
        names: position of a photograph -> a name of its own.
    """
    diseases = diseases or {"dr": "icdr5", "dme": "risk3"}
    folder.mkdir(parents=True)
    scales = {disease: SCALES[name] for disease, name in diseases.items()}
    table = pd.concat(
        _predictions(diseases, name, part, seed, regression, known_patients)
        for name in sets
        for part in ("val", "test")
        for seed in seeds
    ).reset_index(drop=True)
    for position, name in (names or {}).items():
        table.loc[table["image"] == f"photos/{position:03d}.jpg", "image"] = name
    write_table(table, folder / "predictions.parquet", "predictions")
    metrics = dict(evaluate(table, scales, resamples=100, primary_set=sets[0]))
    metrics |= majority(table[table["part"] == "val"], table, scales, resamples=100, primary_set=sets[0])
    for disease, scale in scales.items():
        key = f"test/{disease}/{'auc' if scale.size == 2 else 'auc_referable'}"
        metrics[f"{key}_colour"] = {"value": 0.69, "low": 0.61, "high": 0.77, "n": 60, "n_groups": 30}
        metrics[f"{key}_shortcut"] = {"value": 0.72, "low": 0.64, "high": 0.79, "n": 60, "n_groups": 30}
        metrics[f"test/{disease}/kappa_shortcut"] = {
            "value": 0.31,
            "low": 0.2,
            "high": 0.42,
            "n": 60,
            "n_groups": 30,
        }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    content = {
        "name": "synthetic",
        "paper": "canet",
        "protocol": {"diseases": diseases, "split": "held-out", "select_on": "val", "ungradable": "exclude"},
        "stages": {"lesions": {"task": {"name": "l-net"}}, "train": {"task": {"learning_rate": 3e-4}}},
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(content | (experiment or {}), sort_keys=False))
    described = {
        name: {
            "title": f"The set {name}",
            "licence": "CC BY 4.0",
            "synthetic": name == "made",
            "fingerprint": "4f2a90bb31d7c5",
            "photographs": {"train": 480, "val": 60, "test": 60},
        }
        for name in sets
    }
    facts = {
        "command": "retinalab exp canet synthetic trainer.max_epochs=12",
        "commit": "8a1f0c2",
        "versions": {"retinalab": "0.1.0", "torch": "2.15.0", "lightning": "2.6.6"},
        "device": {"machine": "x86_64", "threads": 2, "gpus": []},
        "seeds": list(seeds),
        "data": {"lesions": described, "train": described},
        "notes": ["2 photographs left out: no field of view found (photos/090.jpg, photos/091.jpg)."],
        "started": "2026-11-21 09:14:02",
        "finished": "2026-11-21 09:21:44",
        "seconds": 462.4,
        "split": {
            stage: {"origin": "derived, by patient, seed 0", "leaks": []} for stage in ("lesions", "train")
        },
        "labels": ["synthetic: drawn photographs"] if "made" in sets else [],
    }
    (folder / "provenance.json").write_text(json.dumps(facts | (provenance or {})))
    for child in history:
        _histories(folder / child / "history", len(child))
    return folder


def _predictions(
    diseases: dict[str, str], name: str, part: str, seed: int, regression: bool, known_patients: bool
) -> pd.DataFrame:
    draw = np.random.default_rng([seed, len(name), len(part)])
    truth = np.random.default_rng([len(name), len(part)])
    n = PHOTOGRAPHS
    table = pd.DataFrame({"image": [f"photos/{k:03d}.jpg" for k in range(n)], "set": name, "part": part})
    table["patient"] = [f"p{k // 2}" if known_patients else "" for k in range(n)]
    table["eye"] = ["left", "right"] * (n // 2)
    table["seed"] = seed
    for disease, scale_name in diseases.items():
        size = SCALES[scale_name].size
        grade = truth.integers(0, size, n)
        score = grade + draw.normal(0, 0.22 * size, n)
        table[disease] = grade
        if regression:
            table[f"{disease}_score"] = score
            table[f"{disease}_grade"] = score.round().clip(0, size - 1).astype(int)
            continue
        logits = -((score[:, None] - np.arange(size)) ** 2) * 1.1
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        for k in range(size):
            table[f"{disease}_p{k}"] = shares[:, k]
        table[f"{disease}_grade"] = shares.argmax(axis=1)
    return table


def _histories(folder: Path, salt: int) -> None:
    draw = np.random.default_rng(salt)
    for stage, epochs in (("lesions", 8), ("train", 24)):
        rows: list[dict[str, float]] = []
        for epoch in range(epochs):
            fall = 0.4 + 1.2 * np.exp(-epoch / 6)
            rows.append({"epoch": epoch, "step": epoch * 10 + 9, "train/loss": fall + draw.normal(0, 0.03)})
            checked = {"epoch": epoch, "step": epoch * 10 + 9, "val/loss": fall + 0.1 + draw.normal(0, 0.06)}
            if stage == "train":
                for disease, top in (("dr", 0.72), ("dme", 0.63)):
                    rise = top * (1 - np.exp(-(epoch + 1) / 5))
                    checked[f"val/{disease}/kappa"] = rise + draw.normal(0, 0.04)
                    checked[f"val/{disease}/accuracy"] = 0.3 + rise / 2 + draw.normal(0, 0.03)
                    checked[f"val/{disease}/mae"] = 1.4 - rise + draw.normal(0, 0.03)
                checked["val/joint/accuracy"] = 0.15 + rise / 2
                checked["lr"] = 3e-4 * (1 + np.cos(np.pi * epoch / epochs)) / 2
            rows.append(checked)
        (folder / stage).mkdir(parents=True)
        pd.DataFrame(rows).to_csv(folder / stage / "metrics.csv", index=False)
