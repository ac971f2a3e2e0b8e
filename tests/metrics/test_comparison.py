"""Several runs at once: pairs, one correction over all tests, operating points, refusals that name the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from retinalab.cli import main
from retinalab.errors import RetinalabError
from retinalab.metrics.compare import compare
from retinalab.metrics.comparison import compare_runs
from retinalab.metrics.comparison_text import comparison_lines
from retinalab.metrics.evaluate import evaluate
from retinalab.metrics.headline import headline_figures, seed_pairs
from retinalab.metrics.paired import holm
from retinalab.metrics.tables import write_table
from retinalab.protocol import SCALES

SCALES_OF = {"dr": SCALES["icdr5"]}
TESTED = ["kappa", "accuracy", "auc_referable", "sensitivity_referable", "specificity_referable"]


def predictions(method: int, seeds: int = 1, noise: float = 1.0, patients: int = 30) -> pd.DataFrame:
    """Two test photographs a patient and two to validate on, the same for every method and seed."""
    dr = np.random.default_rng(7).integers(5, size=4 * patients)
    tables = []
    for seed in range(seeds):
        latent = dr + np.random.default_rng((method, seed)).normal(scale=noise, size=dr.size)
        p = np.exp(-((latent[:, None] - np.arange(5)) ** 2))
        p /= p.sum(axis=1, keepdims=True)
        place = np.arange(dr.size)
        table = pd.DataFrame(
            {
                "image": [f"{k}.jpg" for k in place],
                "set": "clinic",
                "patient": (place // 2).astype(str),
                "part": np.where(place < 2 * patients, "test", "val"),
                "seed": seed,
                "dr": dr,
                "dr_grade": p.argmax(axis=1),
                **{f"dr_p{k}": p[:, k] for k in range(5)},
            }
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def three() -> list[pd.DataFrame]:
    return [predictions(1, 2), predictions(2, 2, 1.6), predictions(3, 1, 1.2)]


def test_differences_are_those_of_each_pair_and_corrected_together() -> None:
    tables = three()
    found = compare_runs(tables, "xyz", SCALES_OF, resamples=100)
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [(0, 1), (0, 2)]
    parts = [[table[table["part"] == part] for table in tables] for part in ("test", "val")]
    alone = compare(parts[0][0], parts[0][2], SCALES_OF, 100, validation=(parts[1][0], parts[1][2]))
    for key, one in found["pairs"][1]["differences"].items():
        ours, its = ({k: v for k, v in each.items() if k != "p_holm"} for each in (one, alone[key]))
        assert ours == its
    tests = [one for pair in found["pairs"] for one in pair["differences"].values() if "test" in one]
    assert len(tests) == 10 == found["family"]["tests"]
    assert [one["p_holm"] for one in tests] == pytest.approx(holm([one["p"] or 0 for one in tests]))
    assert set(found["family"]["figures"]) == {f"test/dr/{name}" for name in TESTED}
    assert [run["seeds"] for run in found["runs"]] == [[0, 1], [0, 1], [0]]
    pairs = compare_runs(tables, "xyz", SCALES_OF, all_pairs=True, resamples=20)["pairs"]
    assert [(pair["a"], pair["b"]) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]


def test_figures_are_those_of_evaluation() -> None:
    tables = three()
    found = compare_runs(tables, "xyz", SCALES_OF, resamples=100)["figures"]
    for position, table in enumerate(tables):
        for key, metric in evaluate(table[table["part"] == "test"], SCALES_OF, resamples=100).items():
            expected = {name: value for name, value in metric.items() if name not in ("counts", "of")}
            assert found[key][position] == expected
    assert found["test/dr/sensitivity_referable"][0]["low"] is not None


def test_single_photographs_give_the_tests_of_textbooks() -> None:
    a, b = (predictions(k, noise=noise).assign(patient="") for k, noise in ((1, 1.0), (2, 1.8)))
    found = compare_runs([a, b], "ab", SCALES_OF, resamples=50)["pairs"][0]["differences"]
    tested = a["part"] == "test"
    right = [(side["dr"] == side["dr_grade"])[tested].to_numpy() for side in (a, b)]
    only = [int((x & ~y).sum()) for x, y in (right, right[::-1])]
    law = stats.binom(sum(only), 0.5)
    expected = 2 * law.cdf(min(only)) - law.pmf(min(only))
    assert found["test/dr/accuracy"]["p"] == pytest.approx(expected)
    one = found["test/dr/kappa"]
    assert one["smallest_difference"] == pytest.approx(2.801585 * (one["error"] or 0), rel=1e-5)


def test_only_the_figures_asked_for_are_tested() -> None:
    found = compare_runs(three(), "xyz", SCALES_OF, tests=["dr/kappa"], resamples=20)
    assert found["family"] == {"tests": 2, "correction": "Holm", "figures": ["test/dr/kappa"], "pairs": 2}
    with pytest.raises(RetinalabError, match=r"Unknown tested figure 'dr/kapa'\. Did you mean 'dr/kappa'"):
        compare_runs(three(), "xyz", SCALES_OF, tests=["dr/kapa"], resamples=20)


def test_seeds_of_both_sides_weigh_alike() -> None:
    assert seed_pairs([0, 1], [1, 2, 3]) == [(1, 1), (1, 1), (1, 2), (0, 2), (0, 3), (0, 3)]
    assert headline_figures(["accuracy", "kappa", "auc"]) == ["accuracy", "kappa", "auc"]
    same = predictions(1, 3)
    found = compare_runs([same, same], "ab", SCALES_OF, resamples=50)["pairs"][0]["differences"]
    assert {one["p"] for one in found.values() if "test" in one} == {1}


def test_refusals_name_the_run() -> None:
    tables = three()
    with pytest.raises(RetinalabError, match=r"c \(seed 0\) lacks 3 that a \(seed 0\) has"):
        compare_runs([*tables[:2], tables[2].iloc[3:]], "abc", SCALES_OF)
    with pytest.raises(RetinalabError, match="at least two runs, got 1"):
        compare_runs(tables[:1], "a", SCALES_OF)
    with pytest.raises(RetinalabError, match="No disease is graded by all: a dr; b none"):
        compare_runs([tables[0], tables[1].drop(columns="dr_grade")], "ab", SCALES_OF)


def write_run(folder: Path, table: pd.DataFrame, split: str = "held-out") -> Path:
    folder.mkdir(parents=True)
    (folder / "experiment.yaml").write_text(
        yaml.safe_dump({"protocol": {"diseases": {"dr": "icdr5"}, "split": split}})
    )
    (folder / "provenance.json").write_text(json.dumps({"labels": ["synthetic: drawn"]}))
    (folder / "metrics.json").write_text(json.dumps({"test/dr/kappa_shortcut": {"value": 0.123}}))
    write_table(table, folder / "predictions.parquet", "predictions")
    return folder


def test_the_command_prints_and_writes_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(write_run(tmp_path / name, table)) for name, table in zip("xyz", three(), strict=True)]
    out = tmp_path / "out.json"
    assert main(["compare", *folders, "--test", "dr/kappa", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    written = json.loads(out.read_text())
    expected = compare_runs(three(), written_names(written), SCALES_OF, tests=["dr/kappa"])
    assert {key: written[key] for key in expected} == json.loads(json.dumps(expected))
    assert written["protocol"]["split"] == "held-out"
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 80
    one = expected["pairs"][1]["differences"]["test/dr/kappa"]
    row = next(line for line in lines if line.startswith("  a - c")).split()
    assert row[3] == f"{one['difference']:+.3f}"
    assert "  without the retina       0.123" in lines
    assert "test/dr/kappa: permutation, 30 groups of 60 photographs" in lines
    assert next(line for line in lines if line.startswith("  a  ")).endswith("of 2 seeds")
    other = write_run(tmp_path / "other", three()[0], split="folds")
    assert main(["compare", *folders, str(other)]) == 2
    error = capsys.readouterr().err
    assert f"split is held-out in {folders[0]} and folds in {other}" in error
    assert main(["compare", folders[0]]) == 2
    assert "at least two runs, got 1" in capsys.readouterr().err


def written_names(written: dict) -> list[str]:  # type: ignore[type-arg]
    return [run["name"] for run in written["runs"]]


def test_lines_of_many_runs_and_folds_keep_within_eighty_columns() -> None:
    tables = [predictions(k, noise=1 + k / 10).assign(fold=lambda t: t.index // 2 % 3) for k in range(9)]
    found = compare_runs(tables, [str(k) for k in range(9)], SCALES_OF, resamples=20)
    lines = comparison_lines(found)
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("    over folds") for line in lines) == 8 * 5
    assert sum(line.startswith("not tested") for line in lines) == 2
