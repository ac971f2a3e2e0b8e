"""Entropy and mutual information against SciPy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from scipy.special import rel_entr

from retinalab.metrics.uncertainty import entropy, mutual_information


def test_entropy_is_scipys() -> None:
    given = np.random.default_rng(0).dirichlet(np.full(5, 0.3), (7, 4))
    assert entropy(given) == pytest.approx(scipy.stats.entropy(given, axis=-1))


def test_its_range() -> None:
    assert entropy([0, 0, 1, 0, 0]) == 0
    assert not math.copysign(1, entropy([0, 0, 1, 0, 0])) < 0
    for size in (2, 3, 5):
        assert entropy(np.full(size, 1 / size)) == pytest.approx(math.log(size))
    assert np.isnan(entropy([np.nan, 1.0]))


def test_mutual_information_is_the_mean_divergence_from_the_mean() -> None:
    members = np.random.default_rng(1).dirichlet(np.ones(5), (6, 9))
    mean = members.mean(axis=0)
    wanted = rel_entr(members, mean).sum(axis=-1).mean(axis=0)
    assert mutual_information(members) == pytest.approx(wanted)
    assert (mutual_information(members) <= entropy(mean)).all()


def test_members_that_agree_share_none() -> None:
    assert mutual_information([[0.2, 0.8]] * 4) == 0
    assert mutual_information([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) == pytest.approx(
        math.log(3)
    )
