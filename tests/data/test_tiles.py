"""Tiles: each pixel is judged once, and maps are put together as a loop over pixels does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from retinalab.config import DataConfig, WindowConfig
from retinalab.data.module import FundusDataModule
from retinalab.data.sampler import EpochSampler
from retinalab.data.tiles import JoinedMaps, Tiles
from retinalab.metrics.online import LesionPixelF1
from retinalab.protocol import Protocol

SIDES = st.tuples(st.integers(16, 60), st.integers(8, 60), st.integers(1, 60))


def tiles_of(side: int, size: int, stride: int | None) -> Tiles:
    found = Tiles.of(DataConfig.model_validate({"size": side, "windows": {"size": size, "stride": stride}}))
    assert found is not None
    return found


@settings(deadline=None, max_examples=60)
@given(SIDES)
def test_every_pixel_belongs_to_the_tile_whose_centre_is_nearest(sides: tuple[int, int, int]) -> None:
    side, size = sides[0], min(sides[1], sides[0])
    tiles = tiles_of(side, size, min(sides[2], size))
    owned = np.zeros((side, side), int)
    distance = np.full((side, side), np.inf)
    y, x = np.mgrid[:side, :side]
    centres = tiles.corners + (size - 1) / 2
    for left, top in tiles.corners:
        inside = (x >= left) & (x < left + size) & (y >= top) & (y < top + size)
        away = np.maximum(abs(x - left - (size - 1) / 2), abs(y - top - (size - 1) / 2))
        distance = np.where(inside, np.minimum(distance, away), distance)
    for (left, top), (x0, y0, x1, y1), centre in zip(tiles.corners, tiles.nearest(), centres, strict=True):
        assert 0 <= x0 < x1 <= size
        assert 0 <= y0 < y1 <= size
        place = (slice(top + y0, top + y1), slice(left + x0, left + x1))
        owned[place] += 1
        away = np.maximum(abs(x - centre[0]), abs(y - centre[1]))
        assert (away[place] - distance[place] <= 0.5).all() or len(tiles) > 1
        for axis, values in ((0, x), (1, y)):
            near = np.min([abs(values - c) for c in np.unique(centres[:, axis])], axis=0)
            assert (abs(values - centre[axis]) - near)[place].max() <= 0.5
    assert (owned == 1).all()


@pytest.mark.parametrize(("side", "size", "stride"), [(24, 16, None), (20, 8, 3), (16, 16, None), (17, 8, 8)])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_joined_maps_are_the_mean_at_every_pixel(
    side: int, size: int, stride: int | None, batch: int
) -> None:
    tiles, photographs = tiles_of(side, size, stride), 3
    maps = torch.rand(photographs * len(tiles), 2, size, size, generator=torch.Generator().manual_seed(0))
    joined, found = JoinedMaps(tiles), {}
    for start in range(0, len(maps), batch):
        rows = list(range(start, min(start + batch, len(maps))))
        found.update(joined.add(rows, maps[rows]))
        assert len(joined._open) <= 1
    assert sorted(found) == [0, 1, 2]
    for photograph, given_map in found.items():
        for y in range(side):
            for x in range(side):
                values = [
                    maps[photograph * len(tiles) + k, :, y - top, x - left]
                    for k, (left, top) in enumerate(tiles.corners.tolist())
                    if left <= x < left + size and top <= y < top + size
                ]
                torch.testing.assert_close(given_map[:, y, x], torch.stack(values).mean(0))


@pytest.mark.parametrize("stride", [None, 24, 40])
def test_what_is_accumulated_over_tiles_counts_each_pixel_once(
    stride: int | None, fake_sets: Path, tmp_path: Path
) -> None:
    """Validation's pixel F1 of a map that depends on the place alone, against the whole photographs."""
    whole, tiled = (
        modules(fake_sets / "idrid", tmp_path, windows) for windows in (None, {"size": 40, "stride": stride})
    )
    scores = torch.rand(8, 96, 96, generator=torch.Generator().manual_seed(1))
    tiles = Tiles.of(tiled.data)
    assert tiles is not None
    one, other = LesionPixelF1(), LesionPixelF1()
    for batch in whole.val_dataloader():
        one.update(scores.expand(len(batch["index"]), -1, -1, -1), batch["mask"])
    for batch in tiled.val_dataloader():
        corners = tiles.corners[batch["index"].numpy() % len(tiles)].tolist()
        pieces = torch.stack([scores[:, y : y + 40, x : x + 40] for x, y in corners])
        other.update(pieces, batch["mask"])
    assert one.counts.sum() > 0
    assert torch.equal(one.counts, other.counts)
    training = next(iter(tiled.train_dataloader()))
    assert (training["mask"] != 255).any((1, 2, 3)).all()


def modules(root: Path, folder: Path, windows: dict[str, Any] | None) -> FundusDataModule:
    given_data = {
        "set": "idrid", "root": root, "options": {"task": "segmentation"}, "size": 96, "cache": folder, "masks": True,
        "windows": windows, "batch_size": 5,
    }  # fmt: skip
    return FundusDataModule(DataConfig.model_validate(given_data), Protocol(diseases={"dr": "icdr5"}))


def test_tiles_of_a_photograph_stay_on_one_process() -> None:
    shares = [
        [row for _, _, row in EpochSampler(21, 0, False, rank=rank, world=2, together=4)] for rank in (0, 1)
    ]
    assert sorted(shares[0] + shares[1]) == list(range(21))
    assert {row // 4 for row in shares[0]}.isdisjoint({row // 4 for row in shares[1]})
    assert len(EpochSampler(21, 0, False, rank=1, world=2, together=4)) == len(shares[1]) == 9


def test_a_grid_with_gaps_is_refused() -> None:
    with pytest.raises(ValidationError, match="stride=20 leaves pixels between windows of size=16 out"):
        WindowConfig(size=16, stride=20)
    assert WindowConfig(size=16, stride=16).stride == 16
