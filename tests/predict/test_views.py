"""The eight views of a square: all of them, each once, and each turned back."""

from __future__ import annotations

import numpy as np
import torch

from retinalab.predict.views import PLAIN, VIEWS

SQUARE = np.arange(2 * 5 * 5 * 3, dtype=np.uint8).reshape(2, 5, 5, 3)


def test_they_are_the_symmetries_of_the_square() -> None:
    found = {view.of(SQUARE).tobytes() for view in VIEWS}
    images = torch.from_numpy(SQUARE)
    wanted = set()
    for flipped in (images, images.flip(2)):
        for turns in range(4):
            wanted.add(torch.rot90(flipped, turns, (1, 2)).contiguous().numpy().tobytes())
    assert found == wanted
    assert len(found) == 8
    assert VIEWS[0] == PLAIN
    assert PLAIN.of(SQUARE).tobytes() == SQUARE.tobytes()


def test_maps_are_turned_back() -> None:
    for view in VIEWS:
        seen = np.moveaxis(view.of(SQUARE), -1, 1)
        assert (view.back(seen) == np.moveaxis(SQUARE, -1, 1)).all()
        assert view.of(SQUARE).flags.c_contiguous
