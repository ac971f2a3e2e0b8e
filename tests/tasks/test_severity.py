"""Severity to grade, against rounding in NumPy and a hair on either side of every half."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from retinalab.tasks.severity import severity_grades


def test_severities_are_rounded_at_the_halves_ties_upward() -> None:
    edges = torch.tensor([0.5, 1.5, 2.5, 3.5], dtype=torch.float64)
    assert severity_grades(edges, 5).tolist() == [1, 2, 3, 4]
    assert severity_grades(torch.nextafter(edges, edges - 1), 5).tolist() == [0, 1, 2, 3]
    assert severity_grades(torch.tensor([-3.0, 0.5, 7.0]), 2).tolist() == [0, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_severities_of_any_precision_are_rounded_as_numpy_does(dtype: torch.dtype) -> None:
    severity = torch.from_numpy(np.random.default_rng(0).uniform(-2, 7, 500)).to(dtype)
    rounded = np.floor(severity.double().numpy() + 0.5).clip(0, 4)
    np.testing.assert_array_equal(severity_grades(severity, 5).numpy(), rounded)
