"""Labels that qualify a result: drawn photographs where it was tested, leaks of any fold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retinalab.registry import Paper
from retinalab.runner import run
from retinalab.runner.provenance import with_leaks
from retinalab.testing import write_fake_set


def labels(folder: Path) -> list[str]:
    known: list[str] = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["labels"]
    return known


def test_the_publication_is_named_in_a_run_and_its_model_card(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cited = Paper("one", "Reading of Eyes", "A. Nobody, Journal of Nothing, 2000", "", Path())
    experiment = make("one", "train.trainer.max_epochs=1")
    monkeypatch.setattr("retinalab.runner.provenance.installed_papers", lambda: {experiment.paper: cited})
    folder = run(experiment).folder
    words = "A. Nobody, Journal of Nothing, 2000. Reading of Eyes"
    assert json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["citation"] == words
    assert f"**Method**: Published as: {words}" in (folder / "model-card.md").read_text(encoding="utf-8")
    assert words in (folder / "report.html").read_text(encoding="utf-8")


def test_a_result_on_real_photographs_is_not_labelled_synthetic(make: Callable[..., Any]) -> None:
    small = ["dr.trainer.max_epochs=1", "dme.trainer.max_epochs=1"]
    drawn = "{set: synthetic, options: {photographs: 60}, limit: 12}"
    learned = run(make("apart", *small, f"dr.data={drawn}", "test.stages=[dme]"))
    assert labels(learned.folder) == ["trained on drawn photographs too (stage dr)"]
    tested = run(make("apart", *small, f"dme.data={drawn}", "test.stages=[dme]"))
    assert labels(tested.folder) == ["synthetic: drawn photographs, not a result on patients"]


def test_a_leak_of_a_later_fold_labels_the_result(
    make: Callable[..., Any], fake_sets: Path, tmp_path: Path
) -> None:
    images = [f"images/{index:03d}.jpg" for index in range(32)]
    (tmp_path / "file_list.txt").write_text("\n".join(images))
    folds = ([0, 1, *range(8, 16)], [2, *range(16, 24)], [3, *range(24, 32), *range(4, 8)])
    for number, rows in enumerate(folds, start=1):
        (tmp_path / f"fold{number}.txt").write_text("\n".join(map(str, rows)))
    lists = ["protocol.split=as-published", f"protocol.lists={tmp_path}", "folds=3"]
    result = run(make("one", *lists, "train.trainer.max_epochs=1"))
    known = json.loads((result.folder / "provenance.json").read_text(encoding="utf-8"))
    assert [label.split(":")[0] for label in known["labels"]] == ["leaky"]
    assert any("table/1 (" in leak and "test" in leak for leak in known["split"]["train"]["leaks"])


def test_leaks_are_added_once() -> None:
    known = {"split": {"train": {"origin": "x", "leaks": []}}, "labels": ["optimistic: y"]}
    once = with_leaks(known, "train", ("2 patients are both",))
    assert once["split"]["train"] == {"origin": "x", "leaks": ["2 patients are both"]}
    assert len(once["labels"]) == 2
    assert with_leaks(once, "train", ("2 patients are both",)) == once
    assert with_leaks(known, "train", ()) == known


def test_a_leaky_split_is_judged_and_colours_are_fitted_on_other_patients(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    root = write_fake_set("table", tmp_path / "set", 64)
    table = pd.read_csv(root / "records.csv")
    table["split"] = ["test" if index % 2 and index < 32 else "train" for index in range(64)]
    table["dr"] = [(index // 2) % 5 for index in range(64)]
    table.to_csv(root / "records.csv", index=False)
    leaky = [f"data.root={root}", "protocol.split=as-published", "train.trainer.max_epochs=1"]
    result = run(make("one", *leaky))
    assert labels(result.folder)[0].startswith("leaky")
    figure = result.metrics["test/dr/auc_referable_colour"]
    assert (figure["n"], figure["n_groups"]) == (16, 16)
    both = run(make("one", *leaky, "protocol.select_on=test"))
    assert both.metrics["test/dr/auc_referable_colour"]["n"] == 16
