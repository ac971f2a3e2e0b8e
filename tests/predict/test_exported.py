"""Exported files in the place of a run: the same answers, the same columns, and nothing run that a file smuggles in."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from retinalab.errors import RetinalabError
from retinalab.export.write import export_run
from retinalab.predict.exported import read_exported
from retinalab.predict.finished import FinishedRun
from retinalab.predict.photograph import Photograph
from retinalab.predict.predictor import Predictor
from retinalab.predict.rows import Rows


@pytest.fixture(scope="module")
def files(graded: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run as ONNX and as a program of torch.export."""
    folder = tmp_path_factory.mktemp("exported")
    made = {"onnx": folder / "model.onnx", "torch": folder / "model.pt2"}
    for to, path in made.items():
        export_run(graded, to, path, photographs=4)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("to", ["onnx", "torch"])
def test_the_same_answers_and_columns_as_the_run(
    files: dict[str, Path], graded: FinishedRun, photographs: list[Photograph], tmp_path: Path, to: str
) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    given = [*photographs[:5], Photograph("text.jpg", tmp_path / "text.jpg")]
    run, file = Predictor(graded, torch.device("cpu")), Predictor(read_exported(files[to]))
    assert Rows.of(run).header == Rows.of(file).header
    for one, other in zip(run.predict(given), file.predict(given), strict=True):
        assert (one.quality, one.reason) == (other.quality, other.reason)
        for disease, answer in one.answers.items():
            assert other.answers[disease].grade == answer.grade
            assert other.answers[disease].probabilities == pytest.approx(answer.probabilities, abs=1e-4)
    with pytest.raises(RetinalabError, match="gives no class activation maps"):
        file.check_maps()


def test_a_file_is_one_member_beside_a_run(
    files: dict[str, Path], graded: FinishedRun, photographs: list[Photograph]
) -> None:
    both = Predictor(graded, others=[read_exported(files["onnx"])])
    (alone,) = Predictor(graded).predict(photographs[:1])
    (found,) = both.predict(photographs[:1])
    assert found.answers["dr"].probabilities == pytest.approx(alone.answers["dr"].probabilities, abs=1e-4)
    assert found.answers["dr"].mutual_information == pytest.approx(0, abs=1e-6)


def other_onnx(path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]))
    onnx.save(helper.make_model(model.graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def with_metadata(source: Path, path: Path, **changed: str) -> None:
    model = onnx.load(source)
    for entry in model.metadata_props:
        entry.value = changed.get(entry.key, entry.value)
    onnx.save(model, path)


def test_other_files_are_refused_in_a_line(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"

    def said() -> str:
        with pytest.raises(RetinalabError) as error:
            read_exported(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)
        return str(error.value)

    other_onnx(path)
    assert "was not written by retinalab export: it holds no metadata" in said()
    path.write_text("hello")
    assert "cannot be read as ONNX" in said()
    with_metadata(files["onnx"], path, schema="2")
    assert "metadata of version 2; this retinalab reads up to version 1. Update" in said()
    with_metadata(files["onnx"], path, provenance="{}")
    assert "say nothing of a paper's networks" in said()
    with_metadata(files["onnx"], path, input="{}")
    assert "does not say how photographs are prepared" in said()
    path.write_bytes(files["onnx"].read_bytes()[:5000])
    assert "cannot be read as ONNX" in said()


class _Wicked:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch wicked",)


def _edit(name: str, change: Callable[[Any], None]) -> Callable[[dict[str, bytes]], None]:
    def edit(members: dict[str, bytes]) -> None:
        key = next(key for key in members if key.endswith(name))
        document = json.loads(members[key])
        change(document)
        members[key] = json.dumps(document).encode()

    return edit


def _pickled(members: dict[str, bytes]) -> None:
    def ask(document: Any) -> None:
        next(iter(document["config"].values()))["use_pickle"] = True

    _edit("model_weights_config.json", ask)(members)
    members[next(key for key in members if key.endswith("weight_0"))] = pickle.dumps(_Wicked())


def _sampled(members: dict[str, bytes]) -> None:
    content = io.BytesIO()
    torch.save(_Wicked(), content)
    members[next(key for key in members if key.endswith("sample_inputs/model.pt"))] = content.getvalue()


def _target(document: Any) -> None:
    document["graph_module"]["graph"]["nodes"][0]["target"] = "torch.hub.load"


def _expression(document: Any) -> None:
    text = json.dumps(document)
    document.update(
        json.loads(text.replace("positive=True", "positive=__import__('os').system('touch wicked')"))
    )


def _name(document: Any) -> None:
    text = json.dumps(document)
    document.update(json.loads(text.replace('"name": "photographs"', '"name": "a=exec(1)"')))


HARM: dict[str, Callable[[dict[str, bytes]], None]] = {
    "a pickled weight": _pickled,
    "pickled inputs": _sampled,
    "a target outside of aten": _edit("models/model.json", _target),
    "an expression that calls": _edit("models/model.json", _expression),
    "a name that is code": _edit("models/model.json", _name),
    "a shared library": lambda members: members.update({"program/data/aotinductor/model/a.so": b"x"}),
    "another model": lambda members: members.update({"program/models/b.json": b"{}"}),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_program_that_would_run_code_is_refused(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(files["torch"]) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    HARM[harm](members)
    with zipfile.ZipFile("wicked.pt2", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(RetinalabError, match=r"wicked\.pt2") as error:
        read_exported(Path("wicked.pt2"))
    assert "\n" not in str(error.value)
    assert not Path("wicked").exists()


def test_guards_are_never_run(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(files["torch"]) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}

    def guard(document: Any) -> None:
        document["guards_code"] = ["__import__('os').system('touch wicked') == 0"]

    _edit("models/model.json", guard)(members)
    with zipfile.ZipFile("guarded.pt2", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    size = read_exported(Path("guarded.pt2")).voice().batches.size
    assert size == 64
    assert not Path("wicked").exists()
    Path("text.pt2").write_text("hello")
    with pytest.raises(RetinalabError, match=r"text\.pt2 cannot be read as a program"):
        read_exported(Path("text.pt2"))
