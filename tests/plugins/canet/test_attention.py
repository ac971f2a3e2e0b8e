"""The gates, against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from retinalab_canet.attention import (
    ChannelGate,
    DiseaseDependentAttention,
    DiseaseSpecificAttention,
    SpatialGate,
)
from scipy.signal import correlate2d
from torch import nn

Array = NDArray[np.float64]


def sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values)))


def mlp(layers: nn.Sequential, values: Array) -> Array:
    first, _, second = layers
    weights = {name: value.numpy() for name, value in layers.state_dict().items()}
    hidden = np.maximum(values @ weights["0.weight"].T + weights.get("0.bias", 0.0), 0)
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    return np.asarray(hidden @ weights["2.weight"].T + weights.get("2.bias", 0.0))


def features(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("bias", [True, False])
def test_channel_gate_is_equation_1_and_2(bias: bool) -> None:
    gate = ChannelGate(32, reduction=8, bias=bias).double()
    given = features(2, 32, 5, 4)
    array = given.numpy()
    weights = sigmoid(mlp(gate.mlp, array.mean((2, 3))) + mlp(gate.mlp, array.max((2, 3))))
    np.testing.assert_allclose(gate(given).detach().numpy(), array * weights[:, :, None, None], rtol=1e-12)


def test_spatial_gate_is_equation_3_with_the_maximum_first() -> None:
    gate = SpatialGate(norm=True, bias=False).double().eval()
    assert isinstance(gate.norm, nn.BatchNorm2d)
    with torch.no_grad():
        gate.norm.running_mean.fill_(0.4)  # type: ignore[union-attr]
        gate.norm.running_var.fill_(2.5)  # type: ignore[union-attr]
        gate.norm.weight.fill_(1.7)
        gate.norm.bias.fill_(-0.2)
    given = features(1, 6, 9, 8)
    array, kernel = given.numpy()[0], gate.conv.weight.detach().numpy()[0]
    summed = correlate2d(array.max(0), kernel[0], mode="same") + correlate2d(
        array.mean(0), kernel[1], mode="same"
    )
    weights = sigmoid((summed - 0.4) / np.sqrt(2.5 + 1e-5) * 1.7 - 0.2)
    np.testing.assert_allclose(gate(given).detach().numpy()[0], array * weights, rtol=1e-10)


def test_spatial_normalisation_moves_by_a_hundredth() -> None:
    gate = SpatialGate()
    given = torch.rand(4, 3, 8, 8)
    with torch.no_grad():
        gate(given)
        mean = gate.conv(torch.cat([given.amax(1, keepdim=True), given.mean(1, keepdim=True)], 1)).mean()
    assert isinstance(gate.norm, nn.BatchNorm2d)
    assert gate.norm.running_mean is not None
    assert gate.norm.running_mean.item() == pytest.approx(0.01 * mean.item(), rel=1e-4)


def test_the_paper_s_own_equations_have_neither_norm_nor_bias() -> None:
    module = DiseaseSpecificAttention(32, 16, mlp_bias=False, spatial_norm=False, spatial_bias=False)
    assert {name.rsplit(".", 1)[1] for name in module.state_dict()} == {"weight"}
    assert len(module.state_dict()) == 3


def test_spatial_bias_is_a_parameter_of_the_convolution() -> None:
    assert "conv.bias" in SpatialGate(norm=False, bias=True).state_dict()


@pytest.mark.parametrize("gain", [2.0, 1.0])
def test_dependent_attention_is_sigmoid_of_gain_times_mlp(gain: float) -> None:
    module = DiseaseDependentAttention(32, reduction=16, gain=gain).double()
    given = features(3, 32)
    array = given.numpy()
    expected = sigmoid(gain * mlp(module.mlp, array)) * array
    np.testing.assert_allclose(module(given).detach().numpy(), expected, rtol=1e-12)


def test_dependent_attention_by_hand() -> None:
    module = DiseaseDependentAttention(2, reduction=1, mlp_bias=True, gain=2.0)
    with torch.no_grad():
        module.mlp[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        module.mlp[0].bias.zero_()
        module.mlp[2].weight.copy_(torch.eye(2))
        module.mlp[2].bias.copy_(torch.tensor([0.0, 0.5]))
    # G = (3, 4): the hidden layer is (3, 0), the MLP gives (3, 0.5), and twice that goes through the sigmoid
    got = module(torch.tensor([[3.0, 4.0]])).tolist()[0]
    assert got == pytest.approx([3 / (1 + np.exp(-6)), 4 / (1 + np.exp(-1))], rel=1e-6)


def test_code_s_gain_is_its_channel_gate_on_a_single_place() -> None:
    gate, module = ChannelGate(32), DiseaseDependentAttention(32)
    module.mlp.load_state_dict(gate.mlp.state_dict())
    given = torch.randn(4, 32)
    torch.testing.assert_close(module(given), gate(given[:, :, None, None]).flatten(1))
