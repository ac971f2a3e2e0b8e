"""The o_O network: its parameters, its sizes, and its parts by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from retinalab_ellg.network import DetectionNetwork, Maxout, RMSPool, UntiedConv2d, block_plan, blocks_for
from torch.nn import functional as F

from retinalab.config import StartFrom
from retinalab.errors import RetinalabError
from retinalab.runner.weights import transfer

PARAMETERS = {
    ("A", 112): (1_808_481, 1_556_961),
    ("A", 224): (4_601_057, 3_556_577),
    ("A", 448): (12_402_657, 8_145_121),
    ("B", 112): (2_804_577, 2_544_257),
    ("B", 224): (7_415_009, 6_346_113),
    ("B", 448): (12_465_121, 8_181_633),
}
SIDES = {
    ("A", 112): [27, 6, 2],
    ("A", 224): [55, 13, 6, 2],
    ("A", 448): [111, 27, 13, 6, 2],
    ("B", 112): [28, 6, 3],
    ("B", 224): [56, 13, 6, 3],
    ("B", 448): [112, 27, 13, 6, 2],
}


def built(net: str, side: int, untied: bool = True, **options: int) -> DetectionNetwork:
    with torch.device("meta"):
        return DetectionNetwork({"dr": 1}, net, side, untied=untied, **options)  # type: ignore[arg-type]


def small(**options: object) -> DetectionNetwork:
    torch.manual_seed(0)
    return DetectionNetwork({"dr": 1, "dme": 1}, side=64, blocks=3, width=4, hidden=8, **options)  # type: ignore[arg-type]


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("net", "side"), PARAMETERS)
def test_parameters_are_those_of_the_authors_code(net: str, side: int) -> None:
    assert (count(built(net, side)), count(built(net, side, untied=False))) == PARAMETERS[net, side]


@pytest.mark.parametrize(("net", "side"), SIDES)
def test_blocks_give_maps_of_the_published_sizes(net: str, side: int) -> None:
    network = built(net, side)
    maps, sides = torch.zeros(2, 3, side, side, device="meta"), []
    for block in network.blocks:
        maps = block(maps)
        sides.append(maps.shape[-1])
        assert maps.shape[-1] == maps.shape[-2]
    assert sides == SIDES[net, side]
    assert network.features == maps[0].numel()
    assert network(torch.zeros(2, 3, side, side, device="meta"))["dr"].shape == (2, 1)


@pytest.mark.parametrize("net", ["A", "B"])
def test_at_448_pixels_the_papers_blocks_give_27_13_and_6_and_2048_features_are_pooled(net: str) -> None:
    assert SIDES[net, 448][1:4] == [27, 13, 6]
    assert built(net, 448).features == 2048


def test_sizes_follow_from_kernels_by_the_rule_of_convolutions() -> None:
    """Every size is recomputed from kernel, stride and padding with NumPy windows, not by the network's own rule."""
    for net in ("A", "B"):
        side = 448
        for number, plan in enumerate(block_plan(net)):  # type: ignore[arg-type]
            for kernel, stride, padding in plan.convolutions:
                side = len(
                    np.lib.stride_tricks.sliding_window_view(np.zeros(side + 2 * padding), kernel)[::stride]
                )
            step = plan.rms_stride if number == 4 else 2
            side = len(np.lib.stride_tricks.sliding_window_view(np.zeros(side), 3)[::step])
            assert side == SIDES[net, 448][number]
    assert [blocks_for(side) for side in (64, 112, 223, 224, 447, 448, 640)] == [3, 3, 3, 4, 4, 5, 5]


def test_untied_biases_differ_from_place_to_place() -> None:
    convolution = UntiedConv2d(2, 3, 4, 2, 1, 8).double()
    torch.nn.init.normal_(convolution.weight)
    torch.nn.init.normal_(convolution.bias)  # type: ignore[arg-type]
    maps = torch.randn(5, 2, 8, 8, dtype=torch.float64)
    expected = F.conv2d(maps, convolution.weight, None, 2, 1) + convolution.bias[None]  # type: ignore[index]
    assert convolution.bias is not None
    assert convolution.bias.shape == (3, 4, 4)
    assert torch.equal(convolution(maps), expected)


