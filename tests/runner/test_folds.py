"""Folds and seeds are gathered into one result that counts each photograph once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from retinalab.runner import run


def test_folds_pool_each_photograph_once(make: Callable[..., Any]) -> None:
    result = run(make("one", "folds=3", "protocol.split=folds", "train.trainer.max_epochs=1"))
    tested = result.predictions[result.predictions["part"] == "test"]
    assert len(tested) == tested["image"].nunique() == 32
    assert tested["fold"].value_counts().index.sort_values().tolist() == [0, 1, 2]
    assert tested.groupby("patient")["fold"].nunique().max() == 1
    figure = result.metrics["test/dr/accuracy"]
    assert (figure["n"], figure["n_groups"]) == (32, 16)
    assert figure["value"] == pytest.approx(accuracy_score(tested["dr"], tested["dr_grade"]))
    for fold in range(3):
        place = result.folder / f"fold-{fold}"
        assert (place / "checkpoints/train/best.ckpt").is_file()
        split = pd.read_csv(place / "split-train.csv")
        mine = tested.loc[tested["fold"] == fold, "image"]
        assert set(split.loc[split["part"] == "test", "image"]) == set(mine)


def test_one_fold_alone_is_that_fold(make: Callable[..., Any]) -> None:
    options = ("folds=3", "protocol.split=folds", "train.trainer.max_epochs=1")
    alone = run(make("one", *options, "fold=1")).predictions
    whole = run(make("one", *options)).predictions
    mine = whole[whole["fold"] == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, mine, check_exact=True)


def test_seeds_are_counted_up_and_photographs_counted_once(make: Callable[..., Any]) -> None:
    result = run(make("one", "seeds=2", "seed=5", "train.trainer.max_epochs=1"))
    tested = result.predictions[result.predictions["part"] == "test"]
    assert sorted(tested["seed"].unique()) == [5, 6]
    assert len(tested) == 16
    first, second = (tested[tested["seed"] == seed].set_index("image")["dr_score"] for seed in (5, 6))
    assert (first != second.loc[first.index]).any()
    assert result.metrics["test/dr/accuracy"]["n"] == 8
    right = [(rows["dr"] == rows["dr_grade"]).mean() for _, rows in tested.groupby("seed")]
    assert result.metrics["test/dr/accuracy"]["value"] == pytest.approx(sum(right) / 2)
    assert {p.name for p in result.folder.glob("seed-*")} == {"seed-5", "seed-6"}
