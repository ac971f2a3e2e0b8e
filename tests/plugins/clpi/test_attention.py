"""Equation 1 and Appendix A."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from retinalab_clpi.attention import attention_map, weighted_attention, weighted_by_units


def test_the_map_is_constant_on_squares_of_32() -> None:
    units = torch.rand(2, 4, 16, 16).softmax(1)
    spread = attention_map(units, (512, 512)).numpy()
    expected = np.kron(units.numpy(), np.ones((32, 32), np.float32))
    np.testing.assert_array_equal(spread, expected)


def test_a_size_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="16x16 units"):
        attention_map(torch.zeros(1, 4, 16, 16), (500, 512))


def test_channels_are_class_major_and_sum_to_five_photographs() -> None:
    photographs = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    attention = torch.randn(2, 4, 64, 64, dtype=torch.float64).softmax(1)
    weighted = weighted_attention(photographs, attention)
    assert weighted.shape == (2, 12, 64, 64)
    for k in range(4):
        for j in range(3):
            expected = photographs[:, j] * (attention[:, k] + 1)
            torch.testing.assert_close(weighted[:, 3 * k + j], expected, rtol=0, atol=0)
    torch.testing.assert_close(weighted.unflatten(1, (4, 3)).sum(1), 5 * photographs)
    repeated = photographs.repeat(1, 4, 1, 1)
    assert (weighted >= repeated).all()
    assert (weighted <= 2 * repeated).all()


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_weighting_by_units_is_weighting_by_their_map(order: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 12, 20, generator=generator).contiguous(memory_format=order)
    probabilities = torch.rand(2, 4, 3, 5, generator=generator).softmax(1).requires_grad_()
    given = weighted_by_units(images, probabilities.contiguous(memory_format=order))
    for b, k, j, y, x in [(0, 0, 0, 0, 0), (1, 3, 2, 11, 19), (0, 2, 1, 7, 8), (1, 1, 0, 4, 3)]:
        unit = probabilities[b, k, y // 4, x // 4]
        torch.testing.assert_close(given[b, 3 * k + j, y, x], images[b, j, y, x] * (1 + unit))
    assert torch.equal(given, weighted_attention(images, attention_map(probabilities, (12, 20))))
    (gradient,) = torch.autograd.grad(given.sum(), probabilities)
    squares = images.sum(1).view(2, 3, 4, 5, 4).sum((2, 4))
    torch.testing.assert_close(gradient, squares[:, None].expand_as(gradient))


def test_a_photograph_that_units_do_not_part_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be parted"):
        weighted_by_units(torch.zeros(1, 3, 10, 12), torch.zeros(1, 4, 3, 3))