def test_rms_pooling_by_hand_and_without_a_nan_gradient_on_black() -> None:
    maps = torch.arange(16.0, dtype=torch.float64).reshape(1, 1, 4, 4)
    values = np.arange(16.0).reshape(4, 4)
    expected = [[np.sqrt((values[y : y + 3, x : x + 3] ** 2).mean()) for x in (0, 1)] for y in (0, 1)]
    assert RMSPool(3, 1)(maps)[0, 0].numpy() == pytest.approx(np.array(expected))
    black = torch.zeros(1, 1, 3, 3, requires_grad=True)
    pooled = RMSPool(3, 2)(black)
    pooled.sum().backward()
    assert pooled.item() == pytest.approx(1e-6)
    assert black.grad is not None
    assert torch.isfinite(black.grad).all()


def test_maxout_takes_neighbours() -> None:
    assert Maxout()(torch.tensor([[3.0, -1.0, 0.0, 2.0, 5.0, 5.0]])).tolist() == [[3.0, 2.0, 5.0]]


def test_weights_start_orthogonal_and_biases_at_a_twentieth() -> None:
    network = small()
    for name, parameter in network.named_parameters():
        if name.startswith("answers."):
            continue
        if name.endswith("bias"):
            assert (parameter == 0.05).all(), name
            continue
        rows = parameter.detach().flatten(1).double()
        gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64), atol=1e-5, rtol=0)


def test_the_whole_network_is_its_parts_in_order() -> None:
    network = small(slope=0.1).double().eval()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    maps = images
    state = network.state_dict()
    for number, plan in enumerate(block_plan("B")[:3], start=1):
        for index, (_, stride, padding) in enumerate(plan.convolutions, start=1):
            name = f"blocks.stage{number}.conv{index}"
            maps = F.conv2d(maps, state[f"{name}.weight"], None, stride, padding) + state[f"{name}.bias"]
            maps = torch.where(maps > 0, maps, 0.1 * maps)
        last = number == 3
        maps = (F.avg_pool2d(maps**2, 3, 2) + 1e-12).sqrt() if last else F.max_pool2d(maps, 3, 2)
    features = maps.flatten(1)
    for layer in ("dense1", "dense2"):
        features = features @ state[f"head.{layer}.weight"].T + state[f"head.{layer}.bias"]
        features = torch.where(features > 0, features, 0.1 * features)
        features = torch.maximum(features[:, 0::2], features[:, 1::2])
    for disease in ("dr", "dme"):
        expected = features @ state[f"answers.{disease}.weight"].T + state[f"answers.{disease}.bias"]
        torch.testing.assert_close(network(images)[disease], expected)


def test_the_answer_is_linear_and_reaches_below_zero() -> None:
    network = small().eval()
    with torch.no_grad():
        network.answers["dr"].bias.fill_(-9.0)  # type: ignore[union-attr, operator]
    assert (network(torch.zeros(1, 3, 64, 64))["dr"] < -5).all()


@pytest.mark.parametrize("net", ["A", "B"])
def test_from_one_side_to_the_next_kernels_are_carried_over(net: str) -> None:
    there, here = (
        {f"network.{k}": v for k, v in built(net, side).state_dict().items()} for side in (112, 224)
    )
    start = StartFrom(stage="before", map={"network.blocks.": "network.blocks."}, strict=False)
    told = transfer(here, there, start)
    shared = tuple(f"network.blocks.stage{number}" for number in (1, 2, 3))
    kernels = [name for name in here if name.endswith("weight") and name.startswith(shared)]
    assert list(told.carried) == kernels
    assert set(told.resized) == {n.replace("weight", "bias") for n in kernels}
    assert set(told.added) == {
        n for n in here if "stage4" in n or n.startswith(("network.head", "network.answers"))
    }
    tied = [
        {f"network.{k}": v for k, v in built(net, side, False).state_dict().items()} for side in (112, 224)
    ]
    same = transfer(tied[1], tied[0], start)
    assert same.resized == ()
    assert len(same.carried) == 16
    assert "16 weights are carried over" in str(same)


def test_another_side_is_refused() -> None:
    with pytest.raises(RetinalabError, match=r"built for 64x64 pixels and got 72x72\. Set task\.side"):
        small()(torch.zeros(1, 3, 72, 72))
    with pytest.raises(RetinalabError, match="A side of 32 pixels is too small for 5 blocks"):
        built("B", 32, blocks=5)
