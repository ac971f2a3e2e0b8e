"""Grad-CAM, Grad-CAM++ and their gated average, against loops over the published equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from retinalab.errors import RetinalabError
from retinalab.explain.gradient_maps import (
    Layer,
    averaged,
    gate,
    gated_multi_layer,
    grad_cam,
    grad_cam_plus_plus,
    normalised,
)
from retinalab.explain.grid import Grid

SIZE = (40, 48)
EVEN = Grid.even(SIZE, (5, 6))


def drawn(seed: int, shape: tuple[int, ...] = (3, 4, 5, 6)) -> tuple[np.ndarray, np.ndarray]:
    """Rectified activations, and gradients of either sign with zeros among them."""
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=shape) * (rng.random(shape) > 0.2)
    return rng.normal(size=shape).clip(0), gradients


def plus_plus_by_hand(activations: np.ndarray, gradients: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The weights with their derivatives of exp(s), term by term."""
    batch, channels, height, width = activations.shape
    maps = np.zeros((batch, height, width))
    for b in range(batch):
        for k in range(channels):
            total = sum(activations[b, k, y, x] for y in range(height) for x in range(width))
            weight = 0.0
            for y in range(height):
                for x in range(width):
                    first = math.exp(scores[b]) * gradients[b, k, y, x]
                    second, third = first * gradients[b, k, y, x], first * gradients[b, k, y, x] ** 2
                    bottom = 2 * second + total * third
                    alpha = second / bottom if bottom != 0 else 0.0
                    weight += alpha * max(first, 0.0)
            maps[b] += weight * activations[b, k]
    return maps.clip(0)


