"""Cross-entropy with unknown grades, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from retinalab.tasks.grade_loss import grade_cross_entropy

Array = NDArray[np.float64]


def reference(logits: Array, grades: list[int], weight: Array | None = None) -> float:
    total, mass = 0.0, 0.0
    for row, grade in zip(logits, grades, strict=True):
        if grade >= 0:
            share = 1.0 if weight is None else weight[grade]
            total -= share * (row[grade] - np.log(np.exp(row).sum()))
            mass += share
    return total / mass if mass else 0.0


GRADES = [0, 4, 2, -1]


def test_weights_of_grades() -> None:
    logits = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weight = np.array([1.0, 2.0, 0.5, 3.0, 4.0])
    got = grade_cross_entropy(logits, torch.tensor(GRADES), torch.from_numpy(weight))
    assert got.item() == pytest.approx(reference(logits.numpy(), GRADES, weight), rel=1e-12)


def test_a_uniform_guess_costs_the_logarithm_of_the_number_of_grades() -> None:
    assert grade_cross_entropy(torch.zeros(3, 5), torch.tensor([0, 3, 4])).item() == pytest.approx(np.log(5))


@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 0.0, 2.0])])
def test_without_a_known_grade_loss_and_gradient_are_zero(weight: torch.Tensor | None) -> None:
    logits = torch.randn(3, 3, requires_grad=True)
    loss = grade_cross_entropy(logits, torch.full((3,), -1), weight)
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert logits.grad.abs().sum().item() == 0.0


def test_an_unknown_grade_changes_neither_the_loss_nor_its_gradient() -> None:
    logits = torch.randn(3, 3, requires_grad=True)
    loss = grade_cross_entropy(logits, torch.tensor([1, -1, 2]))
    loss.backward()
    alone = grade_cross_entropy(logits.detach()[[0, 2]], torch.tensor([1, 2]))
    assert loss.item() == pytest.approx(alone.item(), rel=1e-6)
    assert logits.grad is not None
    assert logits.grad[1].tolist() == [0.0, 0.0, 0.0]
    assert (logits.grad[[0, 2]] != 0).all()
