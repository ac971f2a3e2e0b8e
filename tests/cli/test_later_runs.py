"""Every command that reads a run refuses one of a later version ahead of all that it might misread in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import retinalab
from retinalab.cli import main
from retinalab.data.sets.fake import fake_photograph
from retinalab.schema import SCHEMAS

Said = pytest.CaptureFixture[str]
Refused = Callable[[list[str], dict[str, object]], list[str]]

DOORS = {
    "predict": ["predict", "later", "eye.jpg", "--out", "out"],
    "predict a checkpoint": ["predict", "later/checkpoints/train/best.ckpt", "eye.jpg", "--out", "out"],
    "explain": ["explain", "later", "--out", "out"],
    "explain photographs": ["explain", "later", "--images", "eye.jpg", "--out", "out"],
    "robustness": ["robustness", "later", "--out", "out"],
    "export": ["export", "later", "--to", "onnx", "--out", "model.onnx"],
    "export a checkpoint": [
        "export",
        "later/checkpoints/train/best.ckpt",
        "--to",
        "torch",
        "--out",
        "model.pt2",
    ],
    "evaluate": ["evaluate", "later"],
    "evaluate clinically": ["evaluate", "later", "--clinical"],
    "compare": ["compare", "later", "another"],
    "compare in a matrix": ["compare", "later", "--matrix", "dr/kappa"],
    "report": ["report", "later"],
    "reuse": ["exp", "baseline", "synthetic", "--reuse", "later", "output=runs", "data.cache=cache"],
    "start": ["exp", "baseline", "synthetic", "train.start_from=later", "output=runs", "data.cache=cache"],
}


def folder_of(place: Path, provenance: dict[str, object]) -> None:
    """A run's folder whose description and figures have forms that nothing here knows."""
    checkpoints = place / "checkpoints/train"
    checkpoints.mkdir(parents=True)
    (checkpoints / "best.ckpt").write_bytes(b"of another form")
    (place / "experiment.yaml").write_text("of: another form\n")
    (place / "metrics.json").write_text('["of another form"]')
    (place / "predictions.parquet").write_bytes(b"of another form")
    (place / "state.json").write_text('{"stages": ["train"], "finished": true}')
    (place / "provenance.json").write_text(json.dumps(provenance))


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> Refused:
    """The lines that a command says of ``later``, which leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    fake_photograph(Path("eye.jpg"), 0, 0)

    def say(words: list[str], provenance: dict[str, object]) -> list[str]:
        folder_of(Path("later"), provenance)
        folder_of(Path("another"), {})
        before = sorted(map(str, tmp_path.rglob("*")))
        assert main(words) == 2
        assert sorted(map(str, tmp_path.rglob("*"))) == before
        return [one for one in capsys.readouterr().err.splitlines() if one.startswith("retinalab: ")]

    return say


@pytest.mark.parametrize("door", DOORS)
def test_a_later_run_is_refused_with_both_versions(refused: Refused, door: str) -> None:
    (line,) = refused(DOORS[door], {"schema": 9, "retinalab": "7.1"})
    assert (
        f"{os.sep}provenance.json' has provenance schema 9, written by retinalab 7.1; this retinalab " in line
    )
    assert f"this retinalab {retinalab.__version__} reads up to {SCHEMAS['provenance']}. Upgrade" in line


@pytest.mark.parametrize("kind", ["metrics", "checkpoint"])
@pytest.mark.parametrize("door", ["predict", "explain", "export", "evaluate", "compare"])
def test_so_is_one_of_later_figures_or_checkpoints(refused: Refused, door: str, kind: str) -> None:
    known = {"schema": 1, "schemas": {**SCHEMAS, kind: 9}, "retinalab": "7.1"}
    (line,) = refused(DOORS[door], known)
    assert f"has {kind} schema 9, written by retinalab 7.1" in line


@pytest.mark.parametrize("door", DOORS)
def test_of_a_run_of_this_version_something_else_is_said(refused: Refused, door: str) -> None:
    lines = refused(DOORS[door], {"schema": SCHEMAS["provenance"], "schemas": dict(SCHEMAS)})
    assert lines
    assert "schema" not in "".join(lines)
