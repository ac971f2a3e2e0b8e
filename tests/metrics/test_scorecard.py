"""Figures of a table of saliency: sums by hand, intervals by patient, paired differences, undefined ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retinalab.errors import RetinalabError
from retinalab.metrics.scorecard import SALIENCY_FIGURES, compare_saliency, evaluate_saliency

SHARES = ("pointing", "mass", "border", "outside", "found_1", "found_5", "found_10")


def table(count: int = 12, model: str = "a", method: str = "gmsm", seed: int = 0) -> pd.DataFrame:
    """Photographs of ``count / 2`` patients; every third without lesions, every fourth with an empty map."""
    rng = np.random.default_rng([count, seed, *map(ord, model + method)])
    k = np.arange(count)
    lesions, empty = np.where(k % 3 == 0, 0, 1 + k % 5), (k % 4 == 1).astype(int)
    rows = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in k],
            "set": "drawn",
            "part": "test",
            "group": [f"drawn/{i // 2}" for i in k],
        }
    )
    rows = rows.assign(model=model, method=method, disease="dr", grade=2, fold=-1, seed=seed)
    rows = rows.assign(field=1000, lesion_pixels=10 * lesions, lesions=lesions, empty=empty)
    for name in SHARES:
        scale = lesions if name.startswith("found") else (lesions > 0) if name in ("pointing", "mass") else 1
        rows[name] = rng.random(count) * (1 - empty) * scale
        rows[f"{name}_chance"] = rng.random(count) * scale
    rows["deletion"], rows["deletion_random"] = rng.random(count), rng.random(count)
    rows["deletion_curve"] = rows["deletion_random_curve"] = [[0.5, 0.1]] * count
    rows["randomised_curve"] = [
        [0.5, float(value) * (1 - e)] for value, e in zip(rng.random(count), empty, strict=True)
    ]
    rows["randomised_known"] = [[1, 1 - int(e)] for e in empty]
    return rows


def test_figures_against_sums_by_hand() -> None:
    rows = table()
    found = evaluate_saliency(rows, resamples=0)
    assert set(found) == {f"test/a/gmsm/{name}" for name in SALIENCY_FIGURES}
    ill, some = rows["lesions"] > 0, rows["empty"] == 0
    last = np.array([curve[-1] for curve in rows["randomised_curve"]])
    wanted = {
        "pointing": rows["pointing"][ill].mean(),
        "mass_chance": rows["mass_chance"][ill].mean(),
        "recall_5": rows["found_5"].sum() / rows["lesions"].sum(),
        "recall_10_chance": rows["found_10_chance"].sum() / rows["lesions"].sum(),
        "border": rows["border"][some].mean(),
        "outside": rows["outside"][some].mean(),
        "empty_with_lesions": rows["empty"][ill].mean(),
        "empty_without_lesions": rows["empty"][~ill].mean(),
        "deletion_gain": (rows["deletion_random"] - rows["deletion"]).mean(),
        "randomised": last[some].mean(),
    }
    for name, value in wanted.items():
        assert found[f"test/a/gmsm/{name}"]["value"] == pytest.approx(value), name
    assert found["test/a/gmsm/pointing"]["n"] == 12
    assert found["test/a/gmsm/pointing"]["n_groups"] == 6


def test_a_map_with_saliency_only_beyond_the_field_leaks() -> None:
    rows = table(4)
    rows["empty"] = [1, 1, 0, 0]
    rows["outside"] = [1.0, 0.0, 0.2, 0.4]
    assert evaluate_saliency(rows, resamples=0)["test/a/gmsm/outside"]["value"] == pytest.approx(1.6 / 3)


def test_intervals_hold_the_figure_and_resample_patients() -> None:
    found = evaluate_saliency(table(60), resamples=300)["test/a/gmsm/mass"]
    assert found["low"] is not None
    assert found["high"] is not None
    assert found["value"] is not None
    assert found["low"] < found["value"] < found["high"]
    one = table(6).assign(group="drawn/0")
    assert evaluate_saliency(one, resamples=300)["test/a/gmsm/mass"]["low"] is None


def test_seeds_are_averaged_and_sets_kept_apart() -> None:
    two = [table(seed=0), table(seed=1)]
    found = evaluate_saliency(pd.concat(two), resamples=0)["test/a/gmsm/mass"]
    each = [evaluate_saliency(one, resamples=0)["test/a/gmsm/mass"]["value"] for one in two]
    assert found["value"] == pytest.approx(np.mean([value for value in each if value is not None]))
    assert found["seeds"] == each
    other = table().assign(set="other")
    assert "test@other/a/gmsm/mass" in evaluate_saliency(pd.concat([table(), other]), resamples=0)


def test_what_nothing_counts_is_undefined_not_nought() -> None:
    rows = table().assign(lesions=0, empty=1, outside=0.0)
    for name in SHARES:
        rows[name] = 0.0
    rows["randomised_known"] = [[0, 0]] * len(rows)
    found = evaluate_saliency(rows, resamples=20)
    for name in ("pointing", "recall_10", "border", "outside", "empty_with_lesions", "randomised"):
        assert found[f"test/a/gmsm/{name}"]["value"] is None
        assert "undefined" in found[f"test/a/gmsm/{name}"]["note"]
    assert found["test/a/gmsm/empty_without_lesions"]["value"] == 1


def test_pairs_differ_by_the_difference_of_their_figures() -> None:
    both = pd.concat([table(40, "a"), table(40, "b")])
    found = compare_saliency(both, ("a", "gmsm"), ("b", "gmsm"), resamples=200)
    alone = evaluate_saliency(both, resamples=0)
    for name in SALIENCY_FIGURES:
        a, b = (alone[f"test/{model}/gmsm/{name}"]["value"] for model in "ab")
        assert found[f"test/{name}"]["difference"] == pytest.approx((a or 0) - (b or 0))
    shifted = pd.concat(
        [table(40, "a"), table(40, "a").assign(model="b", deletion=lambda rows: rows["deletion"] - 0.1)]
    )
    one = compare_saliency(shifted, ("a", "gmsm"), ("b", "gmsm"), resamples=200)
    assert one["test/deletion"]["low"] == pytest.approx(0.1)
    assert one["test/mass"]["difference"] == 0


def test_only_the_same_photographs_are_compared() -> None:
    fewer = pd.concat([table(12, "a"), table(10, "b")])
    with pytest.raises(RetinalabError, match="Different photographs"):
        compare_saliency(fewer, ("a", "gmsm"), ("b", "gmsm"))
    with pytest.raises(RetinalabError, match="Unknown network and method 'a, cam'"):
        compare_saliency(fewer, ("a", "gmsm"), ("a", "cam"))
    with pytest.raises(RetinalabError, match="stands twice under a, gmsm"):
        evaluate_saliency(pd.concat([table(), table()]))
