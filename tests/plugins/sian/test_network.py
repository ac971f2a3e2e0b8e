"""Parameters, shapes and behaviour of every network; each oracle is worked out apart from the code."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from retinalab_sian.attention_branch import ABN
from retinalab_sian.config import LesionNetwork
from retinalab_sian.danet import ChannelAttention, PositionAttention
from retinalab_sian.fully_convolutional import FCN, DeepLabV3Plus, PatchFCN, UNet
from retinalab_sian.lnet import LNet
from retinalab_sian.network import (
    ABNGrader,
    LesionConcat,
    PlainGrader,
    SiAN,
    SideAttention,
    lesion_network,
)
from scipy.special import softmax
from torch import Tensor, nn

from retinalab.errors import RetinalabError

GRADES = {"dr": 5}
INCEPTION = 21_785_568
SMALL = "test_resnet"


def parameters(network: nn.Module, learning: bool = False) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not learning)


def photographs(size: int = 1, side: int = 64) -> Tensor:
    return torch.randn(size, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_parameters_of_the_papers_networks() -> None:
    with torch.device("meta"):
        assert parameters(PlainGrader(GRADES)) == 21_795_813 == INCEPTION + 2048 * 5 + 5
        concat = LesionConcat(GRADES)
        assert parameters(concat, learning=True) == 21_795_853 == INCEPTION + (2048 + 8) * 5 + 5
        assert parameters(SideAttention(2048)) == 4_739_328 == (8 * 9 + 1) * 256 + (256 * 9 + 1) * 2048
        sian = SiAN(GRADES)
        assert parameters(sian, learning=True) == 21_795_813 + 4_739_328
        assert isinstance(sian.side, LNet)
        assert parameters(sian) - parameters(sian, learning=True) == parameters(sian.side)


@pytest.mark.parametrize(("stride", "steps"), [(16, 1), (2, 4)])
def test_parameters_of_l_net_follow_from_its_widths(stride: int, steps: int) -> None:
    skips = [768, 288, 192, 64][:steps]
    count, given = INCEPTION, 2048
    for width in skips:
        count += given * width + width
        given = 2 * width
    count += given * 8 + 8
    with torch.device("meta"):
        assert parameters(LNet(stride)) == count


def test_l_net_joins_what_figure_4_joins() -> None:
    """Layer by layer, with plain functions in place of the module."""
    torch.manual_seed(0)
    network = LNet(8, SMALL).eval()
    images = photographs()
    with torch.no_grad():
        maps = network.contracting(images)
        features = maps[32]
        for skip, step in zip((16, 8), network.steps, strict=True):
            assert isinstance(step, nn.Conv2d)
            mixed = (
                torch.einsum("bchw,oc->bohw", features, step.weight[:, :, 0, 0]) + step.bias[:, None, None]
            )  # type: ignore[index]
            up = nn.Upsample(scale_factor=2, mode="bilinear")(mixed)
            features = torch.cat([up, maps[skip]], 1)
        scores = torch.einsum("bchw,oc->bohw", features, network.head.weight[:, :, 0, 0])
        scores = nn.Upsample(scale_factor=8, mode="bilinear")(scores + network.head.bias[:, None, None])  # type: ignore[index]
        torch.testing.assert_close(network(images), scores)


@pytest.mark.parametrize("name", get_args(LesionNetwork))
def test_every_lesion_network_maps_or_names_eight_lesions_and_learns(name: LesionNetwork) -> None:
    torch.manual_seed(0)
    network = lesion_network(name, SMALL if name != "abn" else "resnet10t").train()
    side = 128
    given = network(photographs(2, side))
    if isinstance(given, Tensor):
        assert given.shape == (2, 8, side, side)
        given.square().sum().backward()
    else:
        assert given.logits.shape == (2, 8)
        loss = given.logits.square().sum()
        (loss if given.branch is None else loss + given.branch.square().sum()).backward()
    unreached = [n for n, p in network.named_parameters() if p.grad is None]
    assert not unreached
    network.eval()
    with torch.no_grad():
        again = network(photographs(1, side))
    assert (again if isinstance(again, Tensor) else again.logits).isfinite().all()


@pytest.mark.parametrize("kind", [LNet, FCN])
def test_maps_begin_at_the_prior_where_the_features_are_zero(kind: type[nn.Module]) -> None:
    network = kind(8, SMALL, prior=0.02)
    for name, value in network.named_parameters():
        if name.startswith(("contracting", "steps")):
            nn.init.zeros_(value)
    with torch.no_grad():
        maps = network.eval()(photographs(side=128))
    torch.testing.assert_close(maps[..., 40:-40, 40:-40].sigmoid(), torch.full((1, 8, 48, 48), 0.02))


def test_fcns_enlargement_begins_bilinear() -> None:
    network = FCN(16, SMALL)
    small = torch.randn(1, 8, 5, 5)
    with torch.no_grad():
        given = network.enlarge[0](small)
    wanted = nn.Upsample(scale_factor=2, mode="bilinear")(small)
    torch.testing.assert_close(given[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1])


def test_patches_are_apart_in_training_and_averaged_in_evaluation() -> None:
    """Against a loop over windows of a quarter of the side, as section 4.2.1 describes it."""
    torch.manual_seed(0)
    network = PatchFCN(SMALL)
    images = photographs(2, 128)
    network.fcn.eval()
    with torch.no_grad():
        given = network._apart(images)
        for row in range(0, 128, 32):
            for column in range(0, 128, 32):
                window = network.fcn(images[..., row : row + 32, column : column + 32])
                torch.testing.assert_close(given[..., row : row + 32, column : column + 32], window)
        scores = np.zeros((2, 8, 128, 128))
        times = np.zeros((128, 128))
        for row in range(0, 97, 16):
            for column in range(0, 97, 16):
                place = (slice(row, row + 32), slice(column, column + 32))
                window = network.fcn(images[..., place[0], place[1]]).sigmoid().numpy()
                scores[:, :, place[0], place[1]] += window
                times[place] += 1
        assert times.min() == 1
        assert times.max() == 4
        found = network.eval()(images).sigmoid().numpy()
    np.testing.assert_allclose(found, scores / times, atol=1e-5)
    with pytest.raises(RetinalabError, match=r"160x160 pixels give no 4x4 windows .* multiple of 128"):
        network(photographs(1, 160))


def test_the_decoders_stand_on_the_padded_inception() -> None:
    with torch.no_grad(), torch.device("meta"):
        for kind in (UNet, DeepLabV3Plus):
            network = kind()
            assert parameters(network.contracting) == INCEPTION
            assert network.eval()(torch.zeros(1, 3, 160, 160)).shape == (1, 8, 160, 160)
        assert DeepLabV3Plus().contracting(torch.zeros(1, 3, 896, 896))[32].shape == (1, 2048, 56, 56)


def test_position_attention_is_a_softmax_over_places() -> None:
    torch.manual_seed(0)
    attention = PositionAttention(16)
    features = torch.randn(2, 16, 3, 4)
    with torch.no_grad():
        torch.testing.assert_close(attention(features), features)
        attention.scale.fill_(0.7)
        given = attention(features).numpy()
        query, key, value = (
            part(features).flatten(2).numpy() for part in (attention.query, attention.key, attention.value)
        )
    for b in range(2):
        weights = softmax(query[b].T @ key[b], axis=1)
        wanted = 0.7 * (value[b] @ weights.T).reshape(16, 3, 4) + features[b].numpy()
        np.testing.assert_allclose(given[b], wanted, rtol=1e-4, atol=1e-5)


def test_channel_attention_is_a_softmax_over_channels() -> None:
    attention = ChannelAttention()
    features = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        attention.scale.fill_(0.7)
        given = attention(features).numpy()
    for b in range(2):
        flat = features[b].flatten(1).numpy()
        energy = flat @ flat.T
        weights = softmax(energy.max(1, keepdims=True) - energy, axis=1)
        np.testing.assert_allclose(
            given[b], 0.7 * (weights @ flat).reshape(5, 3, 4) + features[b].numpy(), rtol=1e-4, atol=1e-5
        )


def test_abn_weighs_the_features_by_its_attention() -> None:
    torch.manual_seed(0)
    network = ABN(8, "resnet18").eval()
    images = photographs()
    with torch.no_grad():
        given = network(images)
        assert given.attention is not None
        assert given.attention.shape == (1, 1, 4, 4)
        assert ((given.attention >= 0) & (given.attention <= 1)).all()
        last = network.perception((1 + given.attention) * network.extractor(images))
        torch.testing.assert_close(given.logits, network.linear(last.mean((2, 3))))
        network.attention[1].running_mean.fill_(1e9)  # type: ignore[union-attr, operator]
        plain = network(images)
    torch.testing.assert_close(plain.attention, torch.zeros(1, 1, 4, 4))
    both = sum(p.numel() for half in (network.perception, network.branch) for p in half.parameters())
    assert both == 2 * sum(p.numel() for p in network.perception.parameters())


@pytest.mark.parametrize("backbone", ["inception_v3", "vgg11"])
def test_abns_branch_has_the_features_size_whatever_halves_it(backbone: str) -> None:
    with torch.no_grad(), torch.device("meta"):
        network = ABN(8, backbone).eval()
        given = network(torch.zeros(1, 3, 96, 160))
    assert given.attention.shape == (1, 1, 6, 10)
    assert given.features.shape[2:] == (3, 5)


def test_abn_refuses_a_backbone_whose_stride_cannot_be_taken_out() -> None:
    with (
        torch.device("meta"),
        pytest.raises(RetinalabError, match=r"convolution of 2x2 cannot go on.*resnet18"),
    ):
        ABN(8, "convnext_atto")


def test_abn_grades_every_disease_from_its_own_outputs() -> None:
    torch.manual_seed(0)
    network = ABNGrader({"dr": 5, "dme": 3}, "resnet18").eval()
    with torch.no_grad():
        given, plain = network(photographs()), network.abn(photographs())
    torch.testing.assert_close(torch.cat([given.logits["dr"], given.logits["dme"]], 1), plain.logits)
    assert given.branch["dme"].shape == (1, 3)


@pytest.mark.parametrize("attention", ["conv", "max"])
@pytest.mark.parametrize("fusion", ["features", "image"])
@pytest.mark.parametrize("shrink", ["mean", "max"])
def test_sian_weighs_by_equations_5_to_7(attention: str, fusion: str, shrink: str) -> None:
    torch.manual_seed(0)
    network = SiAN(
        GRADES,
        SMALL,
        lesions="l-net-32s",
        attention=attention,
        fusion=fusion,
        width=16,
        shrink=shrink,  # type: ignore[arg-type]
    ).eval()
    nn.init.normal_(network.side.head.weight, std=3.0)  # type: ignore[union-attr, arg-type]
    images = photographs(2)
    with torch.no_grad():
        given = network(images)
        maps = network.side(images).sigmoid()
        small = maps if fusion == "image" else blocks(maps, shrink)
        weights = small.max(1, keepdim=True).values if attention == "max" else network.attention(small)  # type: ignore[misc]
        once, again = (weights, 1) if fusion == "image" else (1, weights)
        features = network.main(images * once)[32] * again
        wanted = nn.functional.linear(
            features.mean((2, 3)), network.heads["dr"].weight, network.heads["dr"].bias
        )  # type: ignore[arg-type, union-attr]
    torch.testing.assert_close(given.logits["dr"], wanted)
    torch.testing.assert_close(given.present, maps.flatten(2).max(2).values)
    torch.testing.assert_close(given.lesions.sigmoid(), maps)
    assert network.attention is None or weights.min() >= 0


def blocks(maps: Tensor, how: str) -> Tensor:
    """Mean or largest of each 32 × 32 pixels."""
    parts = maps.unfold(2, 32, 32).unfold(3, 32, 32).flatten(4)
    return parts.mean(-1) if how == "mean" else parts.max(-1).values


def test_learned_weights_begin_near_one() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        weights = SideAttention(64, 256)(torch.zeros(1, 8, 7, 7))
    assert abs(weights.mean() - 1) < 0.1
    assert weights.std() < 0.1


@pytest.mark.parametrize("kind", [SiAN, LesionConcat])
def test_the_side_branch_stays_as_it_was_unless_it_learns(kind: type[nn.Module]) -> None:
    for learns in (False, True):
        torch.manual_seed(0)
        network = kind(GRADES, SMALL, lesions="l-net-32s", train_side=learns).train()
        before = {name: value.clone() for name, value in network.side.state_dict().items()}  # type: ignore[union-attr]
        optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
        for _ in range(2):
            optimiser.zero_grad()
            network(photographs(4)).logits["dr"].square().sum().backward()
            optimiser.step()
        after = network.side.state_dict()  # type: ignore[union-attr]
        same = all(torch.equal(value, after[name]) for name, value in before.items())
        assert same is not learns
        assert network.main.training


def test_lesion_concat_reads_the_lesion_vector() -> None:
    torch.manual_seed(0)
    for side in ("l-net-32s", "classifier"):
        network = LesionConcat(GRADES, SMALL, lesions=side).eval()  # type: ignore[arg-type]
        with torch.no_grad():
            given = network(photographs())
            pooled = network.main(photographs())[32].mean((2, 3))
            head = network.heads["dr"]
            wanted = head(torch.cat([pooled, given.present], 1))
        torch.testing.assert_close(given.logits["dr"], wanted)
        assert given.present.shape == (1, 8)
        assert (given.lesions is None) == (side == "classifier")


def test_presence_is_not_rounded_up_by_half_precision() -> None:
    """A probability of 0.4998 is below one half; bfloat16 would make it one half."""
    network = SiAN({"dr": 5}, "test_resnet", lesions="l-net-32s", width=8).eval()
    logits = torch.full((1, 8, 32, 32), -0.0008, dtype=torch.bfloat16)
    assert (logits.sigmoid() >= 0.5).all()
    network.side.forward = lambda images: logits  # type: ignore[method-assign]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        given = network(torch.zeros(1, 3, 32, 32))
    assert given.present.dtype == torch.float32
    assert (given.present < 0.5).all()
