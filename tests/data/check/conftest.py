"""A clean drawn set in files, and a copy with faults planted by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from retinalab.synthetic import World, WorldOptions, write_world

PHOTOGRAPHS = 200


@pytest.fixture(scope="session")
def clean_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 drawn photographs of 50 patients with masks, every fourth patient in the test part."""
    folder = tmp_path_factory.mktemp("clean") / "drawn"
    write_world(World(WorldOptions(photographs=PHOTOGRAPHS, seed=3)), folder, 160)
    table = read(folder)
    table["part"] = ["test" if int(patient) % 4 == 3 else "train" for patient in table["patient"]]
    write(folder, table)
    return folder


@pytest.fixture
def drawn(clean_set: Path, tmp_path: Path) -> Path:
    """A copy of the clean set that a test may spoil."""
    return Path(shutil.copytree(clean_set, tmp_path / "drawn"))


def read(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "records.csv", dtype=str, keep_default_na=False)


def write(folder: Path, table: pd.DataFrame) -> None:
    table.to_csv(folder / "records.csv", index=False)
