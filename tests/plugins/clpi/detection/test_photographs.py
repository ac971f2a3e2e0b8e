"""Real layouts: lesions of the masks, healthy by grade, one size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from retinalab_clpi.detection import lesion_centres, read_photographs

from retinalab.config import DataConfig
from retinalab.data.cache import Cache
from retinalab.data.parts import Parts, load_parts
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from tests.plugins.clpi.detection.conftest import BIT

WORLD = {"photographs": 16, "views": 1}


def parts(folder: Path, size: int) -> Parts:
    data = DataConfig(set="synthetic", options=WORLD, size=size, masks=True, cache=folder)
    return load_parts(data, Protocol(diseases={}, test=0.25), {})


def test_drawn_photographs(tmp_path: Path) -> None:
    loaded = parts(tmp_path, 128)
    train = read_photographs([loaded.train, loaded.val])
    assert len(train) == len(loaded.train) + len(loaded.val)
    assert train.images.shape == (len(train), 128, 128, 3)
    table = pd.concat([part.records.table for part in (loaded.train, loaded.val)])
    none = (table["dr"] == 0).to_numpy()
    clear = none & (table[["present_EX", "present_HE", "present_MA"]] == 0).all(axis=1).to_numpy()
    assert clear.any()
    assert train.healthy[clear].all()
    assert not train.healthy[~none].any()
    assert not np.array(train.lesions)[train.healthy].any()
    planes = loaded.train.cache.planes(loaded.train.rows[:1])[0]
    assert (train.centres[0] == lesion_centres(planes)).all()
    assert sum(train.counts().values()) == sum(train.lesions) == sum(len(b["labels"]) for b in train.truth())
    plain = read_photographs([loaded.train], None)
    assert (plain.images[0] == loaded.train.cache.images(loaded.train.rows[:1])[0]).all()
    assert (train.images[0] != plain.images[0]).any()
    kept = [np.zeros(n, bool) for n in train.lesions]
    assert set(train.counts(kept).values()) == {0}


def test_a_size_that_units_do_not_divide(tmp_path: Path) -> None:
    with pytest.raises(RetinalabError, match="multiple of 64 pixels, got 96"):
        read_photographs([parts(tmp_path, 96).train])


def test_idrid(shared_data: Path, tmp_path: Path) -> None:
    data = DataConfig(
        set="idrid", root=shared_data / "idrid", options={"task": "segmentation"}, size=256, masks=True, limit=2,
        cache=tmp_path,
    )  # fmt: skip
    loaded = load_parts(data, Protocol(diseases={}, split="folds"), {}, folds=4)
    found = read_photographs([loaded.tests["idrid"]])
    assert not found.healthy.any()
    assert all(count > 0 for count in found.counts().values())
    for centres, lesion in zip(found.centres, found.lesion, strict=True):
        assert lesion[centres[:, 1], centres[:, 0]].all()


def test_what_is_not_annotated_is_left_out_unless_it_is_healthy(tmp_path: Path) -> None:
    """One of the lesions not annotated anywhere: only photographs without retinopathy can be told apart from it."""
    part = parts(tmp_path, 128).train
    hidden = _Hidden(**{name: getattr(part.cache, name) for name in part.cache.__dataclass_fields__})
    partly = replace(part, cache=hidden)
    found = read_photographs([partly])
    everything = read_photographs([part])
    assert everything.left_out == 0
    assert found.left_out == len(part) - everything.healthy.sum() > 0
    assert found.healthy.all()
    assert not found.lesion.any()
    ill = np.flatnonzero(~everything.healthy)
    only = replace(partly, records=part.records.take(ill), rows=part.rows[ill])
    with pytest.raises(RetinalabError, match=f"None of {len(ill)} photographs is annotated for EX, HE, MA"):
        read_photographs([only])


class _Hidden(Cache):
    """A cache whose microaneurysms nobody looked for."""

    def planes(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        planes = super().planes(rows, out)
        planes[:, 0] &= np.uint8(~BIT["MA"] & 0xFF)
        planes[:, 1] |= BIT["MA"]
        return planes
