"""Sensitivity against false findings: hand-worked points, a curve by brute force, and the way through the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from retinalab.metrics import Metric, evaluate, read_table, write_table
from retinalab.metrics.froc import FALSE_RATES, froc_names, operating_points, sensitivity_at
from retinalab.metrics.lesions import THRESHOLDS, lesion_counts


def judged(rows: pd.DataFrame, resamples: int = 0) -> dict[str, Metric]:
    """Figures of a lesions table alone."""
    return evaluate(
        pd.DataFrame(columns=["image", "set", "part"]), {}, rows, resamples=resamples, primary_set="one"
    )


def made(photographs: int, seed: int, side: int = 40) -> list[tuple[np.ndarray, np.ndarray]]:
    """Score maps of blobs on lesions and beside them, with masks; every third photograph has no lesion."""
    generator = np.random.default_rng(seed)
    out = []
    for k in range(photographs):
        mask = np.zeros((side, side), np.uint8)
        score = 0.004 * generator.random((side, side))
        for spot in range(5):
            y, x = generator.integers(2, side - 4, 2)
            lesion = k % 3 > 0 and spot < 3
            if lesion:
                mask[y : y + 3, x : x + 3] = 1
            if generator.random() < 0.7:
                score[y : y + 2, x : x + 3] = generator.random()
        mask[0] = 255
        score[0, :7] = 1
        out.append((score, mask))
    return out


def table_of(maps: list[tuple[np.ndarray, np.ndarray]], lesion: str = "MA") -> pd.DataFrame:
    rows = [
        {"image": f"{k}.png", "set": "one", "part": "test", "group": f"one/{k // 2}", "lesion": lesion}
        | dict(lesion_counts(score, mask))
        for k, (score, mask) in enumerate(maps)
    ]
    return pd.DataFrame(rows).assign(fold=-1, seed=0)


def by_hand(maps: list[tuple[np.ndarray, np.ndarray]], threshold: float) -> tuple[float, float]:
    """Sensitivity and false findings per photograph, component by component."""
    hit = lesions = false = 0
    around = np.ones((3, 3))
    for score, mask in maps:
        truth, count = ndimage.label(mask == 1, around)
        found, number = ndimage.label((score >= threshold) & (mask != 255), around)
        true = [k for k in range(1, number + 1) if (mask[found == k] == 1).mean() >= 0.2]
        false += number - len(true)
        lesions += count
        hit += len(set(truth[np.isin(found, true)]) - {0})
    return hit / lesions, false / len(maps)


def test_the_curve_is_the_one_counted_component_by_component() -> None:
    maps = made(9, 0)
    points = [by_hand(maps, threshold) for threshold in THRESHOLDS]
    found = judged(table_of(maps), resamples=50)
    each = []
    for rate in FALSE_RATES:
        each.append(max([sensitivity for sensitivity, false in points if false <= rate], default=0.0))
        assert found[f"test/lesion/MA/froc_{rate:g}"]["value"] == pytest.approx(each[-1])
    assert len(set(each)) > 2
    assert found["test/lesion/MA/froc"]["value"] == pytest.approx(np.mean(each))
    assert found["test/lesion/MA/froc"]["n"] == 9
    assert found["test/lesion/MA/froc"]["n_groups"] == 5
    sensitivity, false = by_hand(maps, 0.5)
    assert found["test/lesion/MA/component_recall"]["value"] == pytest.approx(sensitivity)
    assert found["test/lesion/MA/false_components"]["value"] == pytest.approx(false)


def test_points_by_hand() -> None:
    """Four photographs, five lesions; the better point wins although its threshold is lower."""
    false, sensitivity = operating_points(
        np.array([4.0, 3.0, 1.0]), np.array([8.0, 1.0, 0.0]), np.array(5.0), np.array(4.0)
    )
    assert false.tolist() == [2.0, 0.25, 0.0]
    assert sensitivity_at(false, sensitivity).tolist() == [0.2, 0.6, 0.6, 0.6, 0.8, 0.8, 0.8]
    assert FALSE_RATES == (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
    many = sensitivity_at(np.full(3, 9.0), sensitivity)
    assert many.tolist() == [0.0] * 7
    assert np.isnan(sensitivity_at(*operating_points(false, false, np.array(0.0), np.array(4.0)))).all()


def test_finding_everything_hits_nothing() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[3:6, 3:6] = 1
    counts = lesion_counts(np.ones((20, 20)), mask)
    assert (counts["hits"], counts["misses"], counts["false_components"]) == (0, 1, 1)
    assert counts["hits_at"].tolist() == [0] * len(THRESHOLDS)
    near = np.zeros((20, 20))
    near[3:8, 3:12] = 0.9
    assert lesion_counts(near, mask)["hits"] == 1
    near[3:8, 3:13] = 0.9
    assert lesion_counts(near, mask)["hits"] == 0


def test_photographs_without_the_lesion_count_among_photographs() -> None:
    maps = made(9, 3)
    found = judged(table_of(maps), resamples=0)
    shown = [one for one in maps if (one[1] == 1).any()]
    fewer = judged(table_of(shown), resamples=0)
    key = "test/lesion/MA/component_recall"
    assert found[key]["value"] == fewer[key]["value"]
    assert found["test/lesion/MA/false_components"]["value"] == pytest.approx(by_hand(maps, 0.5)[1])
    assert fewer["test/lesion/MA/false_components"]["value"] == pytest.approx(by_hand(shown, 0.5)[1])
    only = judged(table_of([one for one in maps if not (one[1] == 1).any()]), resamples=0)
    assert only["test/lesion/MA/froc"]["value"] is None
    assert "undefined" in only["test/lesion/MA/froc"]["note"]


def test_windows_of_one_photograph_are_one_photograph() -> None:
    maps = made(6, 5)
    whole, pieces = table_of(maps), table_of(maps).assign(image=["0.png"] * 3 + ["1.png"] * 3)
    one, other = (judged(rows, resamples=0) for rows in (whole, pieces))
    key = "test/lesion/MA/false_components"
    assert other[key]["value"] == pytest.approx(3 * one[key]["value"])  # type: ignore[operator]


def test_seeds_are_averaged_and_a_table_without_the_counts_still_has_its_figures(tmp_path: Path) -> None:
    first, second = table_of(made(6, 1)), table_of(made(6, 2)).assign(seed=1)
    both = judged(pd.concat([first, second]), resamples=20)["test/lesion/MA/froc"]
    apart = [judged(t, resamples=0)["test/lesion/MA/froc"]["value"] for t in (first, second)]
    assert both["seeds"] == pytest.approx(apart)
    write_table(first, tmp_path / "lesions.parquet", "lesions")
    again = read_table(tmp_path / "lesions.parquet", "lesions")
    assert judged(again, resamples=20) == judged(first, resamples=20)
    write_table(first.drop(columns=["hits_at", "false_at"]), tmp_path / "old.parquet", "lesions")
    old = judged(read_table(tmp_path / "old.parquet", "lesions"), resamples=0)
    assert {key.rpartition("/")[2] for key in old if "/MA/" in key}.isdisjoint(froc_names())
    assert old["test/lesion/MA/f1"] == judged(first, resamples=0)["test/lesion/MA/f1"]
    assert "test/lesion/mean/f1" in old
    assert "test/lesion/mean/froc" not in old


def test_a_mean_says_which_lesions_it_is_over() -> None:
    shown, without = made(6, 1), [(np.zeros((8, 8)), np.zeros((8, 8), np.uint8))] * 6
    rows = pd.concat([table_of(shown), table_of(shown, "EX"), table_of(without, "NV")])
    found = judged(rows, resamples=0)
    assert found["test/lesion/NV/f1"]["value"] is None
    assert found["test/lesion/mean/f1"]["value"] == pytest.approx(found["test/lesion/MA/f1"]["value"])
    assert found["test/lesion/mean/f1"]["note"].startswith("mean over MA, EX")
