"""The order of photographs follows from (seed, epoch) alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinalab.data.sampler import EpochBatches, EpochSampler


def rows(sampler: EpochSampler, epoch: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    return [row for _, _, row in sampler]


def test_each_epoch_has_its_own_order_of_all_rows() -> None:
    sampler = EpochSampler(50, seed=3, shuffle=True)
    first, second = rows(sampler, 0), rows(sampler, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert rows(sampler, 0) == first == rows(EpochSampler(50, 3, True), 0)
    assert rows(EpochSampler(50, 4, True), 0) != first


def test_without_shuffling_rows_come_as_listed_in_every_epoch() -> None:
    sampler = EpochSampler(7, 0, False)
    assert rows(sampler, 0) == rows(sampler, 5) == list(range(7))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 3), st.booleans())
def test_shares_are_disjoint_and_hold_positions_of_the_whole_order(
    count: int, world: int, epoch: int, shuffle: bool
) -> None:
    alone = EpochSampler(count, 1, shuffle)
    alone.set_epoch(epoch)
    whole = list(alone)
    shares = []
    for rank in range(world):
        sampler = EpochSampler(count, 1, shuffle, None, rank, world)
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(keys) == len(sampler)
        assert keys == whole[rank::world][: len(keys)]
        shares.append(keys)
    every = [key for share in shares for key in share]
    assert len(set(every)) == len(every)
    if shuffle:  # equally many steps for every process
        assert {len(share) for share in shares} == {count // world}
    else:
        assert sorted(every) == sorted(whole)


def test_of_101_photographs_two_processes_evaluate_each_once() -> None:
    shares = [rows(EpochSampler(101, 0, False, None, rank, 2)) for rank in (0, 1)]
    assert [len(share) for share in shares] == [51, 50]
    assert sorted(shares[0] + shares[1]) == list(range(101))


def test_what_one_epoch_leaves_out_another_holds() -> None:
    left = set()
    for epoch in range(20):
        seen = {row for rank in (0, 1, 2) for row in rows(EpochSampler(11, 0, True, None, rank, 3), epoch)}
        left |= set(range(11)) - seen
    assert len(left) > 2


def test_balanced_draws_bring_each_class_equally_often() -> None:
    classes = np.array([0] * 900 + [1] * 90 + [4] * 10)
    sampler = EpochSampler(1000, 0, True, classes)
    drawn = classes[[row for epoch in range(10) for row in rows(sampler, epoch)]]
    shares = np.array([(drawn == c).mean() for c in (0, 1, 4)])
    assert np.abs(shares - 1 / 3).max() < 4 * np.sqrt(1 / 3 * 2 / 3 / 10_000)  # four standard deviations
    zeros = [row for epoch in range(10) for row in rows(sampler, epoch) if row < 900]
    assert len(set(zeros)) > 800  # not always the same ones


def test_balanced_draws_leave_unknown_grades_out() -> None:
    classes = np.array([-1] * 50 + [0] * 40 + [2] * 10)
    drawn = classes[rows(EpochSampler(100, 0, True, classes), 0)]
    assert set(drawn) == {0, 2}
    unlabelled = EpochSampler(5, 0, True, np.full(5, -1))
    assert len(rows(unlabelled, 0)) == 5


@pytest.mark.parametrize(("drop", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_batches_and_skipping_within_one_epoch(drop: bool, sizes: list[int]) -> None:
    batches = EpochBatches(EpochSampler(10, 0, True), 4, drop)
    whole = list(batches)
    assert [len(batch) for batch in whole] == sizes
    assert len(batches) == len(sizes)
    resumed = EpochBatches(EpochSampler(10, 0, True), 4, drop, skip=1)
    assert list(resumed) == whole[1:]
    assert list(resumed) == whole  # the next epoch is whole again
