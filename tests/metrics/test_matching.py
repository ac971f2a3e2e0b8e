"""Photographs to compare have the same grades on either side, and share no patient across units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from retinalab.metrics.matching import matched


def drawn(seed: int, made: int, originals: int, per_patient: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    grades = rng.choice(6, originals, p=[0.5, 0.1, 0.15, 0.1, 0.1, 0.05]) - 1
    patients = np.array([f"p{k // per_patient}" for k in range(originals)])
    linked = rng.integers(0, originals, (made, 2))
    linked[rng.random(made) < 0.1, 1] = -1
    return rng.integers(-1, 5, made), linked, grades, patients


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 80), st.integers(5, 120), st.integers(1, 3))
def test_grades_are_matched_and_units_are_the_connected_patients(
    seed: int, made: int, originals: int, per_patient: int
) -> None:
    mine, linked, grades, patients = drawn(seed, made, originals, per_patient)
    found = matched(mine, linked, grades, patients, 5, most=30)
    count = len(found.made)
    assert count == len(found.originals) == found.counts.sum() <= 30
    assert len(set(found.made)) == len(set(found.originals)) == count
    for chosen, known in ((found.made, mine), (found.originals, grades)):
        assert np.bincount(known[chosen], minlength=5).tolist() == found.counts.tolist()
        assert (known[chosen] >= 0).all()
    names = sorted(set(patients))
    pairs = [linked[row][linked[row] >= 0] for row in found.made]
    graph = np.zeros((len(names), len(names)))
    for pair in pairs:
        graph[names.index(patients[pair[0]]), names.index(patients[pair[-1]])] = 1
    component = dict(zip(names, connected_components(graph, directed=False)[1], strict=True))
    assert np.bincount(list(component.values())).max() <= max(2, len(names) // 10)
    own = [patients[linked[row][linked[row] >= 0][0]] for row in found.made] + list(patients[found.originals])
    same = found.units[:, None] == found.units[None]
    expected = np.array([component[one] for one in own])
    assert np.array_equal(same, expected[:, None] == expected[None])


def test_as_many_pairs_as_the_rarer_side_has_by_hand() -> None:
    made, grades = [2, 2, 2, 3, 4], [2, 3, 3, 0, 2, -1]
    linked = np.array([[k, -1] for k in (0, 1, 2, 3, 4)])
    patients = np.array(list("abcdef"))
    found = matched(made, linked, grades, patients, 5)
    assert found.counts.tolist() == [0, 0, 2, 1, 0]
    assert set(found.originals) & {0, 4} == {0, 4}
    assert 3 in found.made
    assert found.units.tolist() == [patients[k] for k in (*linked[found.made, 0], *found.originals)]


def test_one_patient_in_all_made_photographs_leaves_a_unit_within_a_tenth() -> None:
    linked = np.column_stack([np.arange(40), np.zeros(40, int)])
    found = matched(np.ones(40, int), linked, np.ones(50, int), np.array([f"p{k}" for k in range(50)]), 5)
    assert (
        len(found.made) == 5
    )  # the photograph itself may be made over, and four patients be linked to its own
    assert len(set(found.units[: len(found.made)])) == 1


@pytest.mark.parametrize("most", [500, 6])
def test_photographs_drawn_follow_from_the_seed_and_keep_their_proportions(most: int) -> None:
    linked = np.column_stack([np.arange(60), np.full(60, -1)])
    made = np.repeat([1, 2], [20, 40])
    patients = np.array([f"p{k}" for k in range(60)])
    one, again, other = (matched(made, linked, made, patients, 3, most, seed) for seed in (0, 0, 1))
    assert one.counts.tolist() == ([0, 20, 40] if most == 500 else [0, 2, 4])
    assert np.array_equal(one.made, again.made)
    assert np.array_equal(one.made, other.made) == (most == 500)


def test_nothing_in_common_is_nothing_drawn() -> None:
    found = matched([1, -1], np.array([[0], [1]]), [0, -1], np.array(["a", "b"]), 5)
    assert (len(found.made), len(found.originals), len(found.units)) == (0, 0, 0)
