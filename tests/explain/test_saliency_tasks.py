"""Every network that grades names its feature maps, in the right place; those that cannot say so in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.explain import default_layers, saliency_maps
from retinalab.explain.activations import captured, explained
from retinalab.registry import task_class, task_config
from retinalab.tasks import Task
from retinalab.tasks.network import timm_feature_maps, timm_model

SCALES = {"dr": "icdr5", "dme": "risk3"}
RESNET = ["act1", "layer1", "layer2", "layer3", "layer4"]
SMALL = {"backbone": "test_resnet"}
LESIONS = {"lesions": "l-net-32s", "width": 8}


def made(name: str, **options: Any) -> Task:
    torch.manual_seed(1)
    config = task_config(name).model_validate({"name": name, **options})
    task: Task = task_class(name)(config, SCALES)
    return task.eval()


def noise(side: int = 64) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(3))


TASKS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("baseline", SMALL, RESNET),
    ("baseline", {"backbone": "test_convnext"}, [f"stages.{i}" for i in range(4)]),
    (
        "baseline",
        {"backbone": "test_efficientnet", "presence_weight": 0.1},
        [f"blocks.{i}" for i in range(5)],
    ),
    ("canet", {**SMALL, "features": 16}, RESNET),
    ("canet", {**SMALL, "variant": "joint-complex"}, RESNET),
    ("canet", {**SMALL, "variant": "multi-task"}, RESNET),
    ("canet", {**SMALL, "variant": "mtmr"}, RESNET),
    ("clpi", {**SMALL, "widths": "code"}, RESNET),
    ("clpi", {**SMALL, "widths": "code", "variant": "attention"}, RESNET),
    ("clpi", {**SMALL, "variant": "plain"}, RESNET),
    ("sian", {**SMALL, **LESIONS}, RESNET),
    ("sian", {**SMALL, **LESIONS, "variant": "concat"}, RESNET),
    ("sian", {**SMALL, "variant": "plain"}, RESNET),
    ("sian", {**SMALL, "variant": "abn"}, ["extractor", "perception"]),
]


@pytest.mark.parametrize(("name", "options", "names"), TASKS)
def test_maps_from_low_to_high_behind_which_the_score_lies(
    name: str, options: dict[str, Any], names: list[str]
) -> None:
    task, images = made(name, **options), noise()
    maps = task.feature_maps()
    assert list(maps) == names
    given = explained(task, images, "dme", list(maps), torch.tensor([2, 0]))
    sides = [value.shape[-1] for value in given.activations.values()]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] > sides[-1]
    for gradients in given.gradients.values():
        assert gradients.abs().sum((1, 2, 3)).gt(0).all()
    with torch.no_grad():
        output = task(images)
        logits = task.logits(output)
        assert torch.allclose(
            given.scores, torch.stack([logits["dme"][0, 2], logits["dme"][1, 0]]), atol=1e-5
        )
        assert torch.equal(task.score(output, "dr"), logits["dr"].amax(1))
        batch: Batch = {"image": images, "grades": dict.fromkeys(SCALES, torch.tensor([0, 1]))}
        batch["present"] = torch.full((2, 8), torch.nan)
        probabilities = task.outputs(batch).grades
    assert torch.allclose(logits["dr"].softmax(1), probabilities["dr"], atol=1e-6)
    found = saliency_maps(task, images, "dr", "gmsm", t=0.0)
    assert found.shape == images[:, 0].shape
    assert found.isfinite().all()
    assert found.amax() > 0


def test_a_severity_is_its_own_score() -> None:
    task, images = made("baseline", output="severity", **SMALL), noise(64)
    with torch.no_grad():
        output = task(images)
    assert torch.equal(task.score(output, "dr", torch.tensor([4, 4])), output["dr"][:, 0])
    with pytest.raises(RetinalabError, match=r"Unknown disease 'amd'\. .*Choices: dme, dr\."):
        task.score(output, "amd")


def test_clpi_is_explained_behind_its_attention_and_before_its_shortcut() -> None:
    task = made("clpi", widths="code", **SMALL)
    network: Any = task.network
    seen: dict[str, Tensor] = {}
    network.backbone.register_forward_hook(lambda _, given, out: seen.update(weighted=given[0], features=out))
    network.integration.register_forward_hook(lambda _, given, __: seen.update(joined=given[0]))
    with torch.no_grad(), captured(task.feature_maps()) as found:
        task(noise())
    assert seen["weighted"].shape[1] == 12
    assert torch.equal(found["layer4"], seen["features"])
    assert torch.equal(found["layer4"], seen["joined"][:, :-1])


def test_densenet_ends_rectified_before_the_shortcut() -> None:
    maps = timm_feature_maps(timm_model("densenet121", num_classes=0, global_pool="", in_chans=12))
    assert list(maps)[-1] == "features.norm5"
    assert default_layers(maps) == ("features.denseblock2", "features.norm5")


def test_sian_is_explained_before_its_lesion_maps_weigh_the_features() -> None:
    task = made("sian", **SMALL, **LESIONS)
    network: Any = task.network
    with torch.no_grad():
        main = network.main(noise())[32]
        with captured(task.feature_maps()) as found:
            given = task(noise())
    assert torch.equal(found["layer4"], main)
    assert not torch.equal(given.features, main)


def test_inception_of_sian_by_its_reductions() -> None:
    with torch.device("meta"):
        config = task_config("sian").model_validate({"name": "sian", "variant": "plain"})
        maps = task_class("sian")(config, SCALES).feature_maps()
    assert list(maps) == ["Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"]
    assert default_layers(maps) == ("Mixed_5d", "Mixed_7c")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"features_only": True}),
        ("densenet121", {"features_only": True}),
        ("efficientnet_b0", {"features_only": True}),
        ("vgg11", {"num_classes": 0}),
        ("mobilenetv3_small_050", {"num_classes": 0}),
        ("regnetx_002", {"num_classes": 0}),
    ],
)
def test_backbones_of_every_build(name: str, options: dict[str, Any]) -> None:
    with torch.device("meta"):
        net = timm_model(name, **options).eval()
        images = torch.zeros(2, 3, 64, 64)
    maps = timm_feature_maps(net)
    with torch.no_grad(), captured(maps) as found:
        net(images)
    sides = [found[layer].shape[-1] for layer in maps]
    assert sides == sorted(sides, reverse=True)
    assert sides[-1] == 2


@pytest.mark.parametrize("backbone", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_tokens_and_channels_last_maps_are_refused(backbone: str) -> None:
    with torch.device("meta"):
        net = timm_model(backbone)
    with pytest.raises(RetinalabError, match=rf"{backbone}' has no feature maps .* convolutional") as error:
        timm_feature_maps(net)
    assert "\n" not in str(error.value)


def test_what_names_no_feature_maps_is_refused() -> None:
    with pytest.raises(RetinalabError, match="'Conv2d' does not name its feature maps"):
        timm_feature_maps(nn.Conv2d(3, 3, 1))
    task = task_class("l-net")({"name": "l-net", "network": "l-net-32s", **SMALL}, {})
    with pytest.raises(RetinalabError, match=r"Task 'l-net' names no feature maps") as error:
        task.feature_maps()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("backbone", "reason"), [("test_convnext", "does more than pool")])
def test_a_cam_that_would_not_explain_the_answer_is_refused(backbone: str, reason: str) -> None:
    with pytest.raises(RetinalabError, match=reason):
        saliency_maps(made("baseline", backbone=backbone), noise(), "dr", "cam")
    with pytest.raises(RetinalabError, match="has no plain class activation map"):
        saliency_maps(made("canet", features=16, **SMALL), noise(), "dr", "cam")
