"""The order of photographs follows from (seed, epoch) alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinalab.config import BalanceConfig
from retinalab.data.sampler import EpochBatches, EpochSampler, decayed_weights, is_spare
from retinalab.errors import RetinalabError


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


def test_balanced_weights_of_eyepacs_are_the_published_ones() -> None:
    counts = np.array([25810, 2443, 5292, 873, 708])
    first = decayed_weights(counts, BalanceConfig(), 0)
    published = [
        1.3609453700116234,
        14.378223495702006,
        6.637566137566138,
        40.235967926689575,
        49.612994350282484,
    ]
    assert first == pytest.approx(np.array(published), rel=1e-12)


def test_weights_decay_towards_the_final_ones_by_hand() -> None:
    """Of 8 rows, 6 and 2: w0 = 4/3, 4. After two epochs a half of a half of it stays: w = w0 / 4 + 3 wf / 4."""
    balance = BalanceConfig(decay=0.5, final=(1, 2))
    assert decayed_weights(np.array([6, 2]), balance, 2) == pytest.approx([1 / 3 + 3 / 4, 1 + 3 / 2])
    later = BalanceConfig(decay=0.5, final=(1, 2), past=2)
    assert np.array_equal(
        decayed_weights(np.array([6, 2]), later, 0), decayed_weights(np.array([6, 2]), balance, 2)
    )
    assert decayed_weights(np.array([6, 2]), balance, 2000) == pytest.approx([1, 2])
    assert decayed_weights(np.array([6, 0, 2]), BalanceConfig(), 3)[1] == 0


@pytest.mark.parametrize("epoch", [0, 20])
def test_decaying_draws_have_the_frequencies_of_their_weights(epoch: int) -> None:
    classes = np.array([0] * 900 + [1] * 90 + [4] * 10)
    balance = BalanceConfig(decay=0.9)
    share = 0.9**epoch
    mass = np.array([n * (share * 1000 / n + (1 - share) * f) for n, f in ((900, 1), (90, 2), (10, 2))])
    expected = mass / mass.sum()
    samplers = [EpochSampler(1000, seed, True, classes, balance=balance) for seed in range(10)]
    drawn = classes[[row for sampler in samplers for row in rows(sampler, epoch)]]
    shares = np.array([(drawn == c).mean() for c in (0, 1, 4)])
    assert (np.abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / 10_000)).all()


def test_decaying_draws_follow_from_seed_and_epoch_and_leave_unknown_grades_out() -> None:
    classes = np.array([-1] * 50 + [0] * 40 + [2] * 10)
    sampler = EpochSampler(100, 3, True, classes, balance=BalanceConfig())
    third = rows(sampler, 3)
    assert third == rows(EpochSampler(100, 3, True, classes, balance=BalanceConfig()), 3)
    assert third != rows(sampler, 4)
    assert set(classes[third]) == {0, 2}
    unlabelled = EpochSampler(5, 0, True, np.full(5, -1), balance=BalanceConfig())
    assert len(rows(unlabelled, 0)) == 5
    shares = [list(EpochSampler(100, 3, True, classes, rank, 2, BalanceConfig())) for rank in (0, 1)]
    assert sorted(key for share in shares for key in share) == sorted(
        EpochSampler(100, 3, True, classes, balance=BalanceConfig())
    )


def test_a_grade_without_a_final_weight_is_refused() -> None:
    with pytest.raises(
        RetinalabError, match=r"gives 2 weights; the training photographs have class 3\. Give at least 4"
    ):
        decayed_weights(np.array([5, 0, 0, 1]), BalanceConfig(final=(1, 2)), 0)
    with pytest.raises(RetinalabError, match=r"gives no weight to the training photographs' classes \[0\]"):
        decayed_weights(np.array([5]), BalanceConfig(decay=0, final=(0, 1)), 1)


@pytest.mark.parametrize(("drop", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_batches_and_skipping_within_one_epoch(drop: bool, sizes: list[int]) -> None:
    batches = EpochBatches(EpochSampler(10, 0, True), 4, drop)
    whole = list(batches)
    assert [len(batch) for batch in whole] == sizes
    assert len(batches) == len(sizes)
    resumed = EpochBatches(EpochSampler(10, 0, True), 4, drop, skip=1)
    assert list(resumed) == whole[1:]
    assert list(resumed) == whole  # the next epoch is whole again


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 5), st.integers(1, 6))
def test_every_process_evaluates_equally_many_batches_of_which_those_that_count_hold_each_row_once(
    count: int, world: int, batch_size: int, together: int
) -> None:
    counted, lengths = [], set()
    for rank in range(world):
        sampler = EpochSampler(count, 0, False, None, rank, world, together=together)
        batches = EpochBatches(sampler, batch_size)
        loader = Loader(batches)
        made = list(batches)
        lengths.add(len(made))
        assert len(made) == len(batches)
        for number, keys in enumerate(made):
            assert keys
            if is_spare(loader, number):
                assert keys == [(0, 0, 0)]
            else:
                counted += [row for _, _, row in keys]
    assert sorted(counted) == list(range(count))
    assert len(lengths) == 1


def test_a_process_without_a_row_has_a_spare_batch_alone() -> None:
    batches = EpochBatches(EpochSampler(2, 0, False, None, 2, 3), 4)
    assert list(batches) == [[(0, 0, 0)]]
    assert is_spare(Loader(batches), 0)
    assert not is_spare(Loader(EpochBatches(EpochSampler(2, 0, False, None, 1, 3), 4)), 0)


class Loader:
    """What of a loader counts here."""

    def __init__(self, batches: EpochBatches) -> None:
        self.batch_sampler = batches
