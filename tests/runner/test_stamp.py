"""What a later retinalab wrote is refused with both versions and the remedy; what an earlier one wrote is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import retinalab
from retinalab.cli import main
from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.report.folder import read_run
from retinalab.runner import Result
from retinalab.runner.reuse import read_sources
from retinalab.runner.trained import load_task
from retinalab.schema import SCHEMAS, check_run_schemas, check_schema, figures_of, with_schema

Said = pytest.CaptureFixture[str]

LATER = r"has {} schema 9, written by retinalab 7\.1; this retinalab .* reads up to {}\. Upgrade retinalab"


def test_later_is_refused_and_earlier_is_read() -> None:
    for kind, latest in SCHEMAS.items():
        check_schema(kind, latest, "a", "0.1", "0.1")
        check_schema(kind, None, "a", None, "0.1")
        check_schema(kind, 0, "a", "0.0.1", "0.1")
        with pytest.raises(RetinalabError) as error:
            check_schema(kind, latest + 1, "runs/a.json", "7.1", "0.1")
        assert len(str(error.value).splitlines()) == 1
        for word in ("runs/a.json", kind, str(latest + 1), "7.1", "0.1", "pip install --upgrade retinalab"):
            assert word in str(error.value)


@pytest.mark.parametrize("kind", ["provenance", "metrics", "checkpoint"])
def test_a_runs_provenance_speaks_for_its_files(kind: str) -> None:
    known = {"schema": 1, "schemas": {**SCHEMAS, kind: 9, "unheard-of": 3}, "retinalab": "7.1"}
    with pytest.raises(RetinalabError, match=LATER.format(kind, SCHEMAS[kind])):
        check_run_schemas(known, "provenance.json", "0.1")
    check_run_schemas({}, "provenance.json", "0.1")
    check_run_schemas({"schema": 1, "schemas": "what"}, "provenance.json", "0.1")


@pytest.fixture(scope="module")
def copied(whole: tuple[Experiment, Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("copied") / "run"
    shutil.copytree(whole[1].folder, place)
    return place


def test_a_run_says_which_versions_it_wrote(copied: Path) -> None:
    known = json.loads((copied / "provenance.json").read_text())
    assert known["schemas"] == dict(SCHEMAS)
    stored = torch.load(copied / "checkpoints/severity/last.ckpt", weights_only=True)
    stamp = stored["retinalab"]
    assert (stamp["schema"], stamp["version"]) == (1, retinalab.__version__)
    assert (stamp["paper"], stamp["experiment"], stamp["stage"]) == ("madeup", "whole", "severity")
    assert stamp["task"]["name"] == "madeup-severity"
    assert json.loads(json.dumps(stamp)) == stamp


def test_a_later_run_is_refused_by_its_readers(copied: Path) -> None:
    file = copied / "provenance.json"
    before = file.read_text()
    try:
        file.write_text(json.dumps({**json.loads(before), "schema": 9, "retinalab": "7.1"}))
        for read in (read_run, lambda folder: read_sources([folder])):
            with pytest.raises(RetinalabError, match=LATER.format("provenance", 1)):
                read(copied)
    finally:
        file.write_text(before)
    assert read_run(copied).path == copied


def test_figures_name_their_version_and_are_read_without_it(copied: Path, capsys: Said) -> None:
    file = copied / "metrics.json"
    before = file.read_text()
    written = json.loads(before)
    assert (written["schema"], written["retinalab"]) == (SCHEMAS["metrics"], retinalab.__version__)
    figures = {key: one for key, one in written.items() if "/" in key}
    assert set(written) - set(figures) == {"schema", "retinalab"}
    assert figures
    assert with_schema(figures, retinalab.__version__) == written
    for content in (written, figures):  # of this version, and of the first, which named none
        file.write_text(json.dumps(content))
        assert read_run(copied).metrics == figures_of(content, file, "0.1") == figures
    try:
        file.write_text(json.dumps({**written, "schema": 9, "retinalab": "7.1"}))
        with pytest.raises(RetinalabError, match=LATER.format("metrics", SCHEMAS["metrics"])):
            read_run(copied)
        for words in (["report"], ["evaluate"]):
            capsys.readouterr()
            assert main([*words, str(copied)]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert "metrics.json' has metrics schema 9, written by retinalab 7.1" in line
    finally:
        file.write_text(before)
    assert figures_of(["no mapping"], file, "0.1") == {}


def test_a_checkpoint_of_a_later_version_is_refused_and_one_without_a_stamp_is_read(
    copied: Path, tmp_path: Path
) -> None:
    stored: dict[str, Any] = torch.load(copied / "checkpoints/severity/best.ckpt", weights_only=True)
    stamp = stored.pop("retinalab")
    torch.save(stored, tmp_path / "early.ckpt")
    load_task(tmp_path / "early.ckpt", "madeup-severity")
    torch.save({**stored, "retinalab": {**stamp, "schema": 9, "version": "7.1"}}, tmp_path / "late.ckpt")
    with pytest.raises(RetinalabError, match=LATER.format("checkpoint", 1)):
        load_task(tmp_path / "late.ckpt", "madeup-severity")
