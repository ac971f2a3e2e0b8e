"""Readers' points named in an experiment: checked before training, kept with the run, part of no result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import as_yaml, experiment_id, resolve
from retinalab.runner import run

Make = Callable[..., Experiment]


def test_an_experiment_draws_its_readers_and_keeps_them(make: Make, tmp_path: Path) -> None:
    import yaml

    file = tmp_path / "readers.csv"
    file.write_text("disease,reader,sensitivity,specificity\ndr,Reader A,0.9,85%\n")
    experiment = make("one", "train.trainer.max_epochs=1", f"test.readers={file}")
    assert experiment_id(experiment) == experiment_id(make("one", "train.trainer.max_epochs=1"))
    assert resolve(yaml.safe_load(as_yaml(experiment))).test.readers == file
    folder = run(experiment).folder
    assert (folder / "readers.csv").read_text() == file.read_text()
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Readers and the network: DR, referable" in page
    assert "Reader A" in page


@pytest.mark.parametrize(
    ("text", "message"),
    [("dr,A,0.9,85,", "specificity is 85, not a share"), ("dr,A,0.9,0.8,aptos", "Unknown data set 'aptos'")],
)
def test_bad_readers_are_refused_before_anything_is_trained(
    make: Make, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "readers.csv"
    file.write_text(f"disease,reader,sensitivity,specificity,set\n{text}\n")
    with pytest.raises(RetinalabError, match=message):
        run(make("one", f"test.readers={file}"))
    assert not (tmp_path / "runs").exists()
