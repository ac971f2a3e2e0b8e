"""Photographs small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from retinalab_clpi.detection import Photographs, lesion_centres

from retinalab.records import LESIONS

SIZE = 192
BIT = {lesion: np.uint8(1 << LESIONS.index(lesion)) for lesion in ("EX", "HE", "MA", "SE")}
DISCS = {"EX": (60, 50), "HE": (120, 90), "MA": (100, 150)}


def planes_of(**discs: tuple[int, int]) -> np.ndarray:
    """Lesion planes with one 5×5 square of each named lesion about (x, y)."""
    planes = np.zeros((2, SIZE, SIZE), np.uint8)
    for lesion, (x, y) in discs.items():
        planes[0, y - 2 : y + 3, x - 2 : x + 3] |= BIT[lesion]
    return planes


@pytest.fixture(scope="session")
def photographs() -> Photographs:
    """Six photographs of four patients: four with a bright, a dark and a faint lesion each, two healthy."""
    rng = np.random.default_rng(0)
    images = rng.integers(118, 138, (6, SIZE, SIZE, 3)).astype(np.uint8)
    planes = [planes_of() for _ in images]
    for number in range(4):
        discs = {lesion: (x + 8 * number, y - 4 * number) for lesion, (x, y) in DISCS.items()}
        planes[number] = planes_of(**discs)
        for lesion, value in (("EX", 250), ("HE", 5), ("MA", 60)):
            images[number][planes[number][0] == BIT[lesion]] = value
    lesion = np.stack([plane[0] > 0 for plane in planes])
    return Photographs(
        images,
        tuple(lesion_centres(plane) for plane in planes),
        lesion,
        ~lesion.any((1, 2)),
        np.array(["a", "a", "b", "b", "c", "d"]),
    )
