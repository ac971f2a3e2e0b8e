"""Fixtures that every test may use."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tqdm import tqdm

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def no_open_bars() -> None:
    """Forgets the bars that an error of an earlier test left open: they would move the cursor of later ones."""
    tqdm._instances.clear()


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real photographs beside the checkout; the test is skipped where it is absent."""
    folder = Path(os.environ.get("RETINALAB_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real photographs at {folder}; set RETINALAB_SHARED to the folder that holds data/")
    return folder


@pytest.fixture(scope="session")
def benchmark() -> Callable[[str], ModuleType]:
    """Gives a script of ``experiments/bench`` as a module, which imports others beside it."""

    def load(name: str) -> ModuleType:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(REPOSITORY / "experiments/bench"))
            return importlib.import_module(name)

    return load


@pytest.fixture(scope="session")
def made_up() -> None:
    """Installs the made-up plugin of ``tests/made_up`` by putting it on the import path."""
    folder = str(REPOSITORY / "tests" / "made_up")
    if folder not in sys.path:
        sys.path.insert(0, folder)


@pytest.fixture(scope="session")
def fake_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drawn copies of ``table`` (32 photographs), ``dr600`` (12) and ``idrid`` (12, and 6 with masks)."""
    from retinalab.testing import write_fake_set

    folder = tmp_path_factory.mktemp("sets")
    for name, photographs in (("table", 32), ("dr600", 12), ("idrid", 12)):
        write_fake_set(name, folder / name, photographs)
    return folder
