"""Equation 7, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from retinalab_canet.loss import joint_grading_loss
from retinalab_canet.network import GradeLogits

Array = NDArray[np.float64]


def reference(logits: Array, grades: list[int], weight: Array | None = None) -> float:
    total, mass = 0.0, 0.0
    for row, grade in zip(logits, grades, strict=True):
        if grade >= 0:
            share = 1.0 if weight is None else weight[grade]
            total -= share * (row[grade] - np.log(np.exp(row).sum()))
            mass += share
    return total / mass if mass else 0.0


def draw(rows: int, sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {d: torch.randn(rows, k, dtype=torch.float64, generator=generator) for d, k in sizes.items()}


GRADES = {"dr": [0, 4, 2, -1], "dme": [2, -1, -1, 1], "glaucoma": [1, 0, 1, 1]}
SIZES = {"dr": 5, "dme": 3, "glaucoma": 2}


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("diseases", [("dr",), ("dr", "dme"), ("dr", "dme", "glaucoma")])
def test_equation_7_for_any_number_of_diseases(weight: float, diseases: tuple[str, ...]) -> None:
    sizes = {d: SIZES[d] for d in diseases}
    refined, specific = draw(4, sizes, 0), draw(4, sizes, 1)
    grades = {d: torch.tensor(GRADES[d]) for d in diseases}
    expected = sum(
        reference(refined[d].numpy(), GRADES[d]) + weight * reference(specific[d].numpy(), GRADES[d])
        for d in diseases
    )
    assert joint_grading_loss(GradeLogits(refined, specific), grades, weight).item() == pytest.approx(
        expected, rel=1e-12
    )
