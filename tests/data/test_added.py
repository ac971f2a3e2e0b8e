"""Epochs with photographs that were made: how long they are, what they hold, how often each data set comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from retinalab.config import DataConfig
from retinalab.data.made import open_made, write_made
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.protocol import Protocol

MADE = 13
Make = Callable[..., FundusDataModule]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def module(fake_sets: Path, cache: Path) -> Make:
    """A table of 20 training photographs beside dr600's 5 or so."""

    def made(**options: Any) -> FundusDataModule:
        given = {"set": "table", "mix": ["dr600"], "size": 32, "batch_size": 4, "cache": cache, **options}
        roots = {path.name: path for path in fake_sets.iterdir()}
        protocol = Protocol(diseases={"dr": "icdr5", "dme": "binary"})
        return FundusDataModule(DataConfig.model_validate(given), protocol, roots=roots)

    return made


@pytest.fixture
def made(tmp_path: Path) -> Part:
    """All of them made into photographs of dr600."""
    rows = pd.DataFrame({"dr": [3] * MADE, "dme": 0, "target": 0, "target_set": "dr600"})
    write_made(tmp_path, 0, np.zeros((MADE, 32, 32, 3), np.uint8), rows)
    return open_made(tmp_path, MADE, "make", {"dr": "icdr5", "dme": "binary"})


def epoch(module: FundusDataModule, number: int) -> list[int]:
    """Rows of one epoch, in order; as many batches as were told."""
    batches = module._training_order(module.dataset(module.parts.train, training=True), number)
    batches.sampler.set_epoch(number)
    found = list(batches)
    assert len(found) == module.training_batches(number)
    return [row for batch in found for _, _, row in batch]


def test_equal_epochs_are_as_long_as_the_originals_with_others_of_all_each_time(
    module: Make, made: Part
) -> None:
    one = module()
    own = len(one.parts.train)
    alone = [epoch(one, k) for k in range(4)]
    one.add([made], alternate=True, equal=True)
    rows = [epoch(one, k) for k in range(40)]
    assert {len(drawn) for drawn in rows} == {own}
    assert [rows[0], rows[2]] == [alone[0], alone[2]]  # those of the originals are what they were
    combined = rows[1::2]
    assert all(len(set(drawn)) == own for drawn in combined)
    assert len({tuple(sorted(drawn)) for drawn in combined}) > 15
    often = np.bincount(np.concatenate(combined), minlength=own + MADE)
    share = own / (own + MADE)
    assert (np.abs(often - 20 * share) < 4.5 * np.sqrt(20 * share * (1 - share))).all()


def test_whole_epochs_hold_each_once_and_equal_ones_need_no_turns(module: Make, made: Part) -> None:
    whole, equal = module(), module()
    own = len(whole.parts.train)
    whole.add([made])
    equal.add([made], equal=True)
    assert sorted(epoch(whole, 0)) == list(range(own + MADE))
    assert len(epoch(equal, 0)) == len(epoch(equal, 1)) == own
    assert max(epoch(equal, 0) + epoch(equal, 1)) >= own


@pytest.mark.parametrize("equal", [False, True])
def test_a_made_photograph_counts_as_one_of_its_targets_set(module: Make, made: Part, equal: bool) -> None:
    one = module(sampler="sets")
    one.add([made], equal=equal)
    table = one.parts.train.records.table["set"].to_numpy(str)
    own = int((table != "make").sum())
    drawn = np.concatenate([epoch(one, k) for k in range(60)])
    assert len(drawn) == 60 * (own if equal else own + MADE)
    named = np.where(table == "make", "dr600", table)
    share = (named[drawn] == "table").mean()
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / len(drawn))  # a third, were the made ones a set apart
    within = np.flatnonzero(named == "dr600")
    often = np.bincount(drawn, minlength=len(table))[within] / len(drawn)
    expected = 0.5 / len(within)
    assert (np.abs(often - expected) < 5 * np.sqrt(expected / len(drawn))).all()


def test_without_any_that_were_made_nothing_changes(module: Make) -> None:
    one = module(sampler="sets")
    before = epoch(one, 1)
    one.add([], alternate=True, equal=True)
    assert epoch(one, 1) == before
