"""Files of weights: named, fetched, brought, verified; never read where they are others than were fetched."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors.torch import save_file

from retinalab.cli import main
from retinalab.errors import RetinalabError
from retinalab.tasks import pretrained
from retinalab.tasks.network import timm_model
from retinalab.tasks.pretrained import VARIABLE, WeightsFile, check_folder, fetch, needed
from retinalab.tasks.segmenter import LesionMaps


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(5)
    state = timm.create_model("resnet18").state_dict()
    file = tmp_path / "model.safetensors"
    save_file({name: one.contiguous() for name, one in state.items()}, file)
    return file, state


@pytest.fixture
def folder(tmp_path: Path, published: tuple[Path, Any]) -> Path:
    fetch([needed("timm", "resnet18")], tmp_path / "brought", lambda *_: published[0])
    return tmp_path / "brought"


def test_files_are_those_that_the_libraries_name() -> None:
    config = timm.get_pretrained_cfg("resnet18")
    wanted = needed("timm", "resnet18")
    assert (wanted.model, wanted.repository) == (f"resnet18.{config.tag}", config.hf_hub_id)
    assert needed("timm", f"resnet18.{config.tag}") == wanted
    assert needed("smp", "tu-resnet18") == wanted
    encoder = needed("smp", "resnet18")
    assert encoder.file == "smp-resnet18.imagenet.safetensors"
    assert len(encoder.revision) == 40
    with pytest.raises(RetinalabError, match="publishes no weights"):
        needed("timm", "resnet18000")


def test_what_is_brought_is_loaded_without_a_network(
    folder: Path, published: tuple[Path, dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, state = published
    listed = json.loads((folder / "weights.json").read_text())["files"]
    assert [one["sha256"] for one in listed] == [hashlib.sha256(file.read_bytes()).hexdigest()]
    monkeypatch.setenv(VARIABLE, str(folder))
    made = timm_model("resnet18", "timm", num_classes=0).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in made.items())
    by_name = timm_model("resnet18", str(folder / listed[0]["file"]), num_classes=0).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in by_name.items())


def test_a_file_that_was_changed_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = next(folder.glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert check_folder(folder) == [(file.name, "is damaged: its sha256 is another")]
    monkeypatch.setenv(VARIABLE, str(folder))
    for weights in ("timm", str(file)):
        with pytest.raises(RetinalabError, match="is damaged"):
            timm_model("resnet18", weights)
    assert main(["weights", "check", str(folder)]) == 1


def test_encoders_take_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(6)
    encoder: Any = LesionMaps("unet", "resnet18").maps.encoder
    file = tmp_path / "encoder.safetensors"
    save_file({name: one.contiguous() for name, one in encoder.state_dict().items()}, file)
    fetch([needed("smp", "resnet18")], tmp_path / "brought", lambda *_: file)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "brought"))
    torch.manual_seed(7)
    brought: Any = LesionMaps("unet", "resnet18", "hub").maps.encoder
    mine, theirs = brought.state_dict(), encoder.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_without_a_network_the_error_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    def unreachable(*_: Any, **__: Any) -> Any:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(RetinalabError) as error:
        timm_model("resnet18", "timm")
    said = str(error.value)
    assert "retinalab weights fetch PAPER EXPERIMENT --out FOLDER" in said
    assert f"{VARIABLE}=FOLDER" in said
    assert f"task.weights=FOLDER/{needed('timm', 'resnet18').file}" in said
    assert len(said.splitlines()) == 1


def test_a_whole_file_is_not_fetched_again_and_a_wrong_one_never_kept(
    folder: Path, tmp_path: Path, published: tuple[Path, Any]
) -> None:
    def never(*_: Any) -> Path:
        raise AssertionError

    assert [now for _, now in fetch([needed("timm", "resnet18")], folder, never)] == [False]
    wrong = WeightsFile("timm", "net.tag", "net.pth", "", "", "net-01234567.pth", "01234567")
    with pytest.raises(RetinalabError, match="published is 01234567"):
        fetch([wrong], tmp_path / "other", lambda *_: published[0])
    assert not [one for one in (tmp_path / "other").iterdir() if "net" in one.name]

    def unreachable(*_: Any) -> Path:
        raise OSError("no network")

    with pytest.raises(RetinalabError, match="machine with a network"):
        fetch([wrong], tmp_path / "other", unreachable)


def test_no_network_is_one_line_whatever_the_hubs_client_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A client's own error of connection is no OSError."""
    family = HfHubHTTPError.__bases__[0]
    lost = type("ConnectError", (family,), {})("Name or service not known")

    def unreachable(*_: Any, **__: Any) -> Any:
        raise lost

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    words = ["canet", "synthetic", "train.task.backbone=resnet18"]
    assert main(["weights", "list", *words]) == 0
    assert "told when fetched" in capsys.readouterr().out
    assert main(["weights", "fetch", *words, "--out", str(tmp_path / "brought")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be fetched (ConnectError)" in line
    assert "machine with a network" in line


@pytest.mark.parametrize(
    "text", ["[]", '{"files": [{"file": "../../x"}]}', "{", '{"files": [{"file": "a"}]}']
)
def test_a_hostile_list_is_one_line(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "weights.json").write_text(text)
    monkeypatch.setenv(VARIABLE, str(folder))
    with pytest.raises(RetinalabError, match="cannot be read as a list of weights"):
        timm_model("resnet18", "timm")


def test_a_variable_that_names_no_such_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(RetinalabError, match=f"{VARIABLE}=.* names no folder of weights"):
        timm_model("resnet18", "timm")


def test_the_commands(
    tmp_path: Path,
    published: tuple[Path, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pretrained, "described", lambda wanted: wanted)
    monkeypatch.setattr(pretrained, "_download", lambda *_: published[0])
    assert main(["weights", "list", "canet", "synthetic", "train.task.backbone=resnet18"]) == 0
    listed = capsys.readouterr().out
    assert needed("timm", "resnet18").repository in listed
    assert all(len(line) <= 80 for line in listed.splitlines())
    words = ["canet", "synthetic", "train.task.backbone=resnet18", "--out", str(tmp_path / "brought")]
    assert main(["weights", "fetch", *words]) == 0
    assert main(["weights", "check", str(tmp_path / "brought")]) == 0
    assert " ok" in capsys.readouterr().out
    assert main(["weights", "check", str(tmp_path)]) == 2
    assert main(["weights", "list", "ellg", "synthetic", "train.task.backbone=null"]) in (0, 2)


def test_a_list_names_each_file_once_and_who_reads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    assert main(["weights", "list", "sian"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("file ") == 1
    assert "  not used by l-net, sian (weights: none)\n" in listed
    assert main(["weights", "list", "canet", "messidor"]) == 0
    assert "  used by train (weights: timm)\n" in capsys.readouterr().out
