"""The model card: filled with what the run's tables and provenance hold, and with nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from retinalab.cli import main
from retinalab.errors import RetinalabError
from retinalab.report.card import CARD, card_markdown
from retinalab.report.clinical import clinical_section
from retinalab.report.folder import read_run
from tests.report.conftest import MakeRun

SECTIONS = [
    "Model", "Intended use", "Training data", "Protocol", "Figures", "Unacceptable errors", "Operating points",
    "Calibration", "Subgroups", "Robustness", "Limits", "Ethics", "Provenance",
]  # fmt: skip
SUPPLY = "**Author must supply**"


def card(folder: Path) -> str:
    run = read_run(folder)
    return card_markdown(run, clinical_section(run))


def sections(text: str) -> dict[str, str]:
    return {part.splitlines()[0]: part for part in text.split("\n## ")[1:]}


def test_every_section_stands_in_order_and_research_use_comes_first(make_run: MakeRun) -> None:
    text = card(make_run())
    assert list(sections(text)) == SECTIONS
    assert text.index("> **Research use only**") < text.index("## Model")
    assert "> **Drawn (synthetic) photographs**" in text


def test_figures_are_those_of_the_tables(make_run: MakeRun) -> None:
    folder = make_run()
    rows = pd.read_parquet(folder / "predictions.parquet")
    rows = rows[rows["part"] == "test"]
    told = sections(card(folder))
    kappa = cohen_kappa_score(rows["dr"], rows["dr_grade"], weights="quadratic")
    assert f"| DR | quadratic weighted kappa | {kappa:.3f} \\[" in told["Figures"]
    assert "60 photographs, 30 patients" in told["Figures"]
    missed = int(((rows["dr"] >= 3) & (rows["dr_grade"] <= 1)).sum())
    raised = int(((rows["dr"] <= 1) & (rows["dr_grade"] >= 3)).sum())
    assert (
        f"{missed + raised} of 60 (0-1 as 3-4: {raised}; 3-4 as 0-1: {missed})" in told["Unacceptable errors"]
    )
    referable = int((rows["dr"] >= 2).sum())
    assert f"{referable} of 60 photographs" in told["Operating points"]
    assert "Brier score" in told["Calibration"]
    assert "| left | 30 photographs" in told["Subgroups"]


def test_data_come_with_counts_licence_and_fingerprint(make_run: MakeRun) -> None:
    told = sections(card(make_run()))["Training data"]
    assert "train: 480; val: 60; test: 60 | CC BY 4.0 | 4f2a90bb31d7c5" in told
    assert "2 photographs left out: no field of view found" in told


def test_what_no_file_tells_is_left_to_the_author(make_run: MakeRun) -> None:
    told = sections(card(make_run(sets=("other",))))
    assert f"**Who is meant to use it, and in which setting**: {SUPPLY}" in told["Intended use"]
    assert (
        f"**Persons, places and cameras that the photographs stand for**: {SUPPLY}" in told["Training data"]
    )
    assert SUPPLY in told["Ethics"]
    assert SUPPLY in told["Provenance"]
    bare = sections(card(make_run("bare", provenance={"data": {}, "notes": [], "labels": []})))
    assert f"**Origin**: {SUPPLY}" in bare["Training data"]


def test_limits_name_leaks_and_single_seeds(make_run: MakeRun) -> None:
    leaky = {"split": {"train": {"origin": "as published", "leaks": ["patient 7 in train and test"]}}}
    told = sections(card(make_run(provenance=leaky)))["Limits"]
    assert "patient 7 in train and test" in told
    assert "One seed" in told
    assert "One seed" not in sections(card(make_run("two", seeds=(0, 1))))["Limits"]


def test_robustness_is_shown_where_it_was_measured(make_run: MakeRun) -> None:
    folder = make_run()
    assert "Not measured" in sections(card(folder))["Robustness"]
    metrics = {"blur-3/dr/kappa": {"value": 0.25, "low": 0.125, "high": 0.375, "n": 60}}
    (folder / "robustness.json").write_text(json.dumps({"metrics": metrics}))
    assert "| blur-3/dr/kappa | 0.250 \\[0.125, 0.375\\] | 60 |" in sections(card(folder))["Robustness"]
    (folder / "robustness.json").write_text("[]")
    with pytest.raises(RetinalabError, match=r"robustness\.json' cannot be read"):
        card(folder)


def test_names_from_files_are_no_markdown(make_run: MakeRun) -> None:
    note = "left out: [click](javascript:alert(1)) <script>x</script> `a` | b\n# head"
    text = card(make_run(provenance={"notes": [note]}))
    assert "<script" not in text.replace("\\<", "")
    assert "[click]" not in text.replace("\\[", "")
    assert "\n# head" not in text


def test_the_report_command_writes_it_again(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run()
    assert main(["report", str(folder)]) == 0
    capsys.readouterr()
    assert (folder / CARD).read_text(encoding="utf-8") == card(folder)
    (folder / CARD).unlink()
    assert main(["report", str(folder)]) == 0
    assert (folder / CARD).is_file()
