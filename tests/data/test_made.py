"""Photographs that a stage made come back as they were written, as a training part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retinalab.config import DataConfig
from retinalab.data.dataset import PartDataset
from retinalab.data.likeness import likeness_hash
from retinalab.data.made import SHARD, is_written, open_made, read_made, write_made
from retinalab.data.pool import pooled_part
from retinalab.errors import RetinalabError

SIZE = 24


def _images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def _written(folder: Path, count: int) -> tuple[np.ndarray, pd.DataFrame]:
    images = _images(count)
    rows = pd.DataFrame(
        {
            "dr": np.arange(count) % 5,
            "patient": [f"p{k}" for k in range(count)],
            "ratio": np.random.default_rng(1).random(count),
        }
    )
    for shard in range(-(-count // SHARD)):
        chosen = slice(shard * SHARD, (shard + 1) * SHARD)
        assert not is_written(folder, shard)
        write_made(folder, shard, images[chosen], rows.iloc[chosen])
        assert is_written(folder, shard)
    return images, rows


def test_pixels_grades_and_what_was_drawn_come_back(tmp_path: Path) -> None:
    images, rows = _written(tmp_path / "made", SHARD + 3)
    part = open_made(tmp_path / "made", len(rows), "round-1.make", {"dr": "icdr5"})
    np.testing.assert_array_equal(part.cache.images(part.rows), images)
    table = part.records.table
    assert table["dr"].tolist() == rows["dr"].tolist()
    assert table["patient"].tolist() == rows["patient"].tolist()
    assert set(table["set"]) == {"round-1.make"}
    np.testing.assert_allclose(table["ratio"], rows["ratio"])
    np.testing.assert_array_equal(part.cache.likeness[SHARD + 1], likeness_hash(images[SHARD + 1]))
    pd.testing.assert_frame_equal(
        read_made(tmp_path / "made", len(rows)), rows, check_dtype=False, check_exact=True
    )


def test_no_lesion_of_a_made_photograph_is_judged(tmp_path: Path) -> None:
    _written(tmp_path, 4)
    part = open_made(tmp_path, 4, "make", {"dr": "icdr5"})
    batch = PartDataset(part, DataConfig(size=SIZE, masks=True), ("dr",), 0, False, False).__getitems__(
        [(0, k, k) for k in range(4)]
    )
    assert (batch["mask"] == 255).all()
    assert batch["present"].isnan().all()
    assert batch["grades"]["dr"].tolist() == [0, 1, 2, 3]


def test_it_pools_with_another_part(tmp_path: Path) -> None:
    images, _ = _written(tmp_path, 5)
    one = open_made(tmp_path, 5, "make", {"dr": "icdr5"})
    both = pooled_part([one, one])
    assert len(both) == 10
    np.testing.assert_array_equal(both.cache.images(both.rows[[1, 6]]), images[[1, 1]])


def test_a_missing_shard_is_one_line(tmp_path: Path) -> None:
    _written(tmp_path, SHARD + 1)
    (tmp_path / "00001.json").unlink()
    with pytest.raises(RetinalabError, match=f"Photographs {SHARD} to {SHARD} of .* are missing") as error:
        open_made(tmp_path, SHARD + 1, "make", {"dr": "icdr5"})
    assert len(str(error.value).splitlines()) == 1
