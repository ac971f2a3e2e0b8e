"""Thresholds fixed on validation against a brute-force search, network by network."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from retinalab.metrics.clinical.targets import Target, judged, targets_of
from retinalab.metrics.clinical.thresholds import Chosen, Rate, called, choose, threshold_at
from retinalab.protocol import SCALES

TARGET = Target("referable", "dr", 2)


def rates(positive: np.ndarray, score: np.ndarray, cut: float) -> dict[str, float]:
    return {"sensitivity": (score[positive] >= cut).mean(), "specificity": (score[~positive] < cut).mean()}


@pytest.mark.parametrize("rate", get_args(Rate))
@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("digits", [1, 6])
def test_no_other_threshold_keeps_one_rate_and_has_more_of_the_other(
    rate: Rate, wanted: float, digits: int
) -> None:
    other = {"sensitivity": "specificity", "specificity": "sensitivity"}[rate]
    for seed in range(5):
        draw = np.random.default_rng(seed)
        positive = draw.uniform(size=60) < 0.4
        score = np.round(draw.normal(positive, 0.8), digits)
        found = rates(positive, score, threshold_at(positive, score, rate, wanted))
        assert found[rate] >= wanted - 1e-12
        every = [rates(positive, score, cut) for cut in [*np.unique(score), np.inf]]
        assert found[other] == max(one[other] for one in every if one[rate] >= wanted - 1e-12)


def test_it_is_a_point_of_the_roc_curve() -> None:
    draw = np.random.default_rng(9)
    positive = draw.uniform(size=200) < 0.3
    score = draw.normal(positive, 1)
    false, true, cuts = roc_curve(positive, score, drop_intermediate=False)
    best = np.flatnonzero(false <= 0.1)[-1]
    cut = threshold_at(positive, score, "specificity", 0.9)
    assert rates(positive, score, cut)["sensitivity"] == pytest.approx(true[best])
    assert cut >= cuts[best]


def test_a_specificity_that_no_call_reaches_calls_nobody() -> None:
    positive, score = np.array([False, False, True]), np.array([0.9, 0.2, 0.5])
    cut = threshold_at(positive, score, "specificity", 0.99)
    assert rates(positive, score, cut) == {"sensitivity": 0, "specificity": 1}
    assert np.isfinite(cut)


def table(reference: list[int], score: list[float], **columns: object) -> pd.DataFrame:
    rows = pd.DataFrame({"dr": reference, "dr_score": score, "dr_grade": 0, "fold": -1, "seed": 0}).assign(
        **columns
    )
    return judged(rows, (TARGET,))


def test_each_network_has_its_own_threshold() -> None:
    seeds = [0] * 4 + [1] * 4
    validation = table([0, 1, 2, 3] * 2, [0.1, 0.2, 0.3, 0.4, 1.1, 1.2, 1.3, 1.4], seed=seeds)
    tested = table([0, 2] * 2, [0.25, 0.35, 1.25, 1.35], seed=[0, 0, 1, 1])
    found = choose(validation, tested, TARGET, "specificity", 0.9)
    assert isinstance(found, Chosen)
    assert found.thresholds == {(-1, 0): 0.3, (-1, 1): 1.3}
    assert (found.photographs, found.positive, found.sensitivity, found.specificity) == (8, 4, 1, 1)
    assert called(tested, TARGET, found.thresholds).tolist() == [False, True, False, True]


def test_it_says_why_nothing_can_be_chosen() -> None:
    tested = table([0, 2], [0.1, 0.9])
    assert (
        choose(tested[:0], tested, TARGET, "specificity", 0.9)
        == "no validation photograph with a known grade"
    )
    well = table([0, 1], [0.1, 0.2])
    assert choose(well, tested, TARGET, "specificity", 0.9) == "validation has no positive photograph"
    sick = table([2, 3], [0.1, 0.2])
    assert choose(sick, tested, TARGET, "sensitivity", 0.9) == "validation has no negative photograph"
    both = pd.concat([tested, table([0, 2], [0.1, 0.9], seed=3)])
    one = choose(pd.concat([tested, well.assign(seed=3)]), both, TARGET, "specificity", 0.9)
    assert one == "validation has no positive photograph for fold -1, seed 3"
    alone = judged(pd.DataFrame({"dr": [0, 2], "dr_grade": [0, 2], "fold": -1, "seed": 0}), (TARGET,))
    assert (
        choose(alone, alone, TARGET, "specificity", 0.9)
        == "grades alone have no threshold that could be moved"
    )


def test_targets_are_those_of_the_scale() -> None:
    named = {name: [(t.name, t.lowest) for t in targets_of("dr", scale)] for name, scale in SCALES.items()}
    assert named["icdr5"] == [("referable", 2), ("vision-threatening", 3)]
    assert named["messidor4"] == named["risk3"] == [("referable", 2)]
    assert named["any"] == [("any", 1)]
    assert named["binary"] == [("present", 1)]


def test_probabilities_rank_by_the_sum_from_the_lowest_positive_grade() -> None:
    rows = pd.DataFrame([[0.1, 0.2, 0.3, 0.15, 0.25]], columns=[f"dr_p{k}" for k in range(5)]).assign(
        dr=3, dr_grade=2
    )
    found = judged(rows, targets_of("dr", SCALES["icdr5"]))
    assert found["referable|score"].item() == pytest.approx(0.7)
    assert found["vision-threatening|score"].item() == pytest.approx(0.4)
    assert found["referable|graded"].item()
    assert not found["vision-threatening|graded"].item()
