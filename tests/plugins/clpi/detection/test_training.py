"""Turns of images and boxes agree; what is not annotated is background; patches are learnt."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from retinalab_clpi.detection import (
    Photographs,
    Recipe,
    annotated,
    detect_units,
    train_detector,
    train_generator,
    training_patches,
)
from retinalab_clpi.detection.training import _batches, _turned, _turned_boxes
from retinalab_clpi.generator import LesionAttentionGenerator
from torch import Tensor, nn

from retinalab.errors import RetinalabError


@pytest.mark.parametrize("turn", list(product([False, True], repeat=3)))
def test_boxes_turn_with_their_image(turn: tuple[bool, bool, bool]) -> None:
    boxes = torch.tensor([[3.0, 5, 9, 20], [0, 0, 2, 1]])
    for box in boxes:
        image = torch.zeros(1, 24, 24)
        left, top, right, bottom = box.int().tolist()
        image[:, top:bottom, left:right] = 1
        ys, xs = _turned(image, turn)[0].nonzero().T
        seen = [float(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)]
        assert _turned_boxes(box[None], turn, 24)[0].tolist() == seen


def test_the_eight_turns_differ() -> None:
    image = torch.arange(9.0).reshape(1, 3, 3)
    turned = {tuple(_turned(image, turn).flatten().tolist()) for turn in product([False, True], repeat=3)}
    assert len(turned) == 8


def test_every_sample_comes_before_any_comes_again() -> None:
    batches = _batches(7, Recipe(1, 3, 0.1), seed=5)
    drawn = np.concatenate([next(batches) for _ in range(7)])
    for start in range(0, 21, 7):
        assert sorted(drawn[start : start + 7]) == list(range(7))
    assert (drawn[:7] != drawn[7:14]).any()


class Spy(nn.Module):
    """Keeps what it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.boxes: list[Tensor] = []

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        self.boxes += [target["boxes"] for target in targets]
        return {"loss": self.weight.square()}


def test_discarded_lesions_are_background(photographs: Photographs) -> None:
    spy = Spy()
    train_detector(spy, photographs, annotated(photographs.lesions, 0.5, 0), Recipe(1, 6, 0.1), 0)
    assert sum(map(len, spy.boxes)) == 6 == sum(photographs.lesions) // 2
    assert len(spy.boxes) == len(photographs)


def test_a_loss_that_is_no_number(photographs: Photographs) -> None:
    spy = Spy()
    spy.weight.data.fill_(torch.nan)
    with pytest.raises(RetinalabError, match=r"loss of Spy is nan at step 0\. Lower the learning rate, 0\.1"):
        train_detector(spy, photographs, annotated(photographs.lesions, 0.0, 0), Recipe(2, 2, 0.1), 0)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_generator_learns_the_patches(photographs: Photographs, bfloat16: bool) -> None:
    torch.manual_seed(0)
    patches = training_patches(photographs, annotated(photographs.lesions, 0.0, 0), 1.0, 0)
    network = LesionAttentionGenerator("code")
    train_generator(network, patches, Recipe(20, 24, 0.02, bfloat16=bfloat16), 0)
    pixels = torch.from_numpy(patches.images).movedim(-1, 1).float() / 255
    with torch.no_grad():
        predicted = network.train()(pixels, padded=False).flatten(1).argmax(1)
    assert (predicted == torch.from_numpy(patches.labels)).float().mean() > 0.9
    found = detect_units(network, photographs)
    assert len(found) == len(photographs)
    assert found[0]["scores"].shape == (27,)
    everything = found[0]["scores"].reshape(3, 9).sum(0)
    assert ((everything >= 0) & (everything <= 1 + 1e-5)).all()


def test_equal_seeds_train_equal_networks(photographs: Photographs) -> None:
    patches = training_patches(photographs, annotated(photographs.lesions, 0.0, 0), 1.0, 0)
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(train_generator(LesionAttentionGenerator("code"), patches, Recipe(2, 8, 0.02), 3))
    for ours, theirs in zip(*(network.state_dict().values() for network in networks), strict=True):
        assert torch.equal(ours, theirs)
