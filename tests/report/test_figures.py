"""Curves: positions on the page turned back into data and compared with worked cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from retinalab.protocol import SCALES
from retinalab.report.chart import Axis, Chart, Curve, Dot, chart, unit_axis
from retinalab.report.figures import learning_curves, reliability, roc
from retinalab.report.folder import History


def data_of(drawn: Chart, path: str) -> np.ndarray:
    """Points of a path in the unit square."""
    left, top, right, bottom = drawn.box
    points = np.array([[float(v) for v in pair.split(",")] for pair in path.removeprefix("M").split(" ")])
    return np.stack(
        [(points[:, 0] - left) / (right - left), (bottom - points[:, 1]) / (bottom - top)], axis=1
    )


def graded(n: int, seeds: int = 1) -> pd.DataFrame:
    draw = np.random.default_rng(5)
    tables = []
    for seed in range(seeds):
        dr = np.arange(n) % 5
        shares = draw.dirichlet(np.ones(5), n) + 0.4 * np.eye(5)[dr]
        shares /= shares.sum(axis=1, keepdims=True)
        table = pd.DataFrame({"image": [str(k) for k in range(n)], "set": "s", "dr": dr, "seed": seed})
        table = table.assign(**{f"dr_p{k}": shares[:, k] for k in range(5)}, dr_grade=shares.argmax(axis=1))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def test_the_area_under_the_drawn_roc_is_the_area() -> None:
    rows = graded(500, seeds=2)
    drawn = roc(rows, "dr", SCALES["icdr5"], {"value": 0.5, "low": 0.25, "high": 0.75})
    assert drawn is not None
    assert len(drawn.paths) == len(drawn.dots) == 2
    for seed, (_, faint, path) in enumerate(drawn.paths):
        one = rows[rows["seed"] == seed]
        points = data_of(drawn, path)
        expected = roc_auc_score(one["dr"] >= 2, one[["dr_p2", "dr_p3", "dr_p4"]].sum(axis=1))
        assert faint
        assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(expected, abs=2e-3)
    assert drawn.caption.startswith("AUC 0.500 [0.250, 0.750]. One line per seed.")


def test_operating_point_is_that_of_the_grades() -> None:
    rows = pd.DataFrame(
        {"dr": [0, 0, 1, 1], "dr_grade": [0, 1, 1, 1], "dr_score": [0.1, 0.9, 0.8, 0.7], "seed": 0}
    )
    drawn = roc(rows, "dr", SCALES["referable"], None)
    assert drawn is not None
    [(_, x, y, _)] = drawn.dots
    left, top, right, _ = drawn.box
    assert (x - left) / (right - left) == pytest.approx(0.5, abs=1e-3)
    assert y == pytest.approx(top)
    assert "AUC" not in drawn.caption


def test_no_roc_with_references_on_one_side() -> None:
    rows = graded(20)
    assert roc(rows.assign(dr=4), "dr", SCALES["icdr5"], None) is None
    assert roc(rows.head(0), "dr", SCALES["icdr5"], None) is None


def test_reliability_by_hand() -> None:
    probability = np.array([0.1] * 10 + [0.8] * 10)
    reference = np.array([0] * 9 + [1] + [1] * 7 + [0] * 3)
    order = np.random.default_rng(0).permutation(20)
    rows = pd.DataFrame({"dr": reference, "dr_grade": 0, "dr_p0": 1 - probability, "dr_p1": probability})
    drawn = reliability(rows.iloc[order], "dr", SCALES["referable"])
    assert drawn is not None
    left, top, right, bottom = drawn.box
    x = [(dot[1] - left) / (right - left) for dot in drawn.dots]
    y = [(bottom - dot[2]) / (bottom - top) for dot in drawn.dots]
    assert x == pytest.approx([0.1, 0.8], abs=1e-3)
    assert y == pytest.approx([0.1, 0.7], abs=1e-3)
    # Wilson 1927 for 1 of 10 and 7 of 10
    ends = [(bottom - end) / (bottom - top) for dot in drawn.dots for end in dot[3] or ()]
    assert ends == pytest.approx([0.0179, 0.4042, 0.3968, 0.8922], abs=2e-3)
    assert reliability(rows.head(19), "dr", SCALES["referable"]) is None
    assert reliability(rows.assign(dr_score=0.5), "dr", SCALES["referable"]) is None


def test_learning_curves_join_sparse_rows_and_folds() -> None:
    sparse = pd.DataFrame(
        {"epoch": [0, 0, 1, 1], "step": [1, 1, 2, 2], "train/loss": [1.0, np.nan, 0.5, np.nan]}
        | {
            "val/loss": [np.nan, 1.5, np.nan, 1.0],
            "val/dr/kappa": [np.nan, 0.2, np.nan, 0.4],
            "lr": [np.nan] * 4,
        }
    )
    history = [
        History("train", "fold-0", sparse),
        History("train", "fold-1", sparse),
        History("a", "", pd.DataFrame()),
    ]
    [stage] = learning_curves(history)
    assert (stage.stage, stage.children, stage.more) == ("train", 2, [])
    loss, kappa = stage.first
    assert [one.title for one in stage.first] == ["loss", "kappa"]
    assert loss.legend == [(0, "train/loss"), (1, "val/loss")]
    assert [series for series, _, _ in loss.paths] == [0, 0, 1, 1]
    np.testing.assert_allclose(data_of(kappa, kappa.paths[0][2]), [[0, 0], [1, 1]], atol=1e-3)


def test_one_epoch_is_a_dot() -> None:
    table = pd.DataFrame({"epoch": [0], "step": [3], "train/loss": [0.7]})
    [stage] = learning_curves([History("train", "", table)])
    assert stage.first[0].paths == []
    assert len(stage.first[0].dots) == 1


@pytest.mark.parametrize("values", [[], [0.0], [3.0, 3.0], [1e-6, 2e-6], [-5.0, 1e5], [float("nan"), 1.0]])
def test_axes_hold_their_values(values: list[float]) -> None:
    for whole in (False, True):
        axis = Axis.over(values, "x", whole=whole)
        finite = [value for value in values if np.isfinite(value)]
        assert axis.low < axis.high
        assert all(axis.low <= value <= axis.high for value in finite)
        assert 2 <= len(axis.ticks) <= 12
        assert len(set(axis.texts())) == len(axis.ticks)


def test_charts_thin_long_curves_but_keep_their_ends() -> None:
    x = np.linspace(0, 1, 5000)
    drawn = chart("t", unit_axis("x"), unit_axis("y"), [Curve(x, x**2)], [Dot(0.5, 0.5)])
    points = data_of(drawn, drawn.paths[0][2])
    assert len(points) <= 400
    np.testing.assert_allclose(points[[0, -1]], [[0, 0], [1, 1]], atol=1e-3)


def test_charts_of_files(tmp_path: Path) -> None:
    from retinalab.report.folder import _histories

    for child in ("fold-10", "fold-2"):
        (tmp_path / child / "history").mkdir(parents=True)
        for stage in ("b", "a"):
            (tmp_path / child / "history" / f"{stage}.csv").write_text("epoch,step,train/loss\n0,1,0.5\n")
    (tmp_path / "fold-2" / "history" / "empty").mkdir()
    (tmp_path / "fold-2" / "history" / "empty" / "metrics.csv").touch()
    found = [(one.stage, one.child, len(one.table)) for one in _histories(tmp_path, ["b", "a"])]
    assert found == [
        ("b", "fold-2", 1),
        ("b", "fold-10", 1),
        ("a", "fold-2", 1),
        ("a", "fold-10", 1),
        ("empty", "fold-2", 0),
    ]


@pytest.mark.parametrize("values", [(0.5710, 0.5712), (0.3061, 0.3063), (0.1101, 0.1102), (-0.571, -0.5712)])
def test_numbers_of_a_curve_that_hardly_moves_fit_beside_it(values: tuple[float, float]) -> None:
    axis = Axis.over(values, "kappa")
    texts = axis.texts()
    assert max(map(len, texts)) <= 6
    assert len(set(texts)) == len(texts)
    assert axis.low <= min(values) < max(values) <= axis.high