def test_grad_cam_against_loops() -> None:
    activations, gradients = drawn(0)
    wanted = np.zeros((3, 5, 6))
    for b in range(3):
        for k in range(4):
            wanted[b] += gradients[b, k].sum() / 30 * activations[b, k]
    found = grad_cam(torch.from_numpy(activations), torch.from_numpy(gradients))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), wanted.clip(0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_grad_cam_plus_plus_against_loops(seed: int) -> None:
    activations, gradients = drawn(seed)
    scores = np.array([0.3, -2.0, 1.5])
    given = torch.from_numpy(activations), torch.from_numpy(gradients)
    with_factor = grad_cam_plus_plus(*given, torch.from_numpy(scores))
    np.testing.assert_allclose(
        with_factor.numpy(), plus_plus_by_hand(activations, gradients, scores), rtol=1e-12
    )
    without = grad_cam_plus_plus(*given)
    np.testing.assert_allclose(
        without.numpy(), plus_plus_by_hand(activations, gradients, np.zeros(3)), rtol=1e-12
    )


def test_a_negative_sum_of_activations_leaves_the_weights_bounded() -> None:
    """The published fraction is infinite at g = -2 / sum(A); here it is 1/2 wherever the sum is negative."""
    activations = torch.full((1, 1, 2, 2), -1.0, dtype=torch.float64)
    activations[0, 0, 0, 0] = 1.0  # the sum is -2
    gradients = torch.full_like(activations, 1.0)  # 2 + g sum(A) is 0
    found = grad_cam_plus_plus(activations, gradients)
    assert found.tolist() == [[[2.0, 0.0], [0.0, 0.0]]]  # weight 4 * 1/2


def test_vanishing_gradients_give_finite_maps_and_none_give_zeros() -> None:
    activations = torch.ones(2, 3, 4, 4)
    gradients = torch.full_like(activations, 1e-30)  # its cube is 0 in single precision
    gradients[1] = 0
    found = grad_cam_plus_plus(activations, gradients)
    assert torch.allclose(found[0], torch.full((4, 4), 3 * 16 * 0.5e-30), rtol=1e-5, atol=0)
    assert not found[1].any()
    assert not gated_multi_layer([Layer(activations, gradients, EVEN)], SIZE, 0.0).any()


def test_the_gate_keeps_what_stands_above_the_floor() -> None:
    maps = torch.tensor([[[0.0, 0.999], [1.0, 4.0]]], dtype=torch.float64)
    assert gate(maps, 1.0).tolist() == [[[0.0, 0.0], [0.0, 3.0]]]
    assert torch.equal(gate(maps, 0.0), maps)
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(RetinalabError, match=r"floor t is .* at least 0"):
            gate(maps, wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_map_is_zero_and_so_is_one_that_is_constant_but_for_rounding(dtype: torch.dtype) -> None:
    level = torch.full((2, 8, 8), 1234.5, dtype=dtype)
    level[1] += torch.randn(8, 8, dtype=dtype) * torch.finfo(dtype).eps * 1234.5
    assert not normalised(level).any()
    assert not normalised(torch.zeros(1, 3, 3, dtype=dtype)).any()
    faint = torch.zeros(1, 3, 3, dtype=dtype)
    faint[0, 1, 1] = 1e-30
    assert normalised(faint).sum() == 1


def test_what_is_not_a_number_is_not_hidden() -> None:
    maps = torch.zeros(2, 3, 3)
    maps[0, 1, 1] = math.nan
    found = normalised(maps)
    assert found[0].isnan().all()
    assert not found[1].any()


def test_each_photograph_is_scaled_alone() -> None:
    maps = torch.rand(4, 5, 6, dtype=torch.float64) * torch.tensor([1.0, 1e3, 1e-6, 7.0])[:, None, None]
    found = normalised(maps).numpy()
    for one, given in zip(found, maps.numpy(), strict=True):
        np.testing.assert_allclose(one, (given - given.min()) / (given.max() - given.min()), rtol=1e-12)


def test_layers_of_two_sizes_meet_in_the_input() -> None:
    """By hand: a low layer of the pixels themselves, and a high one whose cells begin at the first pixel."""
    low, high = torch.zeros(1, 8, 8, dtype=torch.float64), torch.zeros(1, 2, 2, dtype=torch.float64)
    low[0, 7, 7], high[0, 0, 0] = 5.0, 2.0
    found = averaged([low, high], [Grid(), Grid((0.0, 0.0), (4.0, 4.0))], (8, 8))
    line = [1, 0.75, 0.5, 0.25, 0, 0, 0, 0]
    wanted = np.outer(line, line) / 2
    wanted[7, 7] += 0.5
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=1e-12)


def test_a_peak_between_pixels_reaches_one_where_it_is_averaged() -> None:
    high = torch.zeros(1, 2, 2, dtype=torch.float64)
    high[0, 0, 0] = 3.0
    found = averaged(
        [high], [Grid((1.5, 1.5), (4.0, 4.0))], (8, 8)
    )  # cells in the middle of four pixels each
    assert found.amax() == 1
    assert found[0, 0, 0] == 1  # held beyond the outermost centre
    assert found.amin() == 0


def test_inside_the_field_alone() -> None:
    maps = torch.tensor([[[9.0, 1.0, 2.0, 5.0]], [[1.0, 2.0, 2.0, 3.0]], [[1.0, 2.0, 3.0, 4.0]]])
    fields = torch.tensor([[[False, True, True, True]], [[False, True, True, False]], [[False] * 4]])
    found = normalised(maps, fields)
    assert found.tolist() == [[[0.0, 0.0, 0.25, 1.0]], [[0.0] * 4], [[0.0] * 4]]


def test_a_layer_that_never_passes_the_gate_adds_nothing() -> None:
    activations, gradients = (torch.from_numpy(one) for one in drawn(3))
    strong, faint = Layer(100 * activations, gradients, EVEN), Layer(activations * 1e-9, gradients, EVEN)
    both = gated_multi_layer([faint, strong], SIZE, 1.0)
    alone = gated_multi_layer([strong], SIZE, 1.0)
    assert torch.allclose(both, alone / 2)
    assert float(alone.amax()) == 1
    assert not gated_multi_layer([faint, faint], SIZE, 1.0).any()


def test_half_precision_is_taken_up_to_single() -> None:
    given: tuple[Tensor, ...] = tuple(torch.from_numpy(one).bfloat16() for one in drawn(4))
    for function in (grad_cam, grad_cam_plus_plus):
        found = function(given[0], given[1])
        assert found.dtype == torch.float32
        assert torch.equal(found, function(given[0].float(), given[1].float()))


def test_a_great_score_does_not_overflow() -> None:
    activations, gradients = (torch.from_numpy(one).float() for one in drawn(5))
    found = gated_multi_layer(
        [Layer(activations, gradients, EVEN)], SIZE, 1.0, torch.tensor([200.0, 0.0, -200.0])
    )
    assert found.isfinite().all()
    assert float(found[0].amax()) == 1
    assert not found[2].any()
