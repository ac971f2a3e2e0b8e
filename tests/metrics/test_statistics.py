"""Bootstrap intervals against SciPy on the same draws, and their coverage on clustered data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from retinalab.errors import RetinalabError
from retinalab.metrics.grading import Array, Ranking, ratio
from retinalab.metrics.statistics import Clusters, Panel, bootstrap, jackknife, resample


def mean_panel(values: np.ndarray, index: np.ndarray | None = None) -> Panel:
    index = np.arange(values.size) if index is None else index
    return lambda counts: ratio(counts[:, index] @ values, counts[:, index].sum(axis=1))[:, None]


def distribution(panel: Panel, clusters: Clusters, resamples: int, seed: int) -> Array:
    """Values of the resamples, so rounded that equal ones are equal."""
    drawn = np.concatenate([panel(counts)[:, 0] for counts in resample(clusters, resamples, seed)])
    return drawn.round(13)


def names(n: int) -> list[str]:
    return [f"{k:05d}" for k in range(n)]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_one_sample_agrees_with_scipy_on_the_same_draws(
    method: Literal["bca", "percentile"], tied: bool
) -> None:
    values = np.random.default_rng(0).exponential(size=50)
    values = (values > 1).astype(float) if tied else values
    clusters = Clusters.of(names(50))
    panel = mean_panel(values)
    (interval,) = bootstrap(panel, clusters, 999, seed=3, method=method)
    drawn = distribution(panel, clusters, 999, seed=3)
    oracle = stats.bootstrap(
        (values,), np.mean, n_resamples=0, method={"bca": "BCa", "percentile": "percentile"}[method],
        bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
    ).confidence_interval  # fmt: skip
    assert (interval.low, interval.high) == pytest.approx((oracle.low, oracle.high), rel=1e-9)
    assert interval.value == pytest.approx(values.mean())


def test_strata_agree_with_scipy_on_several_samples() -> None:
    generator = np.random.default_rng(1)
    ill, well = generator.normal(1, 1, 30), generator.normal(0, 1, 45)
    positive = np.repeat([True, False], [30, 45])
    ranking = Ranking(positive, np.concatenate([ill, well]))
    clusters = Clusters.of(names(75), positive)

    def panel(counts: Array) -> Array:
        return ranking(counts)[:, None]

    def area(a: Array, b: Array) -> float:
        return float(roc_auc_score(np.repeat([1, 0], [a.size, b.size]), np.concatenate([a, b])))

    (interval,) = bootstrap(panel, clusters, 499, seed=5)
    drawn = distribution(panel, clusters, 499, seed=5)
    oracle = stats.bootstrap(
        (ill, well), area, n_resamples=0, method="BCa", vectorized=False,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
    ).confidence_interval  # fmt: skip
    assert (interval.low, interval.high) == pytest.approx((oracle.low, oracle.high), rel=1e-9)


def test_draws_are_those_of_an_independent_bootstrap() -> None:
    values = np.random.default_rng(2).gamma(2, size=60)
    (interval,) = bootstrap(mean_panel(values), Clusters.of(names(60)), 4000, seed=0)
    oracle = stats.bootstrap((values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(9))
    error = oracle.standard_error
    limits = oracle.confidence_interval
    # the 2.5 % quantile of 4,000 draws has a standard error of 0.04 bootstrap standard errors; two compared
    assert interval.low == pytest.approx(limits.low, abs=0.25 * error)
    assert interval.high == pytest.approx(limits.high, abs=0.25 * error)


def test_resamples_draw_whole_clusters_within_strata() -> None:
    groups = np.array(["a", "a", "b", "c", "d", "e"])
    clusters = Clusters.of(groups, [0, 3, 0, 3, 0, 3])
    assert clusters.names.tolist() == ["a", "b", "c", "d", "e"]
    assert [members.tolist() for members in clusters.strata] == [[1, 3], [0, 2, 4]]
    counts = np.concatenate(list(resample(clusters, 3000, 0)))
    np.testing.assert_allclose(counts[:, [1, 3]].sum(axis=1), 2)
    np.testing.assert_allclose(counts[:, [0, 2, 4]].sum(axis=1), 3)
    assert set(counts[:, 1]) == {0, 2}
    assert set(counts[:, 0]) == {0, 1.5, 3}
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=5 * np.sqrt(1 / 3000))
    # one draw of two weighs 2: variance 4 (1/2) (1/2); two of three weigh 3/2: (9/4) 2 (1/3) (2/3)
    np.testing.assert_allclose(counts.var(axis=0), [1, 1, 1, 1, 1], atol=0.08)
    again = np.concatenate(list(resample(clusters, 3000, 0)))
    np.testing.assert_array_equal(counts, again)


def test_resampled_means_have_the_unbiased_variance_in_strata_of_any_size() -> None:
    values = np.array([0.0, 1.0, 5.0, 6.0, 8.0, 2.0, 4.0])
    clusters = Clusters.of(names(7), [0, 0, 1, 1, 1, 2, 2])
    drawn = distribution(mean_panel(values), clusters, 20_000, 0)
    parts = (values[:2], values[2:5], values[5:])
    expected = sum(part.size * part.var(ddof=1) for part in parts) / 49
    assert drawn.var() == pytest.approx(expected, rel=0.04)  # four standard errors of 20,000 draws


def test_p_is_the_level_whose_interval_ends_at_the_value_asked_about() -> None:
    values = np.random.default_rng(4).exponential(size=40) - 0.7
    panel, clusters = mean_panel(values), Clusters.of(names(40))
    (plain,) = bootstrap(panel, clusters, 4000)
    for null in plain.value + plain.error * np.array([-2, -0.7, 0.7, 2]):
        for method in ("bca", "percentile"):
            (asked,) = bootstrap(panel, clusters, 4000, method=method, null=null)  # type: ignore[arg-type]
            (level,) = bootstrap(panel, clusters, 4000, level=1 - asked.p, method=method)  # type: ignore[arg-type]
            end = level.low if null < asked.value else level.high
            assert end == pytest.approx(null, abs=0.05 * asked.error)
    (symmetric,) = bootstrap(panel, clusters, 20_000, method="percentile", null=0.0)
    z = symmetric.value / symmetric.error
    assert symmetric.error == pytest.approx(values.std(ddof=1) / np.sqrt(40), rel=0.03)
    assert symmetric.p == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.03)


def test_p_is_never_below_what_the_resamples_can_tell() -> None:
    panel, clusters = mean_panel(np.random.default_rng(5).normal(size=30)), Clusters.of(names(30))
    (far,) = bootstrap(panel, clusters, 99, null=50.0)
    assert 1 / 100 <= far.p < 4 / 100
    (same,) = bootstrap(mean_panel(np.zeros(30)), clusters, 99, null=0.0)
    assert (same.p, same.error) == (1, 0)
    assert np.isnan(bootstrap(panel, clusters, 99)[0].p)


def test_a_stratum_of_one_joins_its_neighbour() -> None:
    lowest = Clusters.of(["a", "b", "c"], [0, 1, 1])
    assert [members.tolist() for members in lowest.strata] == [[0, 1, 2]]
    highest = Clusters.of(["a", "b", "c", "d", "e"], [0, 0, 1, 1, 4])
    assert [members.tolist() for members in highest.strata] == [[0, 1], [2, 3, 4]]


def test_jackknife_leaves_out_whole_clusters() -> None:
    values, index = np.array([1.0, 2.0, 3.0, 6.0]), np.array([0, 0, 1, 2])
    (left_out,) = jackknife(mean_panel(values, index), Clusters.of(["a", "a", "b", "c"]))
    np.testing.assert_allclose(left_out[:, 0], [4.5, 3.0, 2.0])


def test_deleting_blocks_keeps_the_acceleration() -> None:
    values = np.random.default_rng(3).exponential(size=1500)
    clusters = Clusters.of(names(1500))

    def acceleration(deletions: int) -> float:
        (left_out,) = jackknife(mean_panel(values), clusters, deletions)
        influence = left_out.mean() - left_out[:, 0]
        return float((influence**3).sum() / (6 * (influence**2).sum() ** 1.5))

    assert acceleration(1500) == pytest.approx(stats.skew(values) / 6 / np.sqrt(1500), rel=1e-6)
    # third powers of sums of normals have a standard error of sqrt(15) / 6 / blocks
    assert acceleration(500) == pytest.approx(acceleration(1500), abs=4 * np.sqrt(15) / 6 / 500)


def simulate(seed: int, patients: int = 50, views: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    positive = np.repeat(np.arange(patients) % 2 == 1, views)
    shared = np.repeat(generator.normal(size=patients), views)
    score = positive * 1.5 + shared + 0.7 * generator.normal(size=patients * views)
    return positive, score, np.repeat(np.array(names(patients)), views)


def coverage(samples: int, by_patient: bool) -> float:
    truth = stats.norm.cdf(1.5 / np.sqrt(2 * (1 + 0.7**2)))
    covered = 0
    for seed in range(samples):
        positive, score, groups = simulate(seed)
        units = groups if by_patient else np.array(names(score.size))
        clusters = Clusters.of(units, positive)
        ranking, index = Ranking(positive, score), clusters.index(units)
        (interval,) = bootstrap(lambda c, r=ranking, i=index: r(c[:, i])[:, None], clusters, 400, seed=seed)  # type: ignore[misc]
        covered += interval.low <= truth <= interval.high
    return covered / samples


def test_intervals_over_patients_cover_and_over_photographs_do_not() -> None:
    # three binomial standard errors of 1,000 samples are 2.1 points
    assert 0.93 <= coverage(1000, by_patient=True) <= 0.97
    assert coverage(100, by_patient=False) < 0.85


def test_fallbacks_say_what_they_are() -> None:
    clusters = Clusters.of(names(20))
    (constant,) = bootstrap(mean_panel(np.ones(20)), clusters, 200)
    assert (constant.value, constant.low, constant.high) == (1, 1, 1)
    assert constant.note == "every resample gives this value"
    (single,) = bootstrap(mean_panel(np.arange(3.0), np.zeros(3, dtype=int)), Clusters.of(["p"] * 3), 200)
    assert single.value == 1
    assert np.isnan([single.low, single.high]).all()
    assert "single group" in single.note
    (undefined,) = bootstrap(lambda counts: np.full((len(counts), 1), np.nan), clusters, 200)
    assert np.isnan(undefined.value)
    assert undefined.note

    ranking = Ranking(np.arange(20) == 0, np.r_[0.5, np.linspace(0, 1, 19)])
    (rare,) = bootstrap(lambda counts: ranking(counts)[:, None], clusters, 1000)
    # the only positive is missing from (1 - 1/20)^19 = 38 % of the resamples, and from one of the jackknife's
    assert "of 1000 resamples undefined" in rare.note
    assert 300 < int(rare.note.split()[0]) < 420
    assert "percentile interval" in rare.note
    assert rare.low < rare.value < rare.high


def test_nothing_to_resample() -> None:
    with pytest.raises(RetinalabError, match="No photograph"):
        Clusters.of([])
