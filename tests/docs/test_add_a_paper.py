"""The page's five files, taken from its text, are a plugin: it is built, found, keeps the contract and trains."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

pytest.importorskip("hatchling", reason="hatchling, which builds the package, is not installed: make install")

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs/add-a-paper.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^## \d\. [^\n]*`(plugins/\S+)`$.*?^```\w+\n(.*?)^```$", PAGE, flags=re.M | re.S))
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.M | re.S)[0].splitlines()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's folder, as somebody leaves it who has copied the five files."""
    folder = tmp_path_factory.mktemp("checkout")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "plugins/coral"


@pytest.fixture(scope="module")
def installed(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which its wheel was unpacked, which is all that installing a wheel of plain Python is."""
    out = tmp_path_factory.mktemp("installed")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out / "dist")]
    built = subprocess.run(words, cwd=written, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = (out / "dist").glob("retinalab_coral-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def ran(words: list[str], installed: Path, where: Path) -> str:
    """What a command says in a process that finds the plugin among the installed packages."""
    known = os.environ | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, *words], cwd=where, env=known, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_page_has_five_files_and_their_commands() -> None:
    assert [Path(name).name for name in FILES] == [
        "pyproject.toml",
        "__init__.py",
        "network.py",
        "task.py",
        "synthetic.yaml",
    ]
    assert COMMANDS[:3] == [
        "pip install -e ./plugins/coral",
        "retinalab show coral",
        "retinalab exp coral synthetic --smoke",
    ]


def test_its_code_is_in_the_style_that_lint_asks_for(written: Path) -> None:
    settings = ["--config", str(REPOSITORY / "pyproject.toml"), "--no-cache", str(written)]
    for words in (["check"], ["format", "--check"]):
        asked = [sys.executable, "-m", "ruff", *words, *settings]
        done = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_its_loss_and_probabilities_are_those_of_the_formulas(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    network = importlib.import_module("retinalab_coral.network")
    assert doctest.testmod(network).failed == 0
    rng = np.random.default_rng(0)
    logits, grades = -np.sort(-rng.normal(size=(6, 4)), axis=1), np.array([0, 1, 2, 3, 4, -1])
    above = 1 / (1 + np.exp(-logits))
    by_hand = [
        -sum(np.log(above[i, k] if grades[i] > k else 1 - above[i, k]) for k in range(4)) for i in range(5)
    ]
    loss = network.rank_loss(torch.tensor(logits), torch.tensor(grades))
    np.testing.assert_allclose(loss.item(), np.mean(by_hand), rtol=1e-9)
    given = network.probabilities(torch.tensor(logits)).numpy()
    np.testing.assert_allclose(given.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(given[:, ::-1].cumsum(1)[:, ::-1][:, 1:], above, rtol=1e-9)


def test_it_keeps_the_contract_of_every_paper(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    spec = importlib.util.spec_from_file_location("contract", REPOSITORY / "tests/test_papers.py")
    assert spec is not None
    assert spec.loader is not None
    contract = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(contract)
    assert "coral" in contract.tasks()
    kept = 0
    for name, check in vars(contract).items():
        wanted = list(inspect.signature(check).parameters) if name.startswith("test_") else []
        if wanted[:1] == ["name"]:
            check(*({"name": "coral", "tmp_path": tmp_path}[one] for one in wanted))
            kept += 1
    assert kept >= 5


def test_it_runs_and_leaves_predictions_and_a_report(
    installed: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prepared = tmp_path_factory.getbasetemp() / "prepared"
    told = ran(["-m", *COMMANDS[1].split()], installed, tmp_path)
    assert "Pattern Recognition Letters" in told
    assert "synthetic" in told
    told = ran(["-m", *COMMANDS[2].split(), f"data.cache={prepared}"], installed, tmp_path)
    assert "Research use only" in told
    (folder,) = (path for path in (tmp_path / "runs/coral/synthetic-smoke").glob("*-1") if path.is_dir())
    rows = pd.read_parquet(folder / "predictions.parquet")
    assert {"image", "patient", "part", "dr", "dr_p0", "dr_p4", "dr_grade", "dme_p2"} <= set(rows.columns)
    grades = rows[[f"dr_p{k}" for k in range(5)]].to_numpy()
    np.testing.assert_allclose(grades.sum(1), 1, atol=1e-4)
    assert (grades.argmax(1) == rows["dr_grade"]).all()
    test = rows[rows["part"] == "test"]
    expected = cohen_kappa_score(test["dr"], test["dr_grade"], weights="quadratic", labels=range(5))
    measured = json.loads((folder / "metrics.json").read_text())["test/dr/kappa"]
    assert measured["n"] == len(test)
    np.testing.assert_allclose(measured["value"], np.nan_to_num(expected), atol=1e-6)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "coral" in page
    assert "Grad-CAM++" in page
