"""Microaneurysms keep their contrast on the way from a large photograph to the working size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from retinalab.data.decode import decode

PHOTOGRAPHS = 6
SIZES = (350, 512, 896, 1024)


@pytest.fixture(scope="module")
def bench(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("lesion_contrast")


@pytest.fixture(scope="module")
def found(shared_data: Path, bench: ModuleType) -> dict[int, np.ndarray]:
    """Working size -> ``(n, 3)``: by full decoding and area, as they are prepared, and by bilinear resizing."""
    parts: dict[int, list[np.ndarray]] = {size: [] for size in SIZES}
    for photograph in bench.photographs(shared_data / "idrid", PHOTOGRAPHS):
        for size, rows in parts.items():
            rows.append(bench.contrasts(photograph, size, decode(photograph.path, size)))
    return {size: np.concatenate(rows) for size, rows in parts.items()}


@pytest.mark.parametrize("size", SIZES)
def test_prepared_photographs_keep_the_contrast_of_microaneurysms(
    found: dict[int, np.ndarray], bench: ModuleType, size: int
) -> None:
    assert len(found[size]) > 150
    (in_sum, tenth), bilinear = bench.kept(found[size][:, :2]), bench.kept(found[size][:, ::2])
    assert in_sum >= 0.95
    assert tenth >= 0.8
    assert in_sum > bilinear[0]
    assert tenth > bilinear[1]
