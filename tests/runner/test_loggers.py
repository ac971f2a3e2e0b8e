"""Loggers beside W&B: the history as CSV whatever is asked for, and TensorBoard's event files with the same figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retinalab.errors import RetinalabError
from retinalab.runner import run
from retinalab.runner import trainer as trainers

Make = Callable[..., Any]


def test_tensorboard_holds_what_the_history_holds(make: Make) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result = run(make("one", "logger=tensorboard", "train.trainer.max_epochs=2", "test.saliency=false"))
    seen = events.EventAccumulator(str(result.folder / "tensorboard" / "train"))
    seen.Reload()
    table = pd.read_csv(result.folder / "history/train/metrics.csv")
    for name in ("val/loss", "train/loss"):
        written = [(one.step, one.value) for one in seen.Scalars(name)]
        kept = table.dropna(subset=[name])
        assert [step for step, _ in written] == kept["step"].tolist()
        assert [value for _, value in written] == pytest.approx(kept[name].tolist(), rel=1e-6)


def test_the_history_needs_no_logger(make: Make) -> None:
    result = run(make("one", "logger=csv", "train.trainer.max_epochs=1", "test.saliency=false"))
    assert (result.folder / "history/train/metrics.csv").is_file()
    assert not (result.folder / "tensorboard").exists()


def test_an_absent_package_is_said_before_anything_is_done(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainers, "find_spec", lambda name: None)
    with pytest.raises(RetinalabError) as error:
        run(make("one", "logger=tensorboard", f"data.cache={tmp_path / 'cache'}"))
    assert str(error.value) == (
        "logger=tensorboard needs the package tensorboard. Install it with: pip install tensorboard, or use logger=csv."
    )
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()


def test_an_unknown_logger_is_refused_with_the_choices(make: Make) -> None:
    with pytest.raises(RetinalabError, match=r"logger='tensorbord'.*did you mean 'tensorboard'"):
        make("one", "logger=tensorbord")
