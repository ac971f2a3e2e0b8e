"""Files that a finished run's networks are written to."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from retinalab.cli import main
from retinalab.errors import RetinalabError
from retinalab.export import write
from retinalab.export.photographs import check_set
from retinalab.export.write import Exported, export_run
from retinalab.predict.finished import FinishedRun, read_finished
from retinalab.predict.photograph import Photograph
from retinalab.predict.predictor import Predictor
from retinalab.predict.prepare import read_working

WITHOUT_TORCH = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "retinalab"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
names = [one.name for one in session.get_outputs()]
found = session.run(names, {session.get_inputs()[0].name: numpy.load(sys.argv[2])})
assert "torch" not in sys.modules
print(json.dumps({name: one.tolist() for name, one in zip(names, found)}))
"""


@pytest.fixture(scope="module")
def exported(averaged: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_run(averaged, "onnx", tmp_path_factory.mktemp("exported") / "model.onnx")


def test_every_output_is_compared_on_the_validation_photographs(
    exported: Exported, averaged: FinishedRun
) -> None:
    assert exported.outputs == ("dr_grade", "dr_probabilities", "dme_grade", "dme_probabilities")
    assert [one.name for one in exported.compared] == list(exported.outputs)
    assert all(one.passed and one.photographs for one in exported.compared)
    assert "validation photographs (table)" in exported.photographs
    assert exported.networks == len(averaged.members) == 2


def test_onnxruntime_answers_as_predict_does_without_torch(
    exported: Exported, averaged: FinishedRun, fake_sets: Path, tmp_path: Path
) -> None:
    paths = sorted((fake_sets / "table/images").iterdir())[:5]
    size = averaged.experiment.stages["train"].data.size
    np.save(tmp_path / "photographs.npy", np.stack([read_working(path, size).pixels for path in paths]))
    command = [sys.executable, "-c", WITHOUT_TORCH, str(exported.path), str(tmp_path / "photographs.npy")]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    predictor = Predictor(averaged, torch.device("cpu"))
    predicted = list(predictor.predict(Photograph(path.name, path) for path in paths))
    for disease in ("dr", "dme"):
        answers = [one.answers[disease] for one in predicted]
        assert found[f"{disease}_grade"] == [one.grade for one in answers]
        # predict rounds resized pixels to whole levels on a processor
        np.testing.assert_allclose(
            found[f"{disease}_probabilities"], [one.probabilities for one in answers], atol=2e-3
        )


def test_the_file_says_what_it_is_and_what_it_must_not_be_used_for(exported: Exported) -> None:
    model = onnx.load(exported.path)
    onnx.checker.check_model(model)
    said = {one.key: one.value for one in model.metadata_props}
    assert said["use"].startswith("Research use only")
    assert "Research use only" in model.doc_string
    assert said["paper"] == "baseline"
    assert json.loads(said["protocol"])["diseases"] == {"dr": "icdr5", "dme": "risk3"}
    outputs = json.loads(said["outputs"])
    assert outputs["dr_grade"]["levels"][0] == "no retinopathy" or len(outputs["dr_grade"]["levels"]) == 5
    assert set(json.loads(said["thresholds"])) == {"dr", "dme"}
    data = json.loads(said["data"])["table"]
    assert data["licence"]
    assert data["fingerprints"]["train"]
    assert data["photographs"]["train"]["val"] > 0
    provenance = json.loads(said["provenance"])
    assert provenance["run"]
    assert provenance["code"]["tasks"]
    assert provenance["commit"]
    assert json.loads(said["networks"])[1] == {"fold_and_seed": "seed-1", "stage": "train"}


def test_the_check_set_is_drawn_where_the_photographs_are_gone(averaged: FinishedRun, tmp_path: Path) -> None:
    stage = averaged.experiment.stages["train"]
    gone = stage.model_copy(update={"data": stage.data.model_copy(update={"root": tmp_path / "gone"})})
    experiment = averaged.experiment.model_copy(update={"stages": {"train": gone}})
    found = check_set(replace(averaged, experiment=experiment), averaged.members, 4)
    assert found.pixels.shape == (4, 64, 64, 3)
    assert found.said.startswith("4 drawn photographs and noise, since the validation photographs")


def test_a_file_that_answers_otherwise_is_not_kept(
    averaged: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model.pt2"
    target.write_text("what stood there before")
    honest = write.reference_answers

    def shifted(*given: object) -> dict[str, np.ndarray]:
        answers = honest(*given)  # type: ignore[arg-type]
        answers["dme_probabilities"] = answers["dme_probabilities"] + 2e-4
        return answers

    monkeypatch.setattr(write, "reference_answers", shifted)
    with pytest.raises(RetinalabError, match=r"was not written.*dme_probabilities differs by up to 2.0e-04"):
        export_run(read_finished(averaged.members[0].checkpoint), "torch", target, photographs=4)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]
    assert target.read_text() == "what stood there before"


def test_packages_that_are_absent_are_named(
    averaged: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(RetinalabError, match=r"needs no_such_package.*retinalab\[export\]"):
        export_run(averaged, "onnx", tmp_path / "model.onnx")


def test_the_command_refuses_another_ending_and_an_absent_folder(
    averaged: FinishedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(averaged.path), "--to", "onnx", "--out", str(tmp_path / "model.pt")]) == 2
    assert "does not end in .onnx" in capsys.readouterr().err
    assert main(["export", str(averaged.path), "--to", "torch", "--out", str(tmp_path / "no/model.pt2")]) == 2
    assert "folder that exists" in capsys.readouterr().err


def test_the_command_writes_a_program_of_torch_and_prints_the_comparison(
    averaged: FinishedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = averaged.members[0].checkpoint
    assert main(["export", str(checkpoint), "--to", "pt2", "--out", str(tmp_path / "one.pt2")]) == 0
    said = capsys.readouterr().out
    assert "dr_probabilities         largest difference" in said
    assert "Licence of the data: table:" in said
    assert "Research use only" in said
    assert "dr_grade                 same grade in" in said
    extra = {write.METADATA: ""}
    torch.export.load(tmp_path / "one.pt2", extra_files=extra)
    assert json.loads(extra[write.METADATA])["networks"] == [{"fold_and_seed": "seed-0", "stage": "train"}]
