"""Randomised weights: what is shuffled and in which order, and the rank correlation against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from retinalab.errors import RetinalabError
from retinalab.explain.randomisation import cascade, rank_correlation, weighted_modules


class Holder(nn.Module):
    """As much of a task as is randomised."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3),
            nn.Flatten(),
            nn.Linear(8, 5),
        )


def state(holder: Holder) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in holder.state_dict().items()}


def changed_in(before: dict[str, torch.Tensor], after: nn.Module) -> set[str]:
    return {
        name.split(".")[1]
        for name, value in after.state_dict().items()
        if not torch.equal(before[name], value)
    }


def test_the_cascade_runs_from_the_head_downwards_and_keeps_every_weights_values() -> None:
    holder = Holder()
    before = state(holder)
    assert len(weighted_modules(holder.network)) == 4
    seen = []
    for copy in cascade(holder, (0.25, 0.5, 1.0), seed=3):  # type: ignore[arg-type]
        seen.append(changed_in(before, copy))
        for name, value in copy.state_dict().items():
            assert torch.equal(value.flatten().sort()[0], before[name].flatten().sort()[0])
        assert not changed_in(before, holder)
    assert seen == [{"5"}, {"5", "3"}, {"5", "3", "0"}]  # the untrained normalisation is all ones and zeros


def test_the_cascade_is_seeded_and_its_steps_do_not_matter_to_its_end() -> None:
    ends = []
    for depths, seed in (((0.25, 0.5, 1.0), 3), ((1.0,), 3), ((1.0,), 4)):
        *_, last = cascade(Holder(), depths, seed)  # type: ignore[arg-type]
        ends.append(last.network[0].weight)  # type: ignore[index, union-attr]
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[1], ends[2])


def test_depths_must_ascend() -> None:
    for depths in ((), (0.5, 0.25), (0.0, 1.0), (0.5, 1.5)):
        with pytest.raises(RetinalabError, match="ascending shares"):
            next(cascade(Holder(), depths))  # type: ignore[arg-type]


def test_rank_correlation_against_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, (5, 9, 7)) / 5, rng.random((5, 9, 7))
    second[1] = first[1] ** 3
    second[2] = -first[2]
    fields = rng.random((5, 9, 7)) > 0.3
    values, known = rank_correlation(first, second, fields)
    assert known.all()
    for b in range(5):
        wanted = spearmanr(first[b][fields[b]], second[b][fields[b]]).statistic
        assert values[b] == pytest.approx(wanted, abs=1e-12)
    assert values[1:3] == pytest.approx([1.0, -1.0])


def test_no_correlation_exists_with_a_map_of_one_value() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((4, 5, 5)), rng.random((4, 5, 5))
    fields = np.ones((4, 5, 5), bool)
    first[0] = 0.0
    second[1, 2, 2] = np.nan
    fields[2] = False
    values, known = rank_correlation(first, second, fields)
    assert known.tolist() == [False, False, False, True]
    assert values[:3].tolist() == [0.0, 0.0, 0.0]
