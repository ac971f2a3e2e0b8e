"""Photographs with known faults, and finished smoke runs to test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from retinalab.robustness.field import Field


def _drawn_retina(side: int = 160, seed: int = 0, height: float = 1.0) -> np.ndarray:
    """A disc of retina with vessels, spots and grain, black beyond; ``height`` cuts it at top and bottom."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    radius = side / 2 - 4
    shade = 1 - 0.4 * np.hypot(x, y) / radius
    image = np.stack([190 * shade, 95 * shade, 45 * shade], axis=2)
    for turn in rng.uniform(0, 2 * np.pi, 9):
        ends = radius * np.array([np.cos(turn), np.sin(turn)]) * 0.95 + side / 2
        start = rng.uniform(0.4, 0.6, 2) * side
        cv2.line(image, tuple(map(int, start)), tuple(map(int, ends)), (110, 40, 25), 2)
    for place in rng.uniform(0.3, 0.7, (12, 2)) * side:
        cv2.circle(image, tuple(map(int, place)), 2, (235, 205, 120), -1)
    image += rng.normal(0, 4, image.shape)
    inside = (np.hypot(x, y) < radius) & (np.abs(y) < height * radius)
    return np.clip(np.rint(image), 12, 255).astype(np.uint8) * inside[..., None].astype(np.uint8)


@pytest.fixture(params=["whole", "cut"])
def retina(request: pytest.FixtureRequest) -> tuple[np.ndarray, Field]:
    """A photograph and its field of view: a whole disc, and one cut off at top and bottom."""
    image = _drawn_retina(height=1.0 if request.param == "whole" else 0.8)
    return image, Field.of(image.any(2))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run on drawn photographs (dr and dme)."""
    from retinalab.cli import main

    folder = tmp_path_factory.mktemp("home")
    words = ["exp", "baseline", "synthetic", "--smoke", f"output={folder / 'runs'}"]
    words += [f"data.cache={folder / 'cache'}", "data.size=64", "stages.train.trainer.accelerator=cpu"]
    assert main([*words, "train.task.backbone=test_resnet"]) == 0
    return folder / "runs/baseline/synthetic-smoke/latest"


@pytest.fixture(scope="session")
def two_seeds(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run as one of two seeds, whose second grades the other way round."""
    run = tmp_path_factory.mktemp("two") / "latest"
    for child in ("seed-0", "seed-1"):
        shutil.copytree(home / "checkpoints", run / child / "checkpoints")
        shutil.copy(home / "split-train.csv", run / child)
    for name in ("provenance.json", "metrics.json"):
        shutil.copy(home / name, run)
    experiment = yaml.safe_load((home / "experiment.yaml").read_text())
    (run / "experiment.yaml").write_text(yaml.safe_dump({**experiment, "seeds": 2}, sort_keys=False))
    state = json.loads((home / "state.json").read_text())
    (run / "state.json").write_text(json.dumps({**state, "stages": ["seed-0/train", "seed-1/train"]}))
    checkpoint = run / "seed-1/checkpoints/train/best.ckpt"
    stored = torch.load(checkpoint, weights_only=True)
    head = next(name for name in stored["state_dict"] if name.endswith("heads.dr.weight"))
    stored["state_dict"][head] = stored["state_dict"][head].flip(0)
    torch.save(stored, checkpoint)
    return run
