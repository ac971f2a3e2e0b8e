"""A made-up plugin with maps, regression, windows, stages and two test sets passes through the whole core."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import accuracy_score, mean_absolute_error

import retinalab
from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import resolve
from retinalab.metrics import read_table
from retinalab.registry import task_class
from retinalab.runner import Result, run
from retinalab.testing import write_fake_set


def tables(result: Result, stage: str, kind: str) -> pd.DataFrame:
    return read_table(result.folder / "tables" / stage / f"{kind}.parquet", kind)  # type: ignore[arg-type]


def test_every_file_of_a_run_is_there(whole: tuple[Experiment, Result]) -> None:
    experiment, result = whole
    folder = result.folder
    assert folder.parts[-3:-1] == ("madeup", "whole")
    for name in ("experiment.yaml", "provenance.json", "predictions.parquet", "metrics.json", "report.html"):
        assert (folder / name).is_file()
    for stage in experiment.stages:
        assert {p.name for p in (folder / "checkpoints" / stage).iterdir()} == {"best.ckpt", "last.ckpt"}
        assert (folder / "history" / stage / "metrics.csv").is_file()
        assert (folder / f"split-{stage}.csv").is_file()
    assert (folder.parent / "latest").resolve() == folder.resolve()
    assert not list(folder.rglob("*.tmp"))
    assert resolve(yaml.safe_load((folder / "experiment.yaml").read_text())) == experiment.model_copy(
        update={"data": {}}
    )


def test_provenance_says_what_a_result_depends_on(whole: tuple[Experiment, Result]) -> None:
    known = json.loads((whole[1].folder / "provenance.json").read_text())
    assert known["seeds"] == [0]
    assert known["versions"]["torch"] == torch.__version__.split("+")[0]
    assert set(known["data"]) == {"marks", "patches", "severity"}
    assert set(known["data"]["severity"]) == {"table", "dr600"}
    assert set(known["data"]["marks"]) == {"idrid"}
    assert known["data"]["severity"]["table"]["photographs"] == {"train": 20, "val": 4, "test": 8}
    assert known["seconds"] > 0
    took = datetime.fromisoformat(known["finished"]) - datetime.fromisoformat(known["started"])
    assert took.total_seconds() == pytest.approx(known["seconds"], abs=2)  # both are told in whole seconds


def test_predictions_hold_each_photograph_of_validation_and_both_test_sets_once(
    whole: tuple[Experiment, Result],
) -> None:
    table = whole[1].predictions
    counts = table.groupby(["set", "part"]).size().to_dict()
    assert counts == {("table", "val"): 4, ("table", "test"): 8, ("dr600", "test"): 12}
    assert not table.duplicated(["image", "set", "part"]).any()
    split = pd.read_csv(whole[1].folder / "split-severity.csv")
    for part in ("val", "test"):
        rows = table[(table["part"] == part) & (table["set"] == "table")]
        assert set(rows["image"]) == set(split.loc[split["part"] == part, "image"])


def test_references_are_the_records_and_grades_follow_from_severity(
    whole: tuple[Experiment, Result], fake_sets: Path
) -> None:
    table = whole[1].predictions
    labels = pd.read_csv(fake_sets / "table" / "records.csv").set_index("image")
    mine = table[table["set"] == "table"]
    assert mine["dr"].tolist() == labels.loc[mine["image"], "dr"].tolist()
    assert mine["dme"].tolist() == (labels.loc[mine["image"], "dme"] >= 1).astype(int).tolist()
    for disease, top in (("dr", 4), ("dme", 1)):
        rounded = np.clip(np.floor(table[f"{disease}_score"] + 0.5), 0, top).astype(int)
        assert table[f"{disease}_grade"].tolist() == rounded.tolist()


def test_metrics_are_those_of_the_table(whole: tuple[Experiment, Result]) -> None:
    _, result = whole
    written = json.loads((result.folder / "metrics.json").read_text())
    assert (written.pop("schema"), written.pop("retinalab")) == (2, retinalab.__version__)
    assert written == json.loads(json.dumps(result.metrics))
    tested = result.predictions[result.predictions["part"] == "test"]
    for name, key in (("table", "test"), ("dr600", "test@dr600")):
        rows = tested[(tested["set"] == name) & (tested["dme"] >= 0)]
        figure = result.metrics[f"{key}/dme/accuracy"]
        assert figure["value"] == pytest.approx(accuracy_score(rows["dme"], rows["dme_grade"]))
        assert figure["n"] == len(rows)
        both = (rows["dme"] == rows["dme_grade"]) & (rows["dr"] == rows["dr_grade"])
        assert result.metrics[f"{key}/joint/accuracy"]["value"] == pytest.approx(both.mean())
        rows = tested[tested["set"] == name]
        assert result.metrics[f"{key}/dr/mae"]["value"] == pytest.approx(
            mean_absolute_error(rows["dr"], rows["dr_grade"])
        )


def test_maps_become_counts_per_photograph_and_annotated_lesion(whole: tuple[Experiment, Result]) -> None:
    lesions = tables(whole[1], "marks", "lesions")
    assert set(lesions["lesion"]) == {"MA", "HE", "EX", "SE"}  # what IDRiD annotates
    assert lesions.groupby("part")["image"].nunique().to_dict() == {"test": 2, "val": 1}
    assert not lesions.duplicated(["image", "part", "lesion"]).any()
    inside = lesions["hist_in"].map(sum)
    assert (inside == lesions["tp"] + lesions["fn"]).all()
    assert (inside[lesions["lesion"] == "EX"] > 0).all()
    presence = tables(whole[1], "marks", "predictions")
    assert (presence["lesion_MA"] == 1).all()
    assert (presence["lesion_NV"] == -1).all()
    assert not presence["lesion_NV_annotated"].any()
    odd = presence["image"].str.contains("[135].jpg")
    assert (presence["lesion_SE"] == odd.astype(int)).all()


def test_windows_are_classified_where_they_lie(whole: tuple[Experiment, Result]) -> None:
    windows = tables(whole[1], "patches", "windows")
    assert set(windows["label"]) <= {0, 1, 2, 3}
    assert {0, 1} <= set(windows["label"])
    assert np.allclose(windows[["p0", "p1", "p2", "p3"]].sum(axis=1), 1, atol=1e-5)
    assert (windows["grade"] == windows[["p0", "p1", "p2", "p3"]].to_numpy().argmax(1)).all()
    assert windows[["x", "y"]].ge(0).all(axis=None)
    assert windows[["x", "y"]].lt(48).all(axis=None)
    assert set(windows["size"]) == {16}


def test_a_stage_began_with_the_mapped_weights_of_an_earlier_one(
    whole: tuple[Experiment, Result], make: object
) -> None:
    from retinalab.runner.stage import build_task
    from retinalab.runner.weights import load_weights

    experiment, result = whole
    task = build_task(experiment, "severity", 0)
    fresh = {name: value.clone() for name, value in task.state_dict().items()}
    start = experiment.stages["severity"].start_from
    assert start is not None
    begun = load_weights(task, result.folder / "checkpoints", start)
    written = json.loads((result.folder / "start-severity.json").read_text())
    assert written["from"] == "marks"
    assert written["carried"] == list(begun.carried) == [n for n in fresh if n.startswith("network.encoder.")]
    assert written["added"] == [n for n in fresh if not n.startswith("network.encoder.")]
    assert written["resized"] == []
    stored = torch.load(result.folder / "checkpoints/marks/best.ckpt", weights_only=True)["state_dict"]
    for name, value in task.state_dict().items():
        expected = stored[name] if name.startswith("network.encoder.") else fresh[name]
        assert torch.equal(value, expected), name
    assert not torch.equal(fresh["network.encoder.0.weight"], stored["network.encoder.0.weight"])
    with pytest.raises(RetinalabError, match=r"Weights of stage 'marks' do not fit: .*network\.head"):
        load_weights(task, result.folder / "checkpoints", start.model_copy(update={"map": {}}))


def test_checkpoints_load_as_plain_data_and_give_equal_outputs(whole: tuple[Experiment, Result]) -> None:
    experiment, result = whole
    for stage in experiment.stages:
        kind = task_class(experiment.stages[stage].task.name)
        path = result.folder / "checkpoints" / stage / "best.ckpt"
        first = kind.load_from_checkpoint(path, weights_only=True, map_location="cpu").eval()
        second = kind.load_from_checkpoint(path, weights_only=True, map_location="cpu").eval()
        images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        assert torch.equal(first(images), second(images))
        assert first.config == experiment.stages[stage].task


def test_validation_logs_what_each_kind_of_task_gives(whole: tuple[Experiment, Result]) -> None:
    logged = {
        stage: set(pd.read_csv(whole[1].folder / "history" / stage / "metrics.csv").columns)
        for stage in whole[0].stages
    }
    assert {"val/lesion/MA/f1", "val/lesion/MA/image_f1", "val/marks", "train/marks"} <= logged["marks"]
    assert {"val/windows/accuracy", "val/loss", "train/loss"} <= logged["patches"]
    assert {"val/dr/kappa", "val/dme/accuracy", "val/joint/accuracy"} <= logged["severity"]


def test_networks_of_one_disease_each_are_judged_together(make: object) -> None:
    result = run(make("apart"))  # type: ignore[operator]
    table = result.predictions
    assert {"dr_grade", "dme_grade", "dr_score", "dme_score"} <= set(table.columns)
    assert len(table) == 12
    tested = table[table["part"] == "test"]
    both = (tested["dr"] == tested["dr_grade"]) & (tested["dme"] == tested["dme_grade"])
    figure = result.metrics["test/joint/accuracy"]
    assert (figure["value"], figure["n"]) == (pytest.approx(both.mean()), 8)


def test_stages_on_different_sets_are_judged_in_one_result(make: object) -> None:
    result = run(make("whole", "test={stages: [marks, patches, severity]}"))  # type: ignore[operator]
    keys = set(result.metrics)
    assert {"test/dr/kappa", "test/joint/accuracy", "test@idrid/lesion/EX/f1"} <= keys
    assert {"test@idrid/lesion/EX/image_f1", "test@idrid/windows/accuracy"} <= keys
    assert result.metrics["test/dr/accuracy"]["n"] == 8
    assert result.metrics["test@idrid/lesion/EX/image_f1"]["n"] == 2


def test_two_stages_that_predict_the_same_disease_are_not_mixed(make: object) -> None:
    with pytest.raises(RetinalabError, match=r"Stages 'dr' and 'dme' both predict dr"):
        run(make("apart", "dme.diseases=[dr]"))  # type: ignore[operator]


def test_a_metric_that_is_never_defined_chooses_no_checkpoint(make: object, tmp_path: Path) -> None:
    """Lightning would keep the first epoch's weights and say nothing."""
    root = write_fake_set("table", tmp_path / "set", 16)
    pd.read_csv(root / "records.csv").assign(dme="").to_csv(root / "records.csv", index=False)
    experiment = make("one", f"data.root={root}", "train.trainer.monitor=val/joint/accuracy")  # type: ignore[operator]
    with pytest.raises(RetinalabError, match=r"val/joint/accuracy was undefined in every validation"):
        run(experiment)
