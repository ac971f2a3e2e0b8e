"""Which ratios give a grade, against every ratio of a fine grid in whole numbers; and what is drawn from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from retinalab_ellg.blend import blended_severity
from retinalab_ellg.generation_config import GenerationConfig
from retinalab_ellg.ratios import ratio_intervals, reachable
from retinalab_ellg.select import Candidates, NothingToCutError, Selection

GRID = 3840
"""Steps of the grid; severities of quarters put the ends of intervals further apart than four of them."""
GRADES = 5

quarters = st.integers(-4, 20)
eighths = st.tuples(st.integers(0, 8), st.integers(0, 8)).map(sorted).filter(lambda ends: ends[1] > 0)


def giving(source: int, target: int, grade: int, least: int, greatest: int) -> np.ndarray:
    """Ratios of the grid, between two eighths, under which equation 6 gives the grade; severities in quarters."""
    steps = np.arange(least * GRID // 8, greatest * GRID // 8 + 1)
    severity = steps * source + (GRID - steps) * target  # of 4 GRID
    grades = ((severity + 2 * GRID) // (4 * GRID)).clip(0, GRADES - 1)  # half grades belong to the higher one
    return np.asarray(steps[grades == grade] / GRID)


@settings(max_examples=150, deadline=None)
@given(quarters, quarters, st.integers(0, 4), eighths)
def test_the_interval_is_that_of_every_ratio_tried(
    source: int, target: int, grade: int, ends: list[int]
) -> None:
    least, greatest = ends
    low, high = ratio_intervals(
        np.array([source / 4]), np.array([target / 4]), grade, GRADES, (least / 8, greatest / 8)
    )
    found = giving(source, target, grade, least, greatest)
    if len(found) > (least != greatest):
        assert low[0] == pytest.approx(found[0], abs=1.01 / GRID)
        assert high[0] == pytest.approx(found[-1], abs=1.01 / GRID)
        assert least / 8 <= low[0] <= high[0] <= greatest / 8
    else:
        assert low[0] > high[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 4) | st.none(), eighths, st.booleans())
def test_targets_within_reach_are_those_of_every_pair(
    seed: int, grade: int | None, ends: list[int], coarse: bool
) -> None:
    rng = np.random.default_rng(seed)
    sources, targets = rng.uniform(-1, 5, rng.integers(1, 60)), rng.uniform(-1, 5, 80)
    if coarse:
        sources, targets = np.round(sources * 4) / 4, np.round(targets * 4) / 4
    ratios = (ends[0] / 8, ends[1] / 8)
    low, high = ratio_intervals(sources, targets[:, None], grade, GRADES, ratios)
    every = ((low <= high) & (sources != targets[:, None])).any(1)
    np.testing.assert_array_equal(reachable(sources, targets, grade, GRADES, ratios), every)


def test_any_grade_takes_the_whole_range() -> None:
    low, high = ratio_intervals(np.arange(5.0), np.arange(5.0)[:, None], None, GRADES, (0.25, 0.75))
    assert low.shape == (5, 5)
    assert (low == 0.25).all()
    assert (high == 0.75).all()


def test_a_ratio_beside_an_edge_is_not_rounded_across_it() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.uniform(0, 4, 5000), rng.uniform(0, 4, 5000)
    close = rng.random(5000) < 0.5
    source = np.where(close, target + rng.choice([-1, 1], 5000) * 10 ** rng.uniform(-12, 0, 5000), source)
    for grade in range(GRADES):
        low, high = ratio_intervals(source, target, grade, GRADES, (0.0, 1.0))
        can = low <= high
        assert can.any()
        for ratio in (low[can], high[can]):
            severity = blended_severity(*map(torch.from_numpy, (ratio, source[can], target[can]))).numpy()
            assert (np.floor(severity + 0.5).clip(0, 4) == grade).all()


parts = st.lists(
    st.tuples(st.integers(-1, 4), st.integers(-1, 1), st.integers(-2, 2)), min_size=2, max_size=9
)


@settings(max_examples=80, deadline=None)
@given(
    parts,
    eighths,
    st.sampled_from(["grade", "severity"]),
    st.sampled_from(["normal", "any"]),
    st.sampled_from(["label", "none"]),
)
def test_a_plan_makes_all_that_some_pair_gives_and_nothing_else(
    given_: list[tuple[int, int, int]], ends: list[int], labels: str, blend_target: str, balance: str
) -> None:
    grade = np.array([one for one, _, _ in given_])
    predicted = np.where(np.array([off for _, off, _ in given_]) == 0, grade, (grade + 1) % 5)
    severity = predicted + np.array([q for _, _, q in given_]) / 4
    ratios = (ends[0] / 8, ends[1] / 8)
    config = GenerationConfig(
        ratio=ratios, number=25, labels=labels, blend_target=blend_target, balance=balance  # type: ignore[arg-type]
    )  # fmt: skip
    right = (grade >= 0) & (predicted == grade)
    averaged = grade * 4 if labels == "grade" else (severity * 4).astype(int)
    pairs = [
        (s, t)
        for s in np.flatnonzero(right & (grade > 0))
        for t in np.flatnonzero(right if blend_target == "any" else right & (grade == 0))
        if s != t
    ]
    candidates = Candidates(grade, predicted, severity, ["train"] * len(grade))
    if not pairs:
        with pytest.raises(NothingToCutError):
            Selection(candidates, config, (0,))
        return
    selection = Selection(candidates, config, (0, 1))
    drawn = selection.pairs()
    for pair in drawn:
        assert (pair.source, pair.target) in pairs
        assert ratios[0] <= pair.ratio <= ratios[1]
    if balance == "none":
        assert len(drawn) == 25
        return
    for wanted in range(1, GRADES):
        can = (grade == wanted).any() and any(
            len(giving(averaged[s], averaged[t], wanted, *ends)) > (ends[0] != ends[1]) for s, t in pairs
        )
        assert (len(selection._reached.get(wanted, ())) > 0) == can
        noted = [note for note in selection.notes if note.startswith(f"Grade {wanted}")]
        assert len(noted) == (not can)
    assert selection.wanted is not None
    blends = [p.ratio * averaged[p.source] + (1 - p.ratio) * averaged[p.target] for p in drawn]
    labelled = np.floor(np.array(blends) / 4 + 0.5 + 1e-12).clip(0, GRADES - 1).astype(int)
    np.testing.assert_array_equal(np.bincount(labelled, minlength=GRADES), selection.wanted)
    assert len(drawn) in (0, 25)


def test_a_grade_that_one_pair_of_thousands_gives_is_made_every_time() -> None:
    """The one severe photograph among many slight ones is the only way to grade 4."""
    grade = np.concatenate([np.zeros(3000, int), np.ones(1500, int), [4], [2, 3]])
    predicted = np.where(np.arange(len(grade)) < 4501, grade, 0)
    candidates = Candidates(grade, predicted, predicted.astype(float), ["train"] * len(grade))
    config = GenerationConfig(number=200, blend_target="any", ratio=(0.8, 1.0))
    selection = Selection(candidates, config, (0,))
    assert selection.wanted is not None
    assert selection.wanted[4] > 0
    severity = predicted.astype(float)
    fours = [
        p
        for p in selection.pairs()
        if p.ratio * severity[p.source] + (1 - p.ratio) * severity[p.target] >= 3.5
    ]
    assert len(fours) == selection.wanted[4]
    assert {pair.source for pair in fours} == {4500}
