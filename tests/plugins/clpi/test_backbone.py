"""Backbones that cannot take a picture's size say so, and small patches can be enlarged for them."""

from __future__ import annotations

import pytest
import torch
from retinalab_clpi.network import AttentionGrader, PlainGrader, enlarged

from retinalab.errors import RetinalabError


def test_patches_are_enlarged_between_their_own_pixels() -> None:
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    wide = enlarged(ramp, 8)
    assert wide[0, 0, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    assert enlarged(ramp, 4) is ramp


@torch.no_grad()
def test_inception_classifies_enlarged_patches_only() -> None:
    patches = torch.rand(1, 3, 68, 68)
    network = PlainGrader({"lesion": 4}, "inception_v4").eval()
    with pytest.raises(RetinalabError, match=r"68x68 pixels.*task.patch_side"):
        network(patches, patches=True)
    network.patch_side = 75
    assert network(patches, patches=True).logits["lesion"].shape == (1, 4)


@torch.no_grad()
def test_the_generator_sees_patches_as_they_are() -> None:
    torch.manual_seed(0)
    patches = torch.rand(2, 3, 68, 68)
    network = AttentionGrader({"lesion": 4}, "resnet18", widths="small", patch_side=96).eval()
    given = network(patches, patches=True)
    torch.testing.assert_close(given.lesions, network.generator(patches, padded=False))
    assert given.features.shape[2:] == (3, 3)


@torch.no_grad()
def test_a_transformer_of_another_size_is_refused() -> None:
    network = PlainGrader({"dr": 5}, "vit_tiny_patch16_224").eval()
    with pytest.raises(RetinalabError, match=r"128x128 pixels.*half of data.size"):
        network(torch.rand(1, 3, 256, 256))


def test_other_failures_pass_through() -> None:
    with pytest.raises(RuntimeError, match="channels"):
        PlainGrader({"dr": 5}, "resnet18").eval()(torch.rand(1, 1, 64, 64))
