"""Reporting checklists: complete and in order, and filled with nothing that a run's folder does not prove."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import confusion_matrix

from retinalab.cli import main
from retinalab.metrics import read_table, write_table
from retinalab.report.checklist import checklist_markdown
from retinalab.report.checklists import AUTHOR, FilledChecklist, checklists, filled
from retinalab.report.checklists.fill import _EVIDENCE
from retinalab.report.checklists.methods import model
from retinalab.report.folder import RunFolder, read_run
from tests.report.conftest import MakeRun

SUBITEMS = {
    "TRIPOD+AI": (
        {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc"}
        | {12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab", 27: "abc"}
    ),
    "CLAIM": {},
    "STARD-AI": {15: "abcd", 16: "abc", 17: "ab", 26: "ab", 40: "ab"},
}
LAST = {"TRIPOD+AI": 27, "CLAIM": 44, "STARD-AI": 40}
ONLY_THE_AUTHOR = {
    "TRIPOD+AI": "1 2 3b 3c 4 5b 6a 6c 8b 8c 14 18a 18b 18c 18d 19 25 27a 27b 27c",
    "CLAIM": "1 2 4 5 6 13 15 16 17 18 34 41 44",
    "STARD-AI": "1 2 4 5 8 9 10 12 15d 16b 17a 17b 27 32 34 35 36 37 38 39",
}


def text(run: RunFolder | Path, evidence: str) -> str:
    """What is said of one thing that a run may show."""
    return _EVIDENCE[evidence](run if isinstance(run, RunFolder) else read_run(run))


def edit(folder: Path, name: str, **changes: Any) -> None:
    """Change entries of a JSON or YAML file of the run; None takes one away."""
    path = folder / name
    content = yaml.safe_load(path.read_text(encoding="utf-8")) | changes
    content = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(content), encoding="utf-8")


def by_number(lists: tuple[FilledChecklist, ...], name: str) -> Mapping[str, str]:
    (one,) = [one for one in lists if one.checklist.name == name]
    return {item.item.number: item.status for item in one.items}


@pytest.mark.parametrize("name", list(LAST))
def test_every_item_is_there_once_and_in_order(name: str) -> None:
    (one,) = [one for one in checklists() if one.name == name]
    expected = [
        f"{k}{letter}" for k in range(1, LAST[name] + 1) for letter in SUBITEMS[name].get(k, "") or [""]
    ]
    assert [item.number for item in one.items] == expected
    assert all(item.section and 8 < len(item.topic) < 100 for item in one.items)
    assert all(item.evidence for item in one.items if item.lacks)
    assert "doi 10." in one.source


def test_everything_that_can_be_shown_is_asked_for() -> None:
    asked = {item.evidence for one in checklists() for item in one.items} - {None}
    assert asked == set(_EVIDENCE)


def test_what_only_people_know_is_left_to_them(make_run: MakeRun) -> None:
    lists = filled(read_run(make_run(sets=("made",), seeds=(0, 1), history=("",))))
    for name, numbers in ONLY_THE_AUTHOR.items():
        assert {by_number(lists, name)[number] for number in numbers.split()} == {AUTHOR}


def test_a_folder_that_shows_nothing_fills_nothing(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "predictions.parquet").unlink()
    (folder / "provenance.json").write_text("{}")
    (folder / "metrics.json").write_text("{}")
    (folder / "experiment.yaml").write_text("name: x\npaper: y\n")
    for one in filled(read_run(folder)):
        assert one.count(AUTHOR) == len(one.items), one.checklist.name


def test_no_committee_is_needed_only_where_every_photograph_is_drawn(make_run: MakeRun) -> None:
    assert "no data of persons" in text(make_run(sets=("made",)), "drawn")
    assert text(make_run("mixed", sets=("made", "taken")), "drawn") == ""
    real = make_run("taken", sets=("taken",))
    assert text(real, "drawn") == ""
    lists = filled(read_run(real))
    assert by_number(lists, "TRIPOD+AI")["17"] == by_number(lists, "STARD-AI")["6"] == AUTHOR
    assert by_number(lists, "CLAIM")["11"] == AUTHOR


def test_parts_are_disjoint_by_what_the_lists_show(make_run: MakeRun) -> None:
    folder = make_run()
    assert text(folder, "disjoint") == ""  # no list: not claimed, whatever the origin says
    rows = pd.DataFrame({"row": range(4), "set": "made", "image": list("abcd"), "patient": list("1123")})
    rows["part"] = ["train", "train", "val", "test"]
    for stage in ("lesions", "train"):
        rows.to_csv(folder / f"split-{stage}.csv", index=False)
    said = text(folder, "disjoint")
    assert said.count("none stands in two parts") == 2
    rows.assign(patient=["1", "1", "1", "3"]).to_csv(folder / "split-train.csv", index=False)
    assert "train: not disjoint, in two parts: 1 patient." in text(folder, "disjoint")
    rows.assign(patient=["1", "1", "2", ""]).to_csv(folder / "split-train.csv", index=False)
    assert "train: photographs; patients are not known" in text(folder, "disjoint")
    split = {"train": {"origin": "as published", "leaks": ["7 patients on both sides"]}}
    edit(folder, "provenance.json", split=split)
    assert text(folder, "disjoint") == "Not disjoint: 7 patients on both sides."
    assert "Leaks: 7 patients on both sides." in text(folder, "partitions")


def test_lists_of_every_fold_are_counted(make_run: MakeRun) -> None:
    folder = make_run()
    rows = pd.DataFrame({"set": "made", "patient": ["1", "2"], "part": ["train", "test"]})
    for fold, patients in (("fold-0", ["1", "2"]), ("fold-1", ["2", "2"])):
        (folder / fold).mkdir()
        rows.assign(patient=patients).to_csv(folder / fold / "split-train.csv", index=False)
    assert text(folder, "disjoint") == "train: not disjoint, in two parts: 1 patient."


def test_matrices_and_grades_are_those_of_the_table(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "icdr5"}, seeds=(0, 1))
    table = read_table(folder / "predictions.parquet", "predictions")
    rows = table[(table["part"] == "test") & (table["seed"] == 0)]
    counted = confusion_matrix(rows["dr"], rows["dr_grade"], labels=range(5))
    said = text(folder, "crossed")
    assert "; ".join(f"{k}: {' '.join(map(str, row))}" for k, row in enumerate(counted)) in said
    assert "first of 2 seeds" in said
    shares = re.findall(r"(\w+) (\d+)[,.]", text(folder, "severity").partition("tested: ")[2])
    assert [int(count) for _, count in shares] == np.bincount(rows["dr"], minlength=5).tolist()


def test_the_rule_from_output_to_grade_is_claimed_only_where_it_holds(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "icdr5"})
    assert "the grade is the one of highest probability" in text(folder, "output")
    table = read_table(folder / "predictions.parquet", "predictions")
    table.loc[3, "dr_grade"] = (table.loc[3, "dr_grade"] + 1) % 5
    write_table(table, folder / "predictions.parquet", "predictions")
    assert "a probability of each of 5 grades." in text(folder, "output")
    assert "highest" not in text(folder, "output")
    other = make_run("scores", diseases={"dr": "icdr5"}, regression=True)
    assert "a score from grade 0 to 4, cut halfway between grades" in text(other, "output")


def test_photographs_without_a_reference_are_counted(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "icdr5"})
    table = read_table(folder / "predictions.parquet", "predictions")
    table.loc[table.index[table["part"] == "test"][:3], "dr"] = -1
    write_table(table, folder / "predictions.parquet", "predictions")
    said = text(folder, "missing")
    assert "made, DR: 3 of 60 tested have no reference." in said
    assert "2 photographs left out: no field of view found" in said


def test_internal_and_external_photographs_are_told_by_what_was_trained_on(make_run: MakeRun) -> None:
    folder = make_run(sets=("made", "other"), diseases={"dr": "icdr5"})
    data = {"made": {"photographs": {"train": 9, "test": 60}}, "other": {"photographs": {"test": 60}}}
    edit(folder, "provenance.json", data={"train": data})
    assert text(folder, "internal").startswith("made (test): DR quadratic weighted kappa")
    assert text(folder, "external").startswith("other (test): DR quadratic weighted kappa")
    assert "other" not in text(folder, "internal")
    assert (
        text(folder, "shift")
        == "made: from the same set as training. other: another set than those of training."
    )
    assert "By test set" in text(folder, "by_set")
    assert text(make_run("single"), "external") == text(make_run("alone"), "by_set") == ""


def test_spread_over_seeds_is_told_only_of_several(make_run: MakeRun) -> None:
    assert text(make_run(), "spread") == ""
    folder = make_run("three", seeds=(0, 1, 2), diseases={"dr": "icdr5"})
    metrics = json.loads((folder / "metrics.json").read_text())
    found = re.findall(r"(\S+): standard deviation ([\d.]+) over 3 seeds", text(folder, "spread"))
    assert found
    for key, said in found:
        assert float(said) == pytest.approx(np.std(metrics[key]["seeds"], ddof=1), abs=6e-4)
    assert "Figures are means over 3 networks" in text(_with_folds(folder), "ensembling")


def _with_folds(folder: Path) -> Path:
    edit(folder, "provenance.json", folds=1)
    return folder


def test_intervals_and_figures_are_those_of_the_metrics(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "icdr5"})
    one = json.loads((folder / "metrics.json").read_text())["test/dr/kappa"]
    shown = f"kappa {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
    assert shown in text(folder, "performance")
    assert "test/dr/sensitivity_0 " in text(folder, "accuracy")
    assert "kappa_shortcut" not in text(folder, "measures")
    assert "resampling patients" in text(folder, "uncertainty")
    assert "resampling photographs" in text(make_run("unknown", known_patients=False), "uncertainty")


def test_settings_are_those_of_the_experiment(make_run: MakeRun) -> None:
    stage = {
        "task": {"name": "t", "weights": "none", "optimiser": "adam", "learning_rate": 0.00015},
        "data": {"size": 256, "normalise": "unit", "batch_size": 8, "sampler": "balanced"},
        "trainer": {"max_epochs": 3, "max_steps": -1},
        "start_from": {"stage": "first", "which": "best"},
    }
    stage["data"]["augment"] = {"rotation": 180.0, "hue": 0.0}
    folder = make_run(experiment={"stages": {"only": stage, "make": {"kind": "make_data"}}})
    training = text(folder, "training")
    for said in (
        "optimiser adam",
        "learning rate 0.00015",
        "batch 8",
        "epochs at most 3",
        "augmentation rotation: 180.0",
    ):
        assert said in training
    assert "hue" not in training
    assert "steps at most" not in training
    assert text(folder, "initialisation") == "random weights, then the best checkpoint of stage first."
    assert text(folder, "preprocessing") == "resized to 256 pixels, normalised: unit."
    assert "balanced" in text(folder, "balance")
    assert text(folder, "selection") == "The checkpoint is chosen on validation photographs."
    assert text(folder, "artefact").startswith("Code: commit 8a1f0c2.")
    assert text(folder, "prediction") == ""  # no checkpoint in the folder
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/best.ckpt").touch()
    assert "1 file)" in text(folder, "prediction")


def test_markdown_has_a_row_for_every_item(make_run: MakeRun) -> None:
    folder = make_run(provenance={"command": "retinalab exp a b | tee log"})
    lines = checklist_markdown(filled(read_run(folder)), "made-1").splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if re.match(r"\| \d", line)]
    assert len(rows) == 52 + 44 + 48
    assert {len(row) for row in rows} == {4}
    assert any(r"a b \| tee log" in row[3] for row in rows)
    assert sum(row[3].strip() == f"**{AUTHOR}**" for row in rows) == sum(
        one.count(AUTHOR) for one in filled(read_run(folder))
    )


def test_the_command_writes_the_file_and_the_page_shows_every_item(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retinalab.cli.results._pictures", lambda run: None)
    folder, target = make_run(), tmp_path / "list.md"
    assert main(["report", str(folder), "--checklist", str(target)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(target), str(folder / "report.html")]
    assert target.read_text(encoding="utf-8").startswith(f"# Reporting checklists of run {folder.name}\n")
    page = (folder / "report.html").read_text(encoding="utf-8")
    section = page.partition('<section id="checklists">')[2].partition("</section>")[0]
    assert section.count("<details>") == 3
    assert section.count('<th scope="row">') == 52 + 44 + 48
    assert section.count(f">{AUTHOR}<") == sum(one.count(AUTHOR) for one in filled(read_run(folder)))
    assert '<a href="#checklists">' in page
    assert main(["report", str(folder), "--checklist", str(tmp_path / "none" / "list.md")]) == 2
    assert "Name a file in a folder that exists." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"name": "ellg", "net": "B", "side": 448, "backbone": "resnet18"}, "ellg, backbone resnet18."),
        ({"name": "ellg", "net": "B", "side": 448, "backbone": None}, "ellg, net B, side 448."),
    ],
)
def test_options_of_the_papers_own_network_are_not_told_of_another(
    make_run: MakeRun, task: dict[str, Any], said: str
) -> None:
    run = read_run(make_run(experiment={"stages": {"train": {"task": task}}}))
    assert model(run) == said
