"""Unacceptable errors under the matrix, and test sets side by side, against the files that they were made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from retinalab.cli import main
from retinalab.cli.figures import print_errors, print_headline
from retinalab.metrics import evaluate, read_table, write_table
from retinalab.protocol import SCALES
from retinalab.report import write_report
from retinalab.report.folder import read_run
from retinalab.report.results import side_by_side
from tests.report.test_page import Page, metrics_of, printed

MakeRun = Callable[..., Path]
TABLE_VII = [
    [6258, 212, 128, 7, 4],
    [218, 655, 202, 0, 1],
    [139, 207, 2745, 127, 31],
    [3, 0, 288, 368, 33],
    [3, 2, 65, 45, 355],
]


def published() -> pd.DataFrame:
    """A table of predictions with the confusion matrix that CLPI's paper prints for CLPI."""
    truth, answer = np.repeat(np.indices((5, 5)).reshape(2, -1), np.ravel(TABLE_VII), axis=1)
    table = pd.DataFrame({"image": [f"{k}.jpg" for k in range(truth.size)], "set": "made", "part": "test"})
    table = table.assign(patient=[str(k // 100) for k in range(truth.size)], dr=truth, dr_grade=answer)
    return table.assign(**{f"dr_p{k}": np.where(answer == k, 0.96, 0.01) for k in range(5)})


def test_the_published_matrix_has_its_twenty_unacceptable_errors(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(diseases={"dr": "icdr5"}, history=())
    table = published()
    write_table(table, folder / "predictions.parquet", "predictions")
    metrics = evaluate(table, {"dr": SCALES["icdr5"]}, resamples=20)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_report(folder)
    page = Page(folder / "report.html")
    share = metrics["test/dr/unacceptable"]
    said = "nacceptable errors: 20 of 12096 (0-1 as 3-4: 12; 3-4 as 0-1: 8)"
    assert f"U{said}; share 0.002 [{printed(share['low'])}, {printed(share['high'])}]." in page.text
    cells = [
        one["class"].split() for tag, one in page.elements if tag == "td" and "cell" in one.get("class", "")
    ]
    marked = np.array(["unacceptable" in classes for classes in cells]).reshape(5, 5)
    expected = np.zeros((5, 5), dtype=bool)
    expected[:2, 3:] = expected[3:, :2] = True
    np.testing.assert_array_equal(marked, expected)
    print_errors(metrics)
    assert capsys.readouterr().out == f"\ntest/dr u{said}\n"


def test_a_scale_without_such_errors_says_nothing_of_them(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "messidor4", "dme": "binary"})
    write_report(folder)
    page = Page(folder / "report.html")
    assert "nacceptable" not in page.text
    assert not [one for one in page.values("class") if "unacceptable" in one.split()]


def test_intervals_over_few_patients_say_so_on_page_card_and_terminal(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "too narrow"
    for place, patients in (("few", 19), ("enough", 20)):
        folder = make_run(place, diseases={"dr": "icdr5"}, history=())
        table = published().head(4 * patients).assign(patient=np.arange(4 * patients) // 4)
        table["patient"] = table["patient"].astype(str)
        write_table(table, folder / "predictions.parquet", "predictions")
        metrics = evaluate(table, {"dr": SCALES["icdr5"]}, resamples=20)
        (folder / "metrics.json").write_text(json.dumps(metrics))
        write_report(folder)
        assert (said in Page(folder / "report.html").text) == (patients < 20)
        assert (said in (folder / "model-card.md").read_text()) == (patients < 20)
        print_headline(metrics)
        printed_lines = capsys.readouterr().out
        assert (said in printed_lines) == (patients < 20)
        assert max(map(len, printed_lines.splitlines())) <= 80
    assert "19" in Page(folder.parent / "few/report.html").text


def test_errors_of_several_sets_fit_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    counted = {"value": 0.1, "counts": {"0-1 as 3-4": 123, "3-4 as 0-1": 456}, "of": 5790}
    metrics = {f"{part}/dr/unacceptable": counted for part in ("val", "test", "test@a_long_name_of_a_set")}
    print_errors(metrics | {"test/dr/kappa": {"value": 0.5}})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ""
    assert lines[1] == "test/dr unacceptable errors: 579 of 5790 (0-1 as 3-4: 123; 3-4 as 0-1: 456)"
    assert " ".join(" ".join(lines[2:]).split()) == lines[1].replace("test/", "test@a_long_name_of_a_set/")
    assert max(map(len, lines)) <= 80
    print_errors({"test/dr/kappa": {"value": 0.5}})
    assert capsys.readouterr().out == ""


def test_test_sets_stand_side_by_side_the_one_trained_on_first(make_run: MakeRun) -> None:
    folder = make_run(sets=("made", "aptos", "messidor2"))
    grid = side_by_side(read_run(folder))
    assert grid is not None
    assert [name for name, _ in grid.rows] == ["made (trained on)", "aptos", "messidor2"]
    metrics = metrics_of(folder)
    kappa = grid.columns.index("DR quadratic weighted kappa")
    for (_, cells), prefix in zip(grid.rows, ("test", "test@aptos", "test@messidor2"), strict=True):
        one = metrics[f"{prefix}/dr/kappa"]
        assert cells[kappa] == f"{printed(one['value'])} [{printed(one['low'])}, {printed(one['high'])}]"
        assert cells[-1] == "60"
    table = read_table(folder / "predictions.parquet", "predictions")
    rows = table[(table["part"] == "test") & (table["set"] == "aptos")]
    counts = confusion_matrix(rows["dr"], rows["dr_grade"], labels=range(5))
    wrong = counts[:2, 3:].sum() + counts[3:, :2].sum()
    assert grid.rows[1][1][grid.columns.index("DR unacceptable errors")].startswith(f"{wrong / 60:.3f}")
    write_report(folder)
    assert ["Test set", *grid.columns] in Page(folder / "report.html").rows


def test_sets_of_a_mixture_are_trained_on_and_one_set_has_no_table(make_run: MakeRun) -> None:
    stages = {"train": {"task": {"name": "baseline"}, "data": {"mix": {"sets": ["messidor2"]}}}}
    grid = side_by_side(
        read_run(make_run(sets=("made", "aptos", "messidor2"), experiment={"stages": stages}))
    )
    assert grid is not None
    assert [name for name, _ in grid.rows] == ["made (trained on)", "messidor2 (trained on)", "aptos"]
    assert side_by_side(read_run(make_run(place="one"))) is None


def test_the_command_tabulates_runs_by_training_and_test_set(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (
        make_run(place="a", sets=("made", "aptos")),
        make_run(place="b", sets=("aptos", "messidor2")),
    )
    out = tmp_path / "matrix.json"
    words = ["compare", str(first), str(second), "--matrix", "dr/kappa", "--matrix", "joint/accuracy"]
    assert main([*words, "--json", str(out)]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0].endswith("/a, trained on made")
    assert lines[1].endswith("/b, trained on aptos")
    a, b = metrics_of(first), metrics_of(second)
    (row,) = [line for line in lines if line.startswith("1 made")][:1]
    assert row.split()[2] == f"{a['test/dr/kappa']['value']:.3f}*"
    assert row.split()[4] == f"{a['test@aptos/dr/kappa']['value']:.3f}"
    content = json.loads(out.read_text())
    assert [table["metric"] for table in content["tables"]] == ["dr/kappa", "joint/accuracy"]
    assert content["tables"][0]["rows"][1]["tested_on"]["aptos"] == b["test/dr/kappa"]
    assert "synthetic: drawn photographs" in shown

    assert main(["compare", str(first)]) == 2
    assert "compare takes at least two runs, got 1" in capsys.readouterr().err
    assert main(["compare", str(first), str(tmp_path / "none"), "--matrix", "dr/kappa"]) == 2
    assert "No run folder" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--clinical"], ["--referral"]])
def test_figures_of_drawn_photographs_are_labelled_wherever_they_are_printed(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    folder = make_run(sets=("made",), diseases={"dr": "icdr5"}, history=())
    page = folder / "referral.html"
    assert main(["evaluate", str(folder), *words, *["--page", str(page)] * ("--referral" in words)]) == 0
    assert "The run is labelled 'synthetic: drawn photographs'" in capsys.readouterr().out
    if page.exists():
        assert "<li>synthetic: drawn photographs</li>" in page.read_text(encoding="utf-8")
