"""The networks: published sizes, directions, and a gradient for every parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest
import torch
from retinalab_canet.backbone import Backbone
from retinalab_canet.build import build_network
from retinalab_canet.config import CanetConfig, Variant
from retinalab_canet.loss import joint_grading_loss
from retinalab_canet.network import CANet
from torch import nn

from retinalab.errors import RetinalabError

MESSIDOR = {"dr": 2, "dme": 3}
IDRID = {"dr": 5, "dme": 3}
VARIANTS = get_args(Variant)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def build(grades: Mapping[str, int], **options: Any) -> nn.Module:
    return build_network(CanetConfig.model_validate(options), grades)


@pytest.mark.parametrize(
    ("options", "grades", "expected"),
    [
        ({}, MESSIDOR, 29_032_082),
        ({}, IDRID, 29_038_232),
        ({"dependence": "none"}, MESSIDOR, 28_767_762),
        ({"dependence": "dr2dme"}, MESSIDOR, 28_767_762 + 132_160),
        ({"variant": "joint"}, {"dr": 2}, 23_512_130),
        ({"variant": "joint"}, {"dme": 3}, 23_514_179),
        ({"variant": "joint"}, MESSIDOR, 23_518_277),
        ({"variant": "joint-complex"}, MESSIDOR, 29_039_737),
        ({"variant": "joint-complex-v2"}, MESSIDOR, 29_084_781),
        # 2048x1024 shared, then 1024x256, 256x128 and 128 x grades for each disease, all with biases
        (
            {"variant": "multi-task"},
            MESSIDOR,
            23_508_032 + 2049 * 1024 + 2 * (1025 * 256 + 257 * 128) + 129 * (2 + 3),
        ),
        # 2048x256 for DME, its classifier, and DR's classifier on both
        ({"variant": "mtmr"}, MESSIDOR, 23_508_032 + 2049 * 256 + 257 * 3 + 2305 * 2),
    ],
)
def test_sizes_are_the_published_ones(options: dict[str, Any], grades: dict[str, int], expected: int) -> None:
    with torch.device("meta"):
        assert count(build(grades, **options)) == expected


def test_sizes_of_the_parts() -> None:
    with torch.device("meta"):
        network = CANet("resnet50", MESSIDOR)
    assert count(network.backbone) == 23_508_032
    assert count(network.specific["dr"]) == count(network.specific["dme"]) == 526_564
    assert count(network.dependent["dr2dme"]) == count(network.dependent["dme2dr"]) == 132_160
    assert count(network.projection["dr"]) == 2_098_176


def test_three_diseases_have_six_directions() -> None:
    with torch.device("meta"):
        network = CANet("resnet50", {"dr": 5, "dme": 3, "glaucoma": 2})
    assert len(network.dependent) == 6
    assert count(network) == 23_508_032 + 3 * (526_564 + 2_098_176) + 6 * 132_160 + 2 * 1025 * (5 + 3 + 2)


def test_the_published_batch_has_the_published_shapes() -> None:
    network = CANet("resnet50", MESSIDOR).eval()
    with torch.no_grad():
        logits = network(torch.randn(8, 3, 64, 64))
    assert [tuple(value.shape) for value in logits.refined.values()] == [(8, 2), (8, 3)]
    assert [tuple(value.shape) for value in logits.specific.values()] == [(8, 2), (8, 3)]


@pytest.mark.parametrize("dependence", ["none", "dr2dme", "dme2dr", "both"])
def test_equation_6_and_its_directions(dependence: str) -> None:
    network = CANet("resnet18", IDRID, dependence=dependence, features=32).eval()
    vectors = {"dr": torch.randn(2, 32), "dme": torch.randn(2, 32)}
    with torch.no_grad():
        refined = network.refine(vectors)
        for source, target in (("dr", "dme"), ("dme", "dr")):
            expected = vectors[target]
            if dependence in ("both", f"{source}2{target}"):
                layers = network.dependent[f"{source}2{target}"].mlp
                expected = expected + torch.sigmoid(2 * layers(vectors[source])) * vectors[source]
            torch.testing.assert_close(refined[target], expected)


def test_every_source_helps_its_target_once_with_three_diseases() -> None:
    network = CANet("resnet18", {"dr": 5, "dme": 3, "amd": 2}, features=16).eval()
    vectors = {d: torch.randn(2, 16) for d in ("dr", "dme", "amd")}
    with torch.no_grad():
        helped = (
            vectors["amd"]
            + network.dependent["dr2amd"](vectors["dr"])
            + network.dependent["dme2amd"](vectors["dme"])
        )
        torch.testing.assert_close(network.refine(vectors)["amd"], helped)


def test_the_paper_s_equation_5_halves_the_argument() -> None:
    code = CANet("resnet18", IDRID, features=32)
    paper = CANet("resnet18", IDRID, features=32, dependent_attention="paper")
    paper.load_state_dict(code.state_dict())
    given = torch.randn(3, 32)
    inner = code.dependent["dr2dme"].mlp(given)
    torch.testing.assert_close(code.dependent["dr2dme"](given), torch.sigmoid(2 * inner) * given)
    torch.testing.assert_close(paper.dependent["dr2dme"](given), torch.sigmoid(inner) * given)


@pytest.mark.parametrize(
    "options",
    [
        *({"variant": variant} for variant in VARIANTS),
        {"dependence": "none"},
        {"dependence": "dr2dme"},
        {"dependent_attention": "paper", "spatial_norm": False, "spatial_bias": True, "mlp_bias": False},
        {"dropout_place": "pooled"},
        {"backbone": "densenet121"},
    ],
    ids=str,
)
def test_a_gradient_reaches_every_parameter(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build(IDRID, **{"backbone": "resnet18", "dropout": 0.0, "reduction": 4, **options}).train()
    logits = network(torch.randn(4, 3, 64, 64))
    grades = {"dr": torch.tensor([0, 1, 4, 2]), "dme": torch.tensor([0, 2, 1, -1])}
    joint_grading_loss(logits, grades).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_without_its_weight_the_specific_loss_still_takes_part() -> None:
    network = build(IDRID, backbone="resnet18", features=16)
    logits = network(torch.randn(2, 3, 64, 64))
    joint_grading_loss(logits, {"dr": torch.tensor([0, 1]), "dme": torch.tensor([2, 0])}, 0.0).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet34", 512),
        ("densenet121", 1024),
        ("convnext_atto", 320),
        ("mobilenetv3_small_050", 1024),
        ("swin_tiny_patch4_window7_224", 768),
        ("vit_tiny_patch16_224", 192),
    ],
)
def test_any_timm_backbone_gives_a_map(name: str, channels: int) -> None:
    backbone = Backbone(name).eval()
    side = 224 if "224" in name else 64
    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, side, side))
    assert features.shape[1] == backbone.channels == channels
    assert features.shape[2] == features.shape[3] == (14 if name.startswith("vit") else side // 32)


def test_densenet_161_is_what_table_vi_says() -> None:
    with torch.device("meta"):
        assert count(build(MESSIDOR, variant="joint", backbone="densenet161")) == 26_472_000 + 2209 * 5


def test_initialisation_is_kaiming_by_fan_out() -> None:
    torch.manual_seed(0)
    network = CANet("resnet50", MESSIDOR)
    weight = network.get_parameter("backbone.net.layer4.0.conv2.weight")
    assert weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert network.get_parameter("backbone.net.layer4.2.bn3.weight").unique().tolist() == [1.0]
    spatial = torch.stack([network.specific[d].spatial.conv.weight for d in MESSIDOR])
    assert spatial.std().item() == pytest.approx((2 / 49) ** 0.5, rel=0.3)


@pytest.mark.parametrize(
    ("place", "shapes"),
    [("features", [(2, 512, 2, 2)]), ("pooled", [(2, 512), (2, 512)])],
    ids=["features", "pooled"],
)
@pytest.mark.parametrize("variant", ["canet", "joint"])
def test_dropout_is_on_values_of_the_map_or_of_the_vector(
    variant: str, place: str, shapes: list[tuple[int, ...]]
) -> None:
    seen: list[tuple[int, ...]] = []
    network = build(
        IDRID, variant=variant, backbone="resnet18", features=16, dropout_place=place, dropout=0.5
    )
    network.get_submodule("dropout").register_forward_hook(
        lambda _, given, __: seen.append(tuple(given[0].shape))
    )
    network(torch.randn(2, 3, 64, 64))
    assert seen == (shapes if variant == "canet" else shapes[:1])


def test_mtmr_hands_the_last_disease_s_features_to_the_other() -> None:
    network = build(IDRID, variant="mtmr", backbone="resnet18").eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = network(images).refined
        network.get_parameter("branch.bias").add_(1.0)
        after = network(images).refined
        pooled = network.get_submodule("backbone")(images).mean((2, 3))
        given = network.get_submodule("branch")(pooled)
        torch.testing.assert_close(
            after["dr"], network.get_submodule("head.dr")(torch.cat([pooled, given], 1))
        )
    assert not torch.equal(before["dr"], after["dr"])
    assert not torch.equal(before["dme"], after["dme"])


def test_faults_name_the_remedy() -> None:
    with pytest.raises(RetinalabError, match="Did you mean 'resnet50'"):
        Backbone("resnet5O")
    with pytest.raises(RetinalabError, match=r"absent\.pth"):
        Backbone("resnet18", "absent.pth")
    with pytest.raises(RetinalabError, match="Use variant=canet"):
        build(IDRID, variant="joint", checkpoint="canet.pth")


def test_backbone_weights_come_from_a_file_and_are_left_alone(tmp_path: Any) -> None:
    torch.manual_seed(1)
    source = Backbone("resnet18")
    path = tmp_path / "weights.pth"
    torch.save(source.net.state_dict(), path)
    loaded = CANet("resnet18", IDRID, weights=str(path)).backbone.net.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in source.net.state_dict().items())
