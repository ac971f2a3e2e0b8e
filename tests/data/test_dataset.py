"""What is read of a picture for a warped window: all that the warp reaches."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retinalab.data.dataset import _moved, _pieces
from retinalab.data.windows import cut_at
from retinalab.transforms.background import place_average


def warps(seed: int, side: int) -> np.ndarray:
    """Turns, mirrorings, zooms from 0.3 to 2 and shifts far beyond the picture."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(int(rng.integers(1, 5))):
        angle, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 2)
        turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn[0] *= rng.choice([-1, 1])
        made.append(np.concatenate([turn, rng.uniform(-2 * side, 2 * side, (2, 1))], 1))
    return np.array(made)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(8, 40), st.integers(4, 30))
def test_a_piece_of_an_average_is_read_as_the_whole(seed: int, side: int, crop: int) -> None:
    maps = warps(seed, side)
    generator = torch.Generator().manual_seed(seed)
    average = torch.rand(len(maps), 3, side, side, generator=generator)
    corners, reach = _pieces(maps, crop, side)
    assert (corners >= 0).all()
    assert (corners + reach <= side).all()
    pieces = torch.stack(
        [one[:, y : y + reach, x : x + reach] for one, (x, y) in zip(average, corners, strict=True)]
    )
    found = place_average(pieces, torch.from_numpy(_moved(maps, corners)), crop)
    whole = place_average(average, torch.from_numpy(maps.astype(np.float32)), crop)
    assert torch.allclose(found, whole, atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(8, 40), st.integers(4, 30))
def test_a_piece_of_a_photograph_is_warped_as_the_whole(seed: int, side: int, crop: int) -> None:
    maps = warps(seed, side)
    picture = np.random.default_rng(seed).random((side, side)).astype(np.float32)
    corners, reach = _pieces(maps, crop)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for warp, moved, (x, y) in zip(maps, _moved(maps, corners), corners, strict=True):
        found = cv2.warpAffine(cut_at(picture, x, y, reach), moved, (crop, crop), flags=flags)
        assert np.allclose(found, cv2.warpAffine(picture, warp, (crop, crop), flags=flags), atol=0.07)
