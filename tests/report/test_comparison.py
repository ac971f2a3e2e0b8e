"""The page of a comparison: every figure against the comparison that it was made from, photographs by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retinalab.metrics.comparison import compare_runs
from retinalab.protocol import SCALES
from retinalab.report.comparison import write_comparison
from retinalab.report.disagreement import Rights, differing, rights
from retinalab.report.folder import read_run
from retinalab.report.forest import Line, forest
from retinalab.report.settings import differing_settings

from .test_page import Page, printed

MakeRun = Callable[..., Path]


def shares(*rows: tuple[float, ...]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["dme_p0", "dme_p1", "dme_p2"])
    table = table.assign(
        image=[f"{k}.png" for k in range(len(rows))], set="s", fold=-1, seed=0, dme=[0, 1, 2]
    )
    return table.assign(dme_grade=np.array(rows).argmax(axis=1))


A = shares((0.9, 0.1, 0.0), (0.2, 0.7, 0.1), (0.1, 0.6, 0.3))  # expected grades 0.1, 0.9, 1.2
B = shares((0.8, 0.2, 0.0), (0.1, 0.2, 0.7), (0.0, 0.1, 0.9))  # expected grades 0.2, 1.6, 1.9


def test_photographs_by_distance_of_expected_grades() -> None:
    found = differing({"a": A, "b": B}, "dme", SCALES["risk3"], None)
    assert [one.image for one in found] == ["1.png", "2.png", "0.png"]
    assert [right for _, _, right in found[0].answers] == [True, False]
    assert found[0].answers[1][1] == "2 exudate near the fovea, probability 0.70"
    assert differing({"a": A, "b": A}, "dme", SCALES["risk3"], None) == []
    assert len(differing({"a": A, "b": B}, "dme", SCALES["risk3"], None, count=2)) == 2


def test_a_score_beyond_the_scale_is_no_farther_than_its_end() -> None:
    rows = A.drop(columns=["dme_p0", "dme_p1", "dme_p2"])
    found = differing(
        {"a": rows.assign(dme_score=[-3.0, 1.0, 2.0]), "b": rows.assign(dme_score=[0.0, 1.5, 2.0])},
        "dme", SCALES["risk3"], None,
    )  # fmt: skip
    assert [one.image for one in found] == ["1.png"]


def test_who_is_right_alone() -> None:
    assert rights({"a": A, "b": B}, "dme", [("a", "b")]) == [
        Rights(("a", "b"), both=1, first=1, second=1, neither=0)
    ]


def test_who_is_right_alone_over_all_seeds() -> None:
    """Against a count of every pair of seeds."""
    draw = np.random.default_rng(3)
    tables = {}
    for label, count in (("a", 3), ("b", 2)):
        each = [A.assign(seed=seed, dme_grade=draw.integers(0, 3, 3)) for seed in range(count)]
        tables[label] = pd.concat(each).sample(frac=1, random_state=1)
    wanted = np.zeros(4)
    for _, one in tables["a"].groupby("seed"):
        for _, other in tables["b"].groupby("seed"):
            for image in A["image"]:
                hits = [
                    bool((t[t["image"] == image]["dme_grade"] == t[t["image"] == image]["dme"]).all())
                    for t in (one, other)
                ]
                wanted[2 * (not hits[0]) + (not hits[1])] += 1 / 6
    [found] = rights(tables, "dme", [("a", "b")])
    assert [found.both, found.first, found.second, found.neither] == pytest.approx(wanted.tolist())
    assert found.seeds == (3, 2)
    assert found.counts == [f"{one:.1f}" for one in wanted]
    [alone] = rights({"a": A, "b": B}, "dme", [("a", "b")])
    assert alone.counts == ["1", "1", "1", "0"]


def test_seeds_that_disagree_are_listed() -> None:
    second = A.assign(seed=1, dme_grade=[0, 2, 1])
    [one, *_] = differing({"a": pd.concat([A, second]), "b": B}, "dme", SCALES["risk3"], None)
    assert one.answers[0][1:] == ("grades 1, 2 (by seed)", False)


def test_positions_of_dots_and_intervals() -> None:
    plot = forest(
        "difference", [Line("a−b", 0.1, 0.0, 0.2, [0.05, None]), Line("a−c", None)], differences=True
    )
    assert plot.zero is not None
    first, second = plot.lines
    assert first.span is not None
    assert first.span[0] == plot.zero == plot.left
    assert first.span[1] == plot.right
    assert first.value == pytest.approx((plot.left + plot.right) / 2, abs=0.1)
    assert first.seeds == [pytest.approx(plot.left + (plot.right - plot.left) / 4, abs=0.1)]
    assert (second.value, second.span) == (None, None)
    assert plot.text == "difference: a−b 0.100; a−c undefined"


def test_settings_that_differ() -> None:
    assert differing_settings([{"name": "a", "output": "x"}, {"name": "b", "output": "y"}]) == []
    assert (
        differing_settings([{"stages": {"train": {"task": {"rate": 1, "same": 2}}}}, {"stages": {}}])
        == [
            ("stages.train.task.rate", ["1", "–"]),
            ("stages.train.task.same", ["2", "–"]),
            ("stages", ["–", "–"]),
        ][:2]
    )


def test_every_difference_stands_with_interval_and_p_value(make_run: MakeRun, tmp_path: Path) -> None:
    only = {"dr": "icdr5"}
    folders = [make_run("one", diseases=only, seeds=(0, 1)), make_run("two", diseases=only, seeds=(2, 3))]
    runs = [read_run(folder) for folder in folders]
    tables = [run.predictions for run in runs if run.predictions is not None]
    found = compare_runs(
        tables, ["runs/one", "runs/two"], runs[0].scales, tests=["dr/accuracy"], resamples=50
    )
    page = Page(write_comparison(found, runs, tmp_path / "page.html"))
    differences = found["pairs"][0]["differences"]
    rows = {row[0]: row for row in page.rows if row and len(row) == 9}
    words = {
        "kappa": "DR quadratic weighted kappa",
        "accuracy": "DR accuracy",
        "auc_referable": "DR AUC, referable",
    }
    for name, said in words.items():
        one, row = differences[f"test/dr/{name}"], rows[said]
        assert row[1:3] == [printed(one["a"]), printed(one["b"])]
        text = f"{printed(one['difference'])} [{printed(one['low'])}, {printed(one['high'])}]"
        assert row[3].replace("−0.000", "0.000") == text.replace("−0.000", "0.000")
        assert (row[7] == "McNemar") == (name == "accuracy") == (row[5] != "–")
        assert row[8] == "60"
    ids = page.values("id")
    assert ids == ["protocol", "results", "differences", "seeds", "photographs", "notes"]
    assert "Photographs on which the methods differ" in page.text
    assert len([one for one in page.elements if one[0] == "img"]) == 0
    assert page.text.count("no picture at hand") == 12
