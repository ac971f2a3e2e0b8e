"""What is lost at one rate is lost at every higher one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from retinalab_clpi.detection import annotated

from retinalab.errors import RetinalabError

LESIONS = [40, 0, 7, 153, 1]
RATES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.95]


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_nested_and_exact(seed: int) -> None:
    lost = [~np.concatenate(annotated(LESIONS, rate, seed)) for rate in RATES]
    assert [int(one.sum()) for one in lost] == [0, 20, 40, 60, 80, 100, 191]
    for less, more in pairwise(lost):
        assert (more[less]).all()


def test_photographs_keep_their_numbers() -> None:
    assert [len(kept) for kept in annotated(LESIONS, 0.4, 3)] == LESIONS


def test_seeds_differ_and_repeat() -> None:
    first, again, other = (np.concatenate(annotated(LESIONS, 0.5, seed)) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_every_lesion_is_as_likely_to_be_lost() -> None:
    share = np.mean([np.concatenate(annotated([5, 15], 0.3, seed)) for seed in range(400)], 0)
    assert np.abs(share - 0.7).max() < 5 * np.sqrt(0.3 * 0.7 / 400)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 30])
def test_no_such_rate(rate: float) -> None:
    with pytest.raises(RetinalabError, match=r"below 1, such as 0\.3"):
        annotated(LESIONS, rate, 0)
