"""Equation 1 and Appendix A."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from retinalab_clpi.attention import attention_map, weighted_attention


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
