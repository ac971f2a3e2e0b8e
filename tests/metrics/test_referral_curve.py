"""The referral curve against scikit-learn on the rows that remain, put in order by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from retinalab.errors import RetinalabError
from retinalab.metrics.referral_curve import read_referral_curves
from retinalab.protocol import SCALES

SCALE = {"dr": SCALES["icdr5"]}
CHANCES = [f"dr_p{k}" for k in range(5)]


def predictions(count: int = 200) -> pd.DataFrame:
    """A network that is right where it is certain."""
    lot = np.random.default_rng(3)
    truth = np.arange(count) % 5
    chances = lot.dirichlet(np.full(5, 0.6), count)
    for row, (grade, sure) in enumerate(zip(truth, lot.random(count), strict=True)):
        chances[row] = (1 - sure) * chances[row] + sure * np.eye(5)[grade]
    table = pd.DataFrame(chances, columns=CHANCES)
    return table.assign(image=[f"{k}.jpg" for k in range(count)], dr=truth, dr_grade=chances.argmax(axis=1))


def by_hand(table: pd.DataFrame, order: np.ndarray, share: float) -> dict[str, float]:
    left = table.iloc[order[: len(table) - int(len(table) * share)]]
    return {
        "kappa": cohen_kappa_score(left["dr"], left["dr_grade"], weights="quadratic"),
        "accuracy": accuracy_score(left["dr"], left["dr_grade"]),
        "auc_referable": roc_auc_score(left["dr"] >= 2, left[CHANCES[2:]].sum(axis=1)),
    }


def test_figures_of_what_remains() -> None:
    table = predictions()
    (curve,) = read_referral_curves(table, SCALE, shares=(0.0, 0.1, 0.33), resamples=200, lots=5)
    assert (curve.prefix, curve.disease, curve.photographs, curve.units) == ("test", "dr", 200, 200)
    assert curve.uncertainty == "entropy of the probabilities"
    surest = np.argsort(scipy.stats.entropy(table[CHANCES], axis=1), kind="stable")
    rightest = np.argsort(np.abs(table["dr"] - table["dr_grade"]), kind="stable")
    assert [level.kept for level in curve.levels] == [200, 180, 134]
    for level in curve.levels:
        wanted, best = by_hand(table, surest, level.share), by_hand(table, rightest, level.share)
        for name, value in wanted.items():
            metric = level.figures[name]
            assert metric["value"] == pytest.approx(value)
            assert metric["low"] <= value <= metric["high"]  # type: ignore[operator]
            assert level.perfect[name] == pytest.approx(best[name])
    gain = [level.figures["accuracy"]["value"] for level in curve.levels]
    assert gain == sorted(gain)  # type: ignore[type-var]
    last = curve.levels[-1]
    assert last.random["accuracy"] == pytest.approx(gain[0], abs=0.05)
    assert last.random["accuracy"] < gain[-1] < last.perfect["accuracy"]  # type: ignore[operator]


def test_a_column_of_entropy_gives_the_order() -> None:
    table = predictions()
    table["dr_entropy"] = np.arange(200)[::-1] / 200
    (curve,) = read_referral_curves(table, SCALE, shares=(0.25,), resamples=0, lots=1)
    assert curve.uncertainty == "column dr_entropy"
    wanted = by_hand(table, np.arange(200)[::-1], 0.25)
    assert curve.levels[0].figures["kappa"]["value"] == pytest.approx(wanted["kappa"])


def test_each_seed_hands_over_its_own() -> None:
    one, other = predictions(), predictions().sample(frac=1, random_state=0).reset_index(drop=True)
    other[CHANCES] = np.roll(other[CHANCES].to_numpy(), 1, axis=1)
    other["dr_grade"] = other[CHANCES].to_numpy().argmax(axis=1)
    table = pd.concat([one.assign(seed=0), other.assign(seed=1)], ignore_index=True)
    (curve,) = read_referral_curves(table, SCALE, shares=(0.2,), resamples=0, lots=1)
    each = [
        by_hand(part, np.argsort(scipy.stats.entropy(part[CHANCES], axis=1), kind="stable"), 0.2)["accuracy"]
        for part in (one, other)
    ]
    assert curve.levels[0].figures["accuracy"]["value"] == pytest.approx(np.mean(each))
    assert curve.levels[0].kept == 160


def test_a_table_without_probabilities_has_no_curve() -> None:
    table = predictions()
    for poor in (table.drop(columns=CHANCES), table.assign(dr=-1), table.assign(part="val")):
        with pytest.raises(RetinalabError, match="No tested photograph has a reference and probabilities"):
            read_referral_curves(poor, SCALE)
    with pytest.raises(RetinalabError, match="No tested photograph"):
        read_referral_curves(table.drop(columns=CHANCES).assign(dr_score=1.0), SCALE)


def test_photographs_without_a_grade_are_left_out() -> None:
    table = predictions()
    holes = table.copy()
    holes.loc[::10, ["dr_grade", *CHANCES]] = np.nan
    (curve,) = read_referral_curves(holes, SCALE, shares=(0.5,), resamples=0, lots=1)
    assert curve.photographs == 180
