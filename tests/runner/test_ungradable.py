"""A run lists the ungradable photographs of its test parts, and its clinical reading counts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retinalab.metrics.tables import read_table
from retinalab.report.clinical import clinical_section
from retinalab.report.folder import read_run
from retinalab.runner import run


@pytest.fixture
def root(fake_sets: Path, tmp_path: Path) -> Path:
    """The drawn table with every fifth photograph ungradable."""
    folder = tmp_path / "marked"
    folder.mkdir()
    records = pd.read_csv(fake_sets / "table/records.csv")
    (folder / "images").symlink_to(fake_sets / "table" / "images")
    records["gradable"] = [int(k % 5 > 0) for k in range(len(records))]
    records.to_csv(folder / "records.csv", index=False)
    return folder


def test_each_is_listed_for_every_seed_and_counted(make: Callable[..., Any], root: Path) -> None:
    short = ("train.trainer.max_epochs=1", "seeds=2", f"data.root={root}")
    result = run(make("one", *short))
    listed = read_table(result.folder / "ungradable.parquet", "predictions")
    records = pd.read_csv(root / "records.csv").set_index("image")
    tested = result.predictions[result.predictions["part"] == "test"]
    assert not set(listed["image"]) & set(tested["image"])
    assert (records.loc[listed["image"], "gradable"] == 0).all()
    assert set(listed["patient"]) <= set(tested["patient"])
    assert (listed["dr"].to_numpy() == records.loc[listed["image"], "dr"].to_numpy()).all()
    assert set(listed["reason"]) == {"ungradable"}
    assert listed.groupby("image")["seed"].apply(sorted).tolist() == [[0, 1]] * listed["image"].nunique()
    section = clinical_section(read_run(result.folder))
    assert section is not None
    note = section.sets[0][1][0].ungradable_note
    assert note.startswith(f"{listed['image'].nunique()} of ")


def test_without_any_no_table_is_left(make: Callable[..., Any]) -> None:
    result = run(make("one", "train.trainer.max_epochs=1"))
    assert not (result.folder / "ungradable.parquet").exists()
