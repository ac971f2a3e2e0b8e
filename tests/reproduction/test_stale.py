"""Figures whose code, settings, photographs or labels have changed since are marked; others are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retinalab.code import code_digests
from retinalab.data.parts import read_records
from retinalab.experiment import as_mapping, load_experiment
from retinalab.reproduction import kept_runs, runs_below
from retinalab.reproduction.stale import changed_since
from retinalab.testing import write_fake_set
from tests.reproduction.conftest import METRICS, Write


def test_nothing_is_said_where_nothing_is_known_to_have_changed() -> None:
    experiment = load_experiment("baseline", "dr600")
    assert changed_since(experiment, {}) == ()
    assert changed_since(experiment, {"code": code_digests(experiment)}, today=experiment) == ()


def test_each_change_is_named() -> None:
    experiment = load_experiment("baseline", "dr600")
    code = code_digests(experiment) | {"metrics": "0", "tasks": "1"}
    today = load_experiment("baseline", "dr600", ["train.trainer.max_epochs=7", "train.data.batch_size=3"])
    epochs = experiment.stages["train"].trainer.max_epochs
    code_said, today_said = changed_since(experiment, {"code": code}, today=today)
    assert code_said == "code (metrics, tasks)"
    assert today_said.startswith("what its command runs (train.")
    assert f"max_epochs {epochs} → 7" in today_said or "and 1 more" in today_said


def test_other_labels_or_photographs_are_found_in_the_folder(tmp_path: Path) -> None:
    root = write_fake_set("table", tmp_path / "table", 8)
    experiment = load_experiment("baseline", "dr600", ["data.set=table", "data.options={}"])
    data = experiment.stages["train"].data.model_copy(update={"root": root})
    source, records, _ = read_records(data, experiment.protocol, {})
    facts = {"data": {"train": {"table": {"fingerprint": source.digest(records)}}}}
    assert changed_since(experiment, facts, {"table": root}) == ()
    assert changed_since(experiment, {"data": {"train": {"table": {"fingerprint": "0"}}}}) == ()
    other = write_fake_set("table", tmp_path / "other", 8, seed=5)
    assert changed_since(experiment, facts, {"table": other}) == ("photographs or labels (table)",)
    assert changed_since(experiment, facts, {"table": tmp_path / "nowhere"}) == ()


def kept(folder: Path, **facts: Any) -> Any:
    folder.mkdir(exist_ok=True)
    content = {
        "command": "retinalab exp canet messidor roots.messidor=m",
        "seeds": [0],
        "metrics": METRICS,
        **facts,
    }
    (folder / "canet-messidor.json").write_text(json.dumps(content), encoding="utf-8")
    runs, faults = kept_runs(folder, "canet")
    assert faults == []
    return runs[0]


def test_kept_figures_are_read_by_the_settings_that_were_kept_with_them(tmp_path: Path) -> None:
    then = as_mapping(load_experiment("canet", "messidor", ["train.trainer.max_epochs=5"]))
    run = kept(tmp_path, experiment=then, labels=["known before"])
    assert run.experiment.stages["train"].trainer.max_epochs == 5
    (changed,) = run.changed
    assert (
        changed.startswith("what its command runs (train.trainer.max_epochs 5 → ")
        or "max_epochs 5" in changed
    )
    assert run.labels == ("known before", f"stale: changed since it was run: {changed}")
    same = kept(tmp_path, experiment=as_mapping(load_experiment("canet", "messidor")))
    assert (same.changed, same.labels) == ((), ())


def test_a_run_folder_is_marked_by_its_provenance(runs: Path, write_run: Write) -> None:
    place = write_run("messidor", "roots.messidor=somewhere")
    experiment = load_experiment("canet", "messidor")
    provenance = json.loads((place / "provenance.json").read_text(encoding="utf-8"))
    for code, expected in (
        (code_digests(experiment), ()),
        (code_digests(experiment) | {"retinalab_canet": "0"}, ("code (retinalab_canet)",)),
    ):
        (place / "provenance.json").write_text(json.dumps(provenance | {"code": code}), encoding="utf-8")
        ((run,), faults) = runs_below([runs], "canet")
        assert faults == []
        assert run.changed == expected


@pytest.mark.parametrize("paper", ["canet", "clpi", "sian", "ellg"])
def test_what_is_kept_of_every_run_says_with_which_code_and_settings(paper: str, repository: Path) -> None:
    pytest.importorskip(f"retinalab_{paper}")
    for file in (repository / "experiments/results").glob(f"{paper}-*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        assert content["experiment"]["stages"], file
        assert f"retinalab_{paper}" in content["code"], file
        assert '"/' not in file.read_text(encoding="utf-8"), f"{file} names a folder of a machine"
