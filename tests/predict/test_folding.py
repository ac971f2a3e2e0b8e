"""Batch normalisation folded into convolutions: answers, hooks and gradients stay, and what must not be folded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import timm
import torch
from retinalab_canet.network import CANet
from retinalab_clpi.network import CLPI
from retinalab_sian.network import SiAN
from torch import Tensor, nn

from retinalab.predict.folding import fold_normalisation

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def settled(network: nn.Module) -> nn.Module:
    """With statistics and scales that are not those of a network that has seen nothing."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.weight.shape
            module.running_mean = torch.randn(shape, generator=generator) * 0.2
            module.running_var = torch.rand(shape, generator=generator) + 0.5
            module.weight.data = torch.rand(shape, generator=generator) + 0.5
            module.bias.data = torch.randn(shape, generator=generator) * 0.2
    return network.eval().requires_grad_(False)


def answers(given: Any) -> list[Tensor]:
    if isinstance(given, Tensor):
        return [given]
    if isinstance(given, Mapping):
        return [one for value in given.values() for one in answers(value)]
    return [one for value in given if value is not None for one in answers(value)]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18": (lambda: timm.create_model("resnet18"), 20),
    "densenet": (
        lambda: timm.create_model("densenet121"),
        59,
    ),  # the stem's, and the first of each layer's two
    "efficientnet": (lambda: timm.create_model("efficientnet_b0"), 49),
    "canet": (lambda: CANet("resnet18", {"dr": 5, "dme": 3}), 22),
    "clpi": (lambda: CLPI({"dr": 5}, "resnet18", widths="small"), 29),
    "sian": (lambda: SiAN({"dr": 5}, "inception_v3"), 188),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_answers_stay_and_convolutions_take_the_normalisation_over(name: str) -> None:
    torch.manual_seed(0)
    make, count = NETWORKS[name]
    network = settled(make()).to(memory_format=torch.channels_last)
    names = list(dict(network.named_modules()))
    with torch.no_grad():
        before = answers(network(IMAGES))
        assert fold_normalisation(network, lambda: network(IMAGES[:1])) == count
        after = answers(network(IMAGES))
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(one.abs().max()))
    assert list(dict(network.named_modules())) == names
    assert any(
        module.bias is not None and module.weight.is_contiguous(memory_format=torch.channels_last)
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    )


class Kept(nn.Module):
    """Everything in which a normalisation must stay."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(3, 3, 1)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.beside, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.between, self.late = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.transposed, self.other = nn.ConvTranspose2d(3, 3, 1), nn.BatchNorm2d(3)
        self.single, self.twice = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.second(self.shared(self.first(self.shared(images))))  # one convolution, called twice
        taken = self.beside(maps)
        maps = self.norm(taken) + taken  # what it gives is used elsewhere too
        maps = self.late(self.between(maps) * 2)
        maps = self.other(self.transposed(maps))
        return self.twice(self.twice(self.single(maps)))


def test_what_must_stay_stays() -> None:
    network = settled(Kept())
    with torch.no_grad():
        before = network(IMAGES)
        assert fold_normalisation(network, lambda: network(IMAGES)) == 0
        assert torch.equal(before, network(IMAGES))


def test_one_that_is_trained_stays() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    assert fold_normalisation(network, lambda: network(IMAGES)) == 0


def test_hooks_and_gradients_are_those_of_the_network_that_was_not_folded() -> None:
    torch.manual_seed(0)
    found: list[tuple[Tensor, Tensor]] = []
    network = settled(timm.create_model("resnet18"))
    for fold in (False, True):
        if fold:
            fold_normalisation(network, lambda: network(IMAGES))
        maps: list[Tensor] = []
        hook = network.get_submodule("layer3").register_forward_hook(
            lambda m, i, o, kept=maps: kept.append(o)
        )
        images = IMAGES.clone().requires_grad_()
        network(images)[:, 0].sum().backward()
        hook.remove()
        assert images.grad is not None
        found.append((maps[0].detach(), images.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(one.abs().max()))
