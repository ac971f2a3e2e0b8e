"""Weights & Biases: one run, offline without a key, always closed, and nothing of it needed unless asked for."""

from __future__ import annotations

import json
import logging
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.smoke import smoke

wandb = pytest.importorskip("wandb", reason="wandb is not installed")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def places(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A folder of its own for runs, one for all tests for prepared photographs."""
    return [f"output={tmp_path / 'runs'}", f"data.cache={tmp_path_factory.getbasetemp() / 'prepared'}"]


def experiment(places: list[str]) -> Any:
    return smoke(load_experiment("canet", "synthetic", ["logger=wandb", *places]))


def logged(folder: Path) -> list[Any]:
    """The records of the one offline run below a folder, read from the LevelDB log that ``wandb sync`` would send."""
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    found = []
    for content in _entries(path.read_bytes()):
        record = Record()
        record.ParseFromString(content)
        found.append(record)
    return found


def _entries(content: bytes) -> Iterator[bytes]:
    """Blocks of 32 KiB after a header of 7 bytes; an entry is whole (1) or first, middle, last (2, 3, 4)."""
    place, entry = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        entry += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield entry
            entry = b""


def values(items: Any) -> dict[str, Any]:
    """Key -> value, where a picture's or a table's description is a mapping."""
    found: dict[str, Any] = {}
    for item in items:
        first, *rest = item.nested_key or [item.key]
        value = json.loads(item.value_json)
        if rest:
            found.setdefault(first, {})[rest[0]] = value
        else:
            found[first] = value
    return found


def test_an_offline_run_holds_metrics_figures_predictions_and_report(
    places: list[str], offline: None, caplog: pytest.LogCaptureFixture
) -> None:
    from retinalab.runner import run

    with caplog.at_level(logging.WARNING, "retinalab"):
        result = run(experiment(places))
    assert [r.getMessage() for r in caplog.records if "W&B" in r.getMessage()] == [
        f"W&B finds no key: logging offline below {result.folder / 'wandb'} (send it later with: wandb sync)"
    ]
    assert wandb.run is None
    records = logged(result.folder)
    kinds = Counter(record.WhichOneof("record_type") for record in records)
    assert kinds["run"] >= 1
    assert kinds["exit"] == 1
    assert [r.exit.exit_code for r in records if r.WhichOneof("record_type") == "exit"] == [0]
    (began,) = {r.run.run_id for r in records if r.WhichOneof("record_type") == "run"}
    described = next(r.run for r in records if r.WhichOneof("record_type") == "run" and r.run.run_id == began)
    assert (described.project, described.run_group) == ("retinalab", "canet")
    history: dict[str, Any] = {}
    for record in records:
        if record.WhichOneof("record_type") == "history":
            history |= values(record.history.item)
    assert {"train/loss", "val/loss", "val/joint/accuracy", "val/dr/kappa", "val/dme/kappa"} <= set(history)
    summary: dict[str, Any] = {}
    for record in records:
        if record.WhichOneof("record_type") == "summary":
            summary |= values(record.summary.update)
    for key, metric in result.metrics.items():
        if metric["value"] is not None:
            assert summary[key] == pytest.approx(metric["value"])
            for end in ("low", "high", "n"):
                assert summary.get(f"{key}_{end}") == (
                    None if metric.get(end) is None else pytest.approx(metric[end])
                )
    assert history["report"]["_type"] == "html-file"
    files = [
        {entry.path for entry in record.artifact.manifest.contents}
        for record in records
        if record.WhichOneof("record_type") == "artifact" and record.artifact.type == "result"
    ]
    wanted = {"metrics.json", "provenance.json", "experiment.yaml", "report.html", "predictions.parquet"}
    assert [wanted <= one for one in files] == [True]
    assert history["predictions"]["_type"] == "table-file"
    media = next(result.folder.glob("wandb/offline-run-*/files"))
    assert "<html" in (media / history["report"]["path"]).read_text(encoding="utf-8")
    table = json.loads((media / history["predictions"]["path"]).read_text(encoding="utf-8"))
    assert len(table["data"]) == len(result.predictions)
    assert {"image", "patient", "part", "dr", "dr_p0", "dr_grade", "dme_p2"} <= set(table["columns"])
    tested = result.predictions[result.predictions["part"] == "test"]
    for disease, size in (("dr", 5), ("dme", 3)):
        chart = history[f"confusion/synthetic/{disease}_table"]
        rows = json.loads((media / chart["path"]).read_text(encoding="utf-8"))["data"]
        counts = [row[2] for row in rows]
        expected = confusion_matrix(tested[disease], tested[f"{disease}_grade"], labels=range(size))
        assert counts == expected.ravel().tolist()


def test_a_failure_in_training_closes_the_run_as_failed_and_is_raised_again(
    tmp_path: Path, places: list[str], offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retinalab.runner import run
    from retinalab.tasks.base import Task

    def fails(self: Task, batch: object, batch_idx: int) -> None:
        raise ZeroDivisionError("in the middle of training")

    monkeypatch.setattr(Task, "training_step", fails)
    with pytest.raises(ZeroDivisionError, match="in the middle of training"):
        run(experiment(places))
    assert wandb.run is None
    (folder,) = (tmp_path / "runs/canet/synthetic-smoke").glob("*-1")
    codes = [r.exit.exit_code for r in logged(folder) if r.WhichOneof("record_type") == "exit"]
    assert codes == [1]


def test_a_key_is_looked_for_where_wandb_keeps_it(
    tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retinalab.runner.wandb import _has_key

    assert not _has_key()
    (tmp_path / ".netrc").write_text("machine api.wandb.ai\n  login user\n  password " + "0" * 40 + "\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert _has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    assert not _has_key()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert _has_key()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert not _has_key()


def test_further_processes_keep_no_run(
    tmp_path: Path, places: list[str], offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning.pytorch.utilities.rank_zero import rank_zero_only

    from retinalab.runner.wandb import log_result, wandb_run

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with wandb_run(experiment(places), tmp_path):
        assert wandb.run is None
        log_result({}, {"predictions": pd.DataFrame()}, tmp_path / "absent.html", {})
    assert not (tmp_path / "wandb").exists()


def test_a_server_that_refuses_is_one_line(
    tmp_path: Path, places: list[str], offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retinalab.runner.wandb import wandb_run

    def refuses(**arguments: object) -> None:
        raise wandb.errors.CommError("user is not logged in\nsecond line")

    monkeypatch.setattr(wandb, "init", refuses)
    with (
        pytest.raises(
            RetinalabError, match=r"^W&B does not start: user is not logged in\. Log offline with"
        ) as caught,
        wandb_run(experiment(places), tmp_path),
    ):
        pass
    assert "\n" not in str(caught.value)


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "wandb":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from retinalab.cli import main

words = ["exp", "canet", "synthetic", "--smoke", *sys.argv[1:]]
print("status", main([*words, "logger=wandb"]), main(words), "wandb" in sys.modules)
"""


def test_without_wandb_everything_runs_and_asking_for_it_is_one_line(
    tmp_path: Path, places: list[str]
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, *places],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.splitlines()[-1] == "status 2 0 False"
    assert ran.stderr.splitlines()[0] == (
        "retinalab: logger=wandb needs the package wandb. Install it with: pip install wandb, or use logger=csv."
    )
    assert [path.name for path in (tmp_path / "runs/canet/synthetic-smoke").glob("*-*")] == [
        path.parent.name for path in tmp_path.glob("runs/canet/synthetic-smoke/*-*/metrics.json")
    ]


def test_intervals_are_in_the_summary_and_the_files_in_an_artifact(
    tmp_path: Path, places: list[str], offline: None
) -> None:
    from retinalab.runner.wandb import log_result, wandb_run

    names = (
        "metrics.json",
        "provenance.json",
        "experiment.yaml",
        "report.html",
        "lesions.parquet",
        "state.json",
    )
    for name in names:
        (tmp_path / name).write_text(f"<html>{name}</html>", encoding="utf-8")
    metrics = {
        "test/dr/kappa": {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8},
        "test/dr/auc": {"value": None, "low": None, "high": None, "n": 8},
    }
    with wandb_run(experiment(places), tmp_path, ["fold-1"]):
        assert wandb.run.name.endswith("-fold-1")
        log_result(metrics, {}, tmp_path / "report.html", {})
    records = logged(tmp_path)
    summary: dict[str, Any] = {}
    for record in records:
        if record.WhichOneof("record_type") == "summary":
            summary |= values(record.summary.update)
    found = {key: value for key, value in summary.items() if key.startswith("test/")}
    assert found == {
        "test/dr/kappa": 0.5,
        "test/dr/kappa_low": 0.25,
        "test/dr/kappa_high": 0.75,
        "test/dr/kappa_n": 8,
    }
    (result,) = (
        r.artifact
        for r in records
        if r.WhichOneof("record_type") == "artifact" and r.artifact.type == "result"
    )
    assert {entry.path for entry in result.manifest.contents} == set(names) - {"state.json"}
