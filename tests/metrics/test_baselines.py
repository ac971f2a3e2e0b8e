"""What stands beside two runs that are compared: the majority and the shortcut of each, and how far each is above."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from retinalab.cli import main
from retinalab.metrics.baselines import above_lines, above_the_shortcut, beside, beside_lines, figure_beside
from retinalab.metrics.compare import compare, difference_lines
from retinalab.metrics.evaluate import evaluate
from retinalab.metrics.tables import write_table
from retinalab.protocol import SCALES

BINARY = {"dr": SCALES["referable"], "dme": SCALES["binary"]}


def predictions(noise: float, salt: int, diseases: tuple[str, ...] = ("dr", "dme")) -> pd.DataFrame:
    truth, draw = np.random.default_rng(0), np.random.default_rng(salt)
    table = pd.DataFrame({"image": [f"{k}.jpg" for k in range(80)], "set": "clinic"})
    table["patient"] = [str(k // 2) for k in range(80)]
    for disease in ("dr", "dme"):
        reference = truth.integers(0, 2, 80)
        chance = 1 / (1 + np.exp(1 - 2 * reference + draw.normal(0, noise, 80)))
        if disease in diseases:
            table[disease], table[f"{disease}_grade"] = reference, (chance >= 0.5).astype(int)
            table[f"{disease}_p0"], table[f"{disease}_p1"] = 1 - chance, chance
    return table


def entry(value: float | None) -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "n": 80, "n_groups": 40}


METRICS = {
    "test/dr/auc_referable_shortcut": entry(0.7),
    "test/dr/auc_referable_colour": entry(0.65),
    "test/dr/accuracy_majority": entry(0.5),
    "test/dr/accuracy_shortcut": entry(0.6),
    "test/joint/accuracy_shortcut": entry(0.35),
}


def write_run(
    folder: Path, table: pd.DataFrame, shortcut: pd.DataFrame | None, metrics: dict[str, Any]
) -> Path:
    folder.mkdir(parents=True)
    diseases = {"dr": "referable", "dme": "binary"}
    (folder / "experiment.yaml").write_text(yaml.safe_dump({"protocol": {"diseases": diseases}}))
    (folder / "provenance.json").write_text(json.dumps({"data": {}}))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_table(table, folder / "predictions.parquet", "predictions")
    if shortcut is not None:
        both = pd.concat([shortcut.assign(baseline="shortcut"), shortcut.assign(baseline="colour")])
        write_table(both, folder / "baselines.parquet", "predictions")
    return folder


def test_a_figure_finds_its_baseline_on_scales_of_two_grades_and_of_more() -> None:
    assert figure_beside(METRICS, "test/dr/auc", "shortcut") == entry(0.7)
    assert figure_beside(METRICS, "test/dr/accuracy", "majority") == entry(0.5)
    assert figure_beside(METRICS, "test/dr/kappa", "shortcut") is None
    graded = {**METRICS, "test/dr/auc_referable": entry(0.8)}
    assert figure_beside(graded, "test/dr/auc", "shortcut") is None  # that is one-vs-rest
    assert figure_beside(graded, "test/dr/auc_referable", "shortcut") == entry(0.7)


def test_the_baselines_of_both_runs_stand_below_their_figures() -> None:
    found = compare(predictions(1, 1), predictions(2, 2), BINARY, resamples=20)
    shown = beside(
        found, METRICS, {"test/dr/accuracy_majority": entry(0.5), "test/dr/accuracy_shortcut": entry(None)}
    )
    assert shown["test/dr/auc"] == {"shortcut": {"a": 0.7, "b": None}, "colour": {"a": 0.65, "b": None}}
    assert shown["test/dr/accuracy"] == {"majority": {"a": 0.5, "b": 0.5}, "shortcut": {"a": 0.6, "b": None}}
    assert set(shown) == {"test/dr/auc", "test/dr/accuracy", "test/joint/accuracy"}
    lines = difference_lines(found, lambda key: beside_lines(key, shown))
    assert max(map(len, lines)) <= 80
    place = next(k for k, line in enumerate(lines) if line.startswith("test/dr/accuracy "))
    assert [line.split() for line in lines[place + 1 : place + 3]] == [
        ["majority", "class", "0.500", "0.500"],
        ["without", "the", "retina", "0.600", "-"],
    ]


def test_what_a_run_is_above_its_shortcut_is_their_paired_difference() -> None:
    run, shortcut = predictions(1, 1), predictions(3, 2)
    table = pd.concat([shortcut.assign(baseline="shortcut"), predictions(9, 3).assign(baseline="colour")])
    shown = beside(compare(run, run, BINARY, resamples=0), METRICS, METRICS)
    found = above_the_shortcut(run, table, BINARY, shown)
    assert set(found) == {"test/dr/auc", "test/dr/accuracy", "test/joint/accuracy"}
    areas = [roc_auc_score(side["dr"], side["dr_p1"]) for side in (run, shortcut)]
    one = found["test/dr/auc"]
    assert one["difference"] == pytest.approx(areas[0] - areas[1])
    assert one["low"] is not None
    assert one["high"] is not None
    assert one["low"] < one["difference"] < one["high"]
    alone = above_the_shortcut(run, table, {"dr": BINARY["dr"]}, shown)
    assert set(alone) == {"test/dr/auc", "test/dr/accuracy"}
    assert alone["test/dr/auc"] == one
    lines = above_lines(found, {})
    assert max(map(len, lines)) <= 80
    assert next(line for line in lines if line.startswith("test/dr/auc ")).split()[1:] == [
        f"{one['difference']:+.3f}", f"[{one['low']:+.3f},", f"{one['high']:+.3f}]", "-",
    ]  # fmt: skip
    assert above_lines({}, {}) == []
    assert above_the_shortcut(run, None, BINARY, shown) == {}
    ungraded = table.drop(columns=["dr_grade", "dme_grade"])
    assert above_the_shortcut(run, ungraded, BINARY, shown) == {}


def test_the_command_shows_and_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, shortcut = predictions(1, 1), predictions(2, 2), predictions(3, 3)
    figures = evaluate(shortcut, BINARY, resamples=0)
    metrics = {"test/dr/auc_referable_shortcut": figures["test/dr/auc"]}
    a = write_run(tmp_path / "a", first, shortcut, metrics | {"test/dr/accuracy_majority": entry(0.55)})
    b = write_run(tmp_path / "b", second, None, {"test/dr/accuracy_majority": entry(0.55)})
    assert main(["compare", str(a), str(b), "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    value = figures["test/dr/auc"]["value"]
    assert f"  without the retina             {value:.3f}      -" in printed
    assert "  majority class                 0.550  0.550" in printed
    assert "run - without the retina" in printed
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["beside"]["test/dr/auc"]["shortcut"] == {"a": value, "b": None}
    assert [run.get("test/dr/auc") for run in written["baselines"]] == [{"shortcut": value}, None]
    assert set(written["above_shortcut"][0]) == {"test/dr/auc"}
    assert written["above_shortcut"][1] == {}
