"""Figure 2: sizes, numbers of parameters and the ways that gradients take."""

from __future__ import annotations

import pytest
import torch
from retinalab_clpi.backbone import grading_backbone, spread
from retinalab_clpi.network import CLPI, AttentionGrader, PlainGrader
from torch import nn
from torch.nn import functional as F

from retinalab.errors import RetinalabError


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small(**options: object) -> CLPI:
    torch.manual_seed(0)
    return CLPI({"dr": 5}, "resnet18", widths="code", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("grades", "parameters"), [(5, 16_089_829), (2, 16_086_754)])
def test_parameters_of_the_framework(grades: int, parameters: int) -> None:
    network = CLPI({"dr": grades})
    assert count(network) == parameters
    assert count(network.backbone) == 6_982_080
    assert count(network.integration) == 1_049_600 + 2_048


def test_sizes() -> None:
    given = CLPI({"dr": 5}).eval()(torch.rand(1, 3, 256, 256))
    assert given.logits["dr"].shape == (1, 5)
    assert given.lesions is not None
    assert given.lesions.shape == (1, 4, 4, 4)
    assert given.features.shape == (1, 1024, 4, 4)


def generators_gradient(network: CLPI) -> float | None:
    network.train()(torch.rand(2, 3, 128, 128)).logits["dr"].square().sum().backward()
    gradients = [p.grad for p in network.generator.parameters()]
    if all(gradient is None for gradient in gradients):
        return None
    return float(sum(gradient.abs().sum() for gradient in gradients if gradient is not None))


def test_without_the_shortcut_grades_reach_the_generator_through_the_attention_only() -> None:
    assert generators_gradient(small(shortcut=False, gradient="shortcut")) is None
    assert generators_gradient(small(shortcut=False, gradient="all"))
    assert generators_gradient(small())
    assert generators_gradient(small(gradient="none")) is None


def test_the_attention_adds_a_gradient_to_the_shortcuts() -> None:
    """Same weights, same photographs: the shortcut's part is not all of it."""
    found = []
    for gradient in ("shortcut", "all"):
        network = small(gradient=gradient)
        torch.manual_seed(1)
        network.train()(torch.rand(2, 3, 128, 128)).logits["dr"].square().sum().backward()
        found.append(network.generator.prediction.weight.grad)
    assert not torch.allclose(found[0], found[1])  # type: ignore[arg-type]


def test_a_fixed_generator_changes_neither_its_weights_nor_its_statistics() -> None:
    for network in (small(gradient="none"), AttentionGrader({"dr": 5}, "resnet18", widths="code")):
        before = {key: value.clone() for key, value in network.generator.state_dict().items()}
        network.train()(torch.rand(2, 3, 128, 128))
        assert all(torch.equal(value, before[key]) for key, value in network.generator.state_dict().items())


def test_a_generator_that_learned_from_patches_keeps_their_statistics_while_its_weights_learn() -> None:
    for statistics, changes in (("keep", False), ("update", True)):
        network = small(statistics=statistics).train()
        before = {key: value.clone() for key, value in network.generator.state_dict().items()}
        network(torch.rand(2, 3, 128, 128)).logits["dr"].square().sum().backward()
        means = [key for key in before if key.endswith("running_mean")]
        after = network.generator.state_dict()
        assert means
        assert all(torch.equal(after[key], before[key]) != changes for key in means)
        norms = [module for module in network.generator.modules() if isinstance(module, nn.BatchNorm2d)]
        assert all(module.weight.grad is not None for module in norms)


def test_a_backbone_that_reduces_otherwise_is_refused() -> None:
    with pytest.raises(RetinalabError, match="reduces 32 times"):
        CLPI({"dr": 5}, "inception_v4", widths="code").eval()(torch.rand(1, 3, 256, 256))


def test_stored_weights_answer_a_weighted_photograph_as_they_did_the_photograph() -> None:
    torch.manual_seed(0)
    stored = nn.Conv2d(3, 8, 7, 2, 3, bias=False).double()
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
    photograph = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    attention = torch.full((1, 4, 32, 32), 0.25, dtype=torch.float64)
    weighted = (photograph.unsqueeze(1) * (attention.unsqueeze(2) + 1)).flatten(1, 2)
    got = F.conv2d(weighted, spread(stored.weight, 4), stride=2, padding=3)
    wanted = F.conv2d(photograph / deviation, stored.weight, stride=2, padding=3)
    torch.testing.assert_close(got, wanted)
    constant = F.conv2d((mean / deviation).expand(1, 3, 32, 32), stored.weight, stride=2)
    inside = F.conv2d((photograph - mean) / deviation, stored.weight, stride=2)
    torch.testing.assert_close(F.conv2d(photograph, spread(stored.weight, 1), stride=2) - constant, inside)


def test_stored_weights_reach_the_backbone(tmp_path: object) -> None:
    import timm

    path = f"{tmp_path}/resnet18.pth"
    torch.manual_seed(5)
    model = timm.create_model("resnet18")
    torch.save(model.state_dict(), path)
    widened = grading_backbone("resnet18", path, blocks=4)
    torch.testing.assert_close(widened.net.conv1.weight, spread(model.conv1.weight, 4))  # type: ignore[union-attr,operator]
    torch.testing.assert_close(widened.net.layer1[0].conv1.weight, model.layer1[0].conv1.weight)  # type: ignore[index,union-attr]
    drawn = grading_backbone("resnet18", path, blocks=4, stem="random")
    assert not torch.allclose(drawn.net.conv1.weight[:, :3], spread(model.conv1.weight, 4)[:, :3])  # type: ignore[union-attr,index,operator]


def test_the_compared_classifiers_take_photographs_and_patches() -> None:
    for network in (
        PlainGrader({"dr": 5}, "resnet18"),
        AttentionGrader({"dr": 5}, "resnet18", widths="code"),
    ):
        assert network.eval()(torch.rand(2, 3, 128, 128)).logits["dr"].shape == (2, 5)
        assert network.eval()(torch.rand(2, 3, 68, 68), patches=True).logits["dr"].shape == (2, 5)
