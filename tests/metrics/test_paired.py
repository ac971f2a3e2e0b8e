"""Paired tests against statsmodels, SciPy, enumeration of every exchange and hand-worked cases."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_oracle

from retinalab.errors import RetinalabError
from retinalab.metrics.grading import Array, kappa, kappa_gradient
from retinalab.metrics.paired import (
    exchange_test,
    holm,
    mcnemar,
    resampled_t,
    sign_flip_test,
    smallest_difference,
)


def answers(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, first, second, neither)
    return np.repeat([1, 1, 0, 0], counts).astype(bool), np.repeat([1, 0, 1, 0], counts).astype(bool)


@pytest.mark.parametrize(
    "counts", [(30, 8, 2, 5), (0, 12, 11, 0), (5, 0, 1, 0), (59, 6, 16, 80), (100, 40, 12, 3)]
)
def test_mcnemar_agrees_with_statsmodels(counts: tuple[int, int, int, int]) -> None:
    a, b = answers(*counts)
    table = np.array(counts).reshape(2, 2)
    exact = float(mcnemar_oracle(table, exact=True).pvalue)
    assert mcnemar(a, b, mid_p=False) == pytest.approx(exact)
    n, k = counts[1] + counts[2], min(counts[1:3])
    assert mcnemar(a, b) == pytest.approx(exact - stats.binom.pmf(k, n, 0.5))


def test_mid_p_of_a_published_table() -> None:
    # Fagerland, Lydersen and Laake 2013, Table 1 (airway hyper-responsiveness): 1 and 7 discordant
    a, b = answers(1, 1, 7, 12)
    assert mcnemar(a, b, mid_p=False) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar(a, b) == pytest.approx(0.0391, abs=5e-5)


def test_equal_methods_have_no_evidence() -> None:
    assert mcnemar([True, False], [True, False]) == 1
    assert sign_flip_test([]) == 1
    assert sign_flip_test([2, -2], mid_p=False) == 1


@pytest.mark.parametrize("d", [[3, -1, 2, 2, 0], [1, 1, 1, 1], [4, -4, 1], [5], [2, 2, -1, 3, -2, 1, 6]])
def test_sign_flips_agree_with_every_assignment_of_signs(d: list[int]) -> None:
    sums = np.array([abs(np.dot(signs, d)) for signs in product((-1, 1), repeat=len(d))])
    further, tied = np.mean(sums > abs(sum(d))), np.mean(sums == abs(sum(d)))
    assert sign_flip_test(d, mid_p=False) == pytest.approx(further + tied)
    assert sign_flip_test(d) == pytest.approx(further + tied / 2)


def test_photographs_of_a_patient_are_one_piece_of_evidence() -> None:
    a, b = answers(0, 12, 0, 0)
    patients = np.repeat(["p", "q", "r"], 4)
    assert mcnemar(a, b, mid_p=False) == pytest.approx(2 / 2**12)
    assert mcnemar(a, b, patients, mid_p=False) == pytest.approx(2 / 2**3)
    shuffled = np.random.default_rng(0).permutation(12)
    assert mcnemar(a[shuffled], b[shuffled], patients[shuffled]) == mcnemar(a, b, patients)


def cells(reference: np.ndarray, predicted: np.ndarray, owner: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros((owner.max() + 1, 1, size * size))
    np.add.at(out, (owner, 0, reference * size + predicted), 1)
    return out


def _square(sums: Array) -> Array:
    size = round(sums.shape[-1] ** 0.5)
    return sums.reshape(*sums.shape[:-1], size, size)


def kappas(sums: Array) -> Array:
    return kappa(_square(sums))


def slopes(sums: Array) -> Array:
    return kappa_gradient(_square(sums)).reshape(sums.shape)


def test_exchanging_patients_agrees_with_every_exchange() -> None:
    """Kappas from photographs, standard errors by giving each patient a little more weight and a little less."""
    generator = np.random.default_rng(3)
    owner = np.repeat(np.arange(8), 3)
    reference = generator.integers(3, size=24)
    first = np.where(generator.random(24) < 0.8, reference, generator.integers(3, size=24))
    second = np.where(generator.random(24) < 0.3, reference, generator.integers(3, size=24))
    second[owner == 2] = first[owner == 2]  # a patient whom both grade alike
    tables = [cells(reference, side, owner, 3) for side in (first, second)]
    p = exchange_test(*tables, kappas, slopes, 20_000)

    def kappa_of(side: np.ndarray, weights: np.ndarray) -> float:
        w = weights[owner]
        chance = np.average(np.subtract.outer(reference, side) ** 2, weights=np.outer(w, w))
        return float(1 - np.average((reference - side) ** 2, weights=w) / chance)

    def studentised(swap: np.ndarray) -> float:
        sides = np.where(swap[owner], second, first), np.where(swap[owner], first, second)

        def difference(weights: np.ndarray) -> float:
            return kappa_of(sides[0], weights) - kappa_of(sides[1], weights)

        step = 1e-4 * np.eye(8)
        influence = [(difference(1 + h) - difference(1 - h)) / 2e-4 for h in step]
        return difference(np.ones(8)) / float(np.sqrt(np.square(influence).sum()))

    every = np.abs([studentised(np.array(swap)) for swap in product((False, True), repeat=8)])
    exact = np.mean(every >= every[0] - 1e-6)
    assert 0.02 < exact < 0.9
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_a_method_that_gives_one_grade_is_told_from_one_that_grades() -> None:
    """Plain differences are lost here: exchanging makes mixtures that are by turns excellent and worthless."""
    generator = np.random.default_rng(8)
    owner = np.repeat(np.arange(20), 4)
    reference = np.repeat(np.arange(20) % 5, 4)
    good = np.clip(reference + generator.integers(-1, 2, size=80), 0, 4)
    constant = np.where(generator.random(80) < 0.1, reference, 0)
    tables = [cells(reference, side, owner, 5) for side in (good, constant)]
    assert exchange_test(*tables, kappas, slopes, 1999) < 0.01


def test_the_slope_of_kappa_is_its_derivative() -> None:
    table = np.random.default_rng(9).integers(1, 9, size=(2, 4, 4)).astype(float)
    step = 1e-5
    for row in range(4):
        for column in range(4):
            moved = np.zeros((4, 4))
            moved[row, column] = step
            found = (kappa(table + moved) - kappa(table - moved)) / (2 * step)
            np.testing.assert_allclose(kappa_gradient(table)[:, row, column], found, rtol=1e-6)
    np.testing.assert_allclose((kappa_gradient(table) * table).sum((1, 2)), 0, atol=1e-12)


def test_exchanging_shares_agrees_with_sign_flips() -> None:
    generator = np.random.default_rng(4)
    right = generator.integers(0, 4, size=(2, 30, 1, 1)).astype(float)
    p = exchange_test(right[0], right[1], lambda sums: sums[..., 0], np.ones_like, 20_000)
    exact = sign_flip_test((right[0] - right[1]).ravel().astype(int), mid_p=False)
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_all_seeds_of_a_patient_are_exchanged_together() -> None:
    """Three equal seeds are the same evidence as one."""
    one, other = np.random.default_rng(5).integers(0, 4, size=(2, 12, 1, 9)).astype(float)
    alone = exchange_test(one, other, kappas, slopes, 2000)
    assert exchange_test(one.repeat(3, axis=1), other.repeat(3, axis=1), kappas, slopes, 2000) == alone
    assert exchange_test(other, one, kappas, slopes, 2000) == pytest.approx(alone, abs=0.05)


def test_exchange_of_equal_or_undefined_methods() -> None:
    same = np.ones((5, 1, 9))
    assert exchange_test(same, same, kappas, slopes, 99) == 1
    undefined = np.zeros((5, 1, 9))
    undefined[..., 0] = 1
    assert np.isnan(exchange_test(undefined, undefined, kappas, slopes, 99))
    far = np.zeros((40, 1, 1))
    assert exchange_test(far + 1, far, lambda sums: sums[..., 0], np.ones_like, 99) == 1 / 100


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    generator = np.random.default_rng(6)
    for _ in range(20):
        p = generator.random(7) ** 3
        corrected = np.array(holm(p.tolist()))
        for level in (0.01, 0.05, 0.2, 0.5):
            rejected = np.zeros(7, dtype=bool)
            for step, k in enumerate(np.argsort(p)):
                if p[k] > level / (7 - step):
                    break
                rejected[k] = True
            np.testing.assert_array_equal(corrected <= level, rejected)
    # R's p.adjust(c(0.01, 0.02, 0.03, 0.005), "holm")
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    with_gap = holm([0.01, float("nan"), 0.03])
    assert [with_gap[0], with_gap[2]] == pytest.approx([0.02, 0.03])
    assert np.isnan(with_gap[1])
    assert holm([]) == []


def test_corrected_t_of_a_hand_worked_case() -> None:
    # mean 2, s^2 = 1, (1/3 + 1/2) s^2 = 5/6, t = 2 / sqrt(5/6) = 2.19089 with 2 degrees of freedom
    found = resampled_t([1, 2, 3], test_to_train=0.5)
    assert (found.value, found.error) == pytest.approx((2, np.sqrt(5 / 6)))
    t = 2 / np.sqrt(5 / 6)
    assert found.p == pytest.approx(1 - t / np.sqrt(2 + t**2))  # the law with 2 degrees of freedom
    assert found.high - found.value == pytest.approx(4.302653 * np.sqrt(5 / 6), rel=1e-6)


def test_corrected_t_without_overlap_is_the_plain_one() -> None:
    d = np.random.default_rng(7).normal(0.3, 1, 12)
    found = resampled_t(d, test_to_train=1e-12)
    oracle = stats.ttest_1samp(d, 0)
    assert found.p == pytest.approx(oracle.pvalue)
    limits = oracle.confidence_interval()
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high))
    assert resampled_t(d, 1 / 9).p > found.p


def test_corrected_t_says_what_it_cannot_do() -> None:
    assert "fewer than two folds" in resampled_t([0.1], 0.2).note
    constant = resampled_t([0.0, 0.0], 0.2)
    assert (constant.p, constant.low, constant.high) == (1, 0, 0)
    with pytest.raises(RetinalabError, match=r"is 0\. Give one above 0"):
        resampled_t([0.1, 0.2], 0)


def test_the_smallest_difference_is_found_with_the_stated_power() -> None:
    least = smallest_difference(0.02)
    power = stats.norm.sf(1.959964 - least / 0.02) + stats.norm.cdf(-1.959964 - least / 0.02)
    assert power == pytest.approx(0.8, abs=1e-4)
    drawn = np.random.default_rng(8).normal(least, 0.02, 40_000)
    assert np.mean(np.abs(drawn / 0.02) > 1.959964) == pytest.approx(0.8, abs=0.01)


def test_runs_that_answer_alike_say_nothing_of_power() -> None:
    assert np.isnan(smallest_difference(0.0))
