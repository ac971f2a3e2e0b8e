"""A finished run, and photographs to grade with it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from retinalab.cli import main
from retinalab.data.sets.fake import fake_photograph


@pytest.fixture(scope="session")
def home(fake_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the plain baseline, and 14 photographs of which two are none."""
    folder = tmp_path_factory.mktemp("home")
    own = [f"data.root={fake_sets / 'table'}", f"data.cache={folder / 'cache'}", f"output={folder / 'runs'}"]
    small = [
        "data.set=table", "data.size=64", "data.crop=64", "data.batch_size=8", "data.overlap=exclude", "folds=1",
        "protocol.split=held-out", "protocol.diseases={dr: icdr5, dme: risk3}",
        "stages.train.task.backbone=test_resnet",
        "stages.train.trainer={max_epochs: 1, precision: 32-true, accelerator: cpu, monitor: val/loss, mode: min}",
    ]  # fmt: skip
    assert main(["exp", "baseline", "dr600", *own, *small]) == 0
    for k in range(12):
        fake_photograph(folder / f"eyes/{k:02d}.jpg", k, k % 5)
    cv2.imwrite(str(folder / "eyes/07b.png"), np.zeros((100, 100, 3), np.uint8))
    (folder / "eyes/10b.jpg").write_text("no image")
    return folder
