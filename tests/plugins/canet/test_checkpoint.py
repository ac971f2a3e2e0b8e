"""The authors' checkpoints, against their network built apart: torchvision's trunk, functional gates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from retinalab_canet.build import build_network
from retinalab_canet.checkpoint import authors_names, from_authors, load_authors_checkpoint, to_authors
from retinalab_canet.config import CanetConfig
from retinalab_canet.network import CANet
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18, resnet50

from retinalab.errors import RetinalabError

State = dict[str, Tensor]
GRADES = {"dr": 5, "dme": 3}


def authors_state(trunk: nn.Module, channels: int, sizes: tuple[int, int], seed: int = 0) -> State:
    """Random weights and batch statistics under the names of the published code."""
    generator = torch.Generator().manual_seed(seed)
    state = {name: value for name, value in trunk.state_dict().items() if not name.startswith("fc.")}
    shapes: dict[str, tuple[int, ...]] = {}
    for place, size in enumerate(sizes, start=1):
        gate = f"branch_bam{place}.SpatialGate.spatial"
        shapes |= {f"{gate}.conv.weight": (1, 2, 7, 7)}
        shapes |= {f"{gate}.bn.{part}": (1,) for part in ("weight", "bias", "running_mean", "running_var")}
        state[f"{gate}.bn.num_batches_tracked"] = torch.tensor(7)
        layers = {f"classifier_dep{place}": (1024, channels), f"classifier{place}": (size, 1024)}
        layers |= {f"classifier_specific_{place}": (size, 1024)}
        for bam, width in ((place, channels), (2 + place, 1024)):
            layers |= {f"branch_bam{bam}.ChannelGate.mlp.1": (width // 16, width)}
            layers |= {f"branch_bam{bam}.ChannelGate.mlp.3": (width, width // 16)}
        for name, shape in layers.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name, shape in shapes.items():
        state[name] = torch.randn(shape, generator=generator) * (
            0.5 if len(shape) == 1 else shape[-1] ** -0.5
        )
    for name, value in state.items():
        if name.endswith("running_var"):
            state[name] = torch.rand(value.shape, generator=generator) + 0.5
        elif name.endswith("running_mean"):
            state[name] = torch.randn(value.shape, generator=generator) * 0.1
        elif "bn" in name and name.endswith("weight"):
            state[name] = torch.rand(value.shape, generator=generator) * 0.5 + 0.4
    return state


def authors_outputs(trunk: nn.Module, state: State, images: Tensor) -> list[Tensor]:
    """(DR, DME, DR specific, DME specific), computed from the state alone."""

    def linear(name: str, given: Tensor) -> Tensor:
        return given @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def channel(bam: str, given: Tensor) -> Tensor:
        flat = given.flatten(2)
        raw = sum(
            linear(f"{bam}.ChannelGate.mlp.3", F.relu(linear(f"{bam}.ChannelGate.mlp.1", pooled)))
            for pooled in (flat.mean(-1), flat.max(-1).values)
        )
        return given * torch.sigmoid(torch.as_tensor(raw))[..., None, None]

    def spatial(bam: str, given: Tensor) -> Tensor:
        gate = f"{bam}.SpatialGate.spatial"
        pooled = torch.stack([given.max(1).values, given.mean(1)], 1)
        raw = F.conv2d(pooled, state[f"{gate}.conv.weight"], padding=3)
        bn = [state[f"{gate}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return given * torch.sigmoid((raw - bn[0]) / torch.sqrt(bn[1] + 1e-5) * bn[2] + bn[3])

    trunk.load_state_dict({k: v for k, v in state.items() if k in trunk.state_dict()}, strict=False)
    features = nn.Sequential(*list(trunk.eval().children())[:-2])(images)
    g1, g2 = (
        linear(
            f"classifier_dep{i}", spatial(f"branch_bam{i}", channel(f"branch_bam{i}", features)).mean((2, 3))
        )
        for i in (1, 2)
    )
    for_dme = channel("branch_bam3", g1[..., None, None])[..., 0, 0]
    for_dr = channel("branch_bam4", g2[..., None, None])[..., 0, 0]
    return [
        linear("classifier1", g1 + for_dr),
        linear("classifier2", g2 + for_dme),
        linear("classifier_specific_1", g1),
        linear("classifier_specific_2", g2),
    ]


@pytest.fixture(scope="module")
def trunk() -> nn.Module:
    torch.manual_seed(0)
    return resnet50(weights=None)


@pytest.mark.parametrize("form", ["state", "parallel", "training"])
def test_a_loaded_checkpoint_gives_the_authors_outputs(trunk: nn.Module, tmp_path: Path, form: str) -> None:
    state = authors_state(trunk, 2048, (5, 3))
    saved: Any = {f"module.{name}": value for name, value in state.items()} if form == "parallel" else state
    if form == "training":
        saved = {
            "epoch": 3,
            "arch": "resnet50",
            "best_acc1": 0.5,
            "state_dict": state,
            "optimizer": {"state": {}},
        }
    path = tmp_path / "model_converge.pth.tar"
    torch.save(saved, path)
    network = build_network(CanetConfig(checkpoint=path), GRADES).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        logits = network(images)
        expected = authors_outputs(trunk, state, images)
    got = [*logits.refined.values(), *logits.specific.values()]
    for ours, theirs in zip(got, expected, strict=True):
        assert theirs.std() > 0.05
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_names_and_shapes_are_the_published_checkpoint_s(shared_data: Path) -> None:
    listing = shared_data.parent / "papers" / "canet-checkpoint.json"
    if not listing.is_file():
        pytest.skip(f"no list of the published names at {listing}")
    published = {name: tuple(shape) for name, shape in json.loads(listing.read_text())["parameters"].items()}
    with torch.device("meta"):
        state = to_authors(CANet("resnet50", GRADES))
    assert {name: tuple(value.shape) for name, value in state.items()} == published


def test_there_and_back_changes_nothing() -> None:
    torch.manual_seed(0)
    network = CANet("resnet18", GRADES, features=32)
    back = from_authors(network, to_authors(network))
    assert all(torch.equal(value, back[name]) for name, value in network.state_dict().items())
    assert len(set(authors_names(network).values())) == len(network.state_dict())


def test_a_direction_left_out_leaves_its_attention_in_the_file() -> None:
    state = authors_state(resnet18(weights=None), 512, (5, 3))
    network = CANet("resnet18", GRADES, dependence="dr2dme")
    network.load_state_dict(from_authors(network, state))
    weight = network.dependent["dr2dme"].mlp[0].weight
    assert torch.equal(weight, state["branch_bam3.ChannelGate.mlp.1.weight"])


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    state = authors_state(resnet18(weights=None), 512, (2, 3))
    path = tmp_path / "canet.pth"
    network = CANet("resnet18", GRADES)
    with pytest.raises(RetinalabError, match="does not exist"):
        load_authors_checkpoint(network, path)
    torch.save(state, path)
    with pytest.raises(
        RetinalabError, match=r"classifier1\.weight has shape \(2, 1024\), the network's \(5, 1024\)"
    ):
        load_authors_checkpoint(network, path)
    path.write_text("not a checkpoint")
    with pytest.raises(RetinalabError, match=r"canet\.pth cannot be read"):
        load_authors_checkpoint(network, path)
    torch.save([1, 2], path)
    with pytest.raises(RetinalabError, match="holds no state_dict"):
        load_authors_checkpoint(network, path)
    state.pop("classifier2.bias")
    state["layer5.weight"] = torch.zeros(1)
    with pytest.raises(
        RetinalabError, match=r"1 names missing \(first: classifier2\.bias\), 1 unknown \(first: layer5"
    ):
        from_authors(network, state)
    with pytest.raises(RetinalabError, match="grades two diseases, this one 1: dr"):
        authors_names(CANet("resnet18", {"dr": 5}))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "canet.pth"
    torch.save({"state_dict": {}, "args": Path}, path)
    with pytest.raises(RetinalabError, match="cannot be read as tensors"):
        load_authors_checkpoint(CANet("resnet18", GRADES), path)
