"""A board of two plain networks, its runs written by hand: what is refused, ordered, compared and printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import cohen_kappa_score

from retinalab.errors import RetinalabError
from retinalab.experiment import as_yaml, experiment_id
from retinalab.leaderboard import Candidate, candidates, read_board, standings
from retinalab.leaderboard.board import BOARDS
from retinalab.leaderboard.text import into, markdown, standings_lines
from retinalab.metrics import evaluate, write_table
from retinalab.protocol import SCALES

N = 40
PLAIN = ["protocol.diseases={dr: icdr5}", "data.options={photographs: 200}", "seeds=2"]

Run = Callable[..., Path]


def board(folder: Path, **changes: object) -> Path:
    """A board file of a narrow and a wide network."""
    content = {
        "title": "Two networks",
        "budget": 100,
        "reference": "narrow",
        "beside": ["dr/accuracy"],
        "shared": PLAIN,
        "entries": {
            name: {
                "title": name.capitalize(),
                "learns_from": "DR grades",
                "paper": "baseline",
                "experiment": "synthetic",
                "overrides": [f"train.task.backbone={backbone}"],
            }
            for name, backbone in (("narrow", "resnet18"), ("wide", "resnet34"))
        },
    } | changes
    path = folder / "two.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def two(tmp_path: Path) -> list[Candidate]:
    name, read = read_board(str(board(tmp_path)))
    return candidates(name, read, [f"output={tmp_path / 'runs'}"])


def write_run(
    one: Candidate, wrong: float, seed: int = 0, steps: int = 100, number: int = 1, print_: str = "f1"
) -> Path:
    """The folder of a finished run whose predictions are wrong in a share of the photographs."""
    experiment = one.experiment
    folder = experiment.output / experiment.paper / experiment.name / f"{experiment_id(experiment)}-{number}"
    folder.mkdir(parents=True)
    truth = np.random.default_rng(9).integers(0, 5, N)
    tables = []
    for child in range(2):
        draw = np.random.default_rng([seed, child])
        grade = np.where(draw.random(N) < wrong, draw.integers(0, 5, N), truth)
        shares = np.full((N, 5), 0.1)
        shares[np.arange(N), grade] = 0.6
        table = pd.DataFrame(
            {"image": [f"{k:03d}.jpg" for k in range(N)], "set": "synthetic", "part": "test"}
        )
        table = table.assign(patient=[f"p{k // 2}" for k in range(N)], seed=child, dr=truth, dr_grade=grade)
        tables.append(table.assign(**{f"dr_p{k}": shares[:, k] for k in range(5)}))
        history = folder / f"seed-{child}" / "history" / "train"
        history.mkdir(parents=True)
        (history / "metrics.csv").write_text(f"epoch,step,train/loss\n0,0,1.0\n1,{steps - 1},0.5\n")
    whole = pd.concat(tables, ignore_index=True)
    write_table(whole, folder / "predictions.parquet", "predictions")
    metrics = dict(evaluate(whole, {"dr": SCALES["icdr5"]}, resamples=200))
    metrics["test/dr/kappa_shortcut"] = {"value": 0.2, "low": 0.1, "high": 0.3, "n": N, "n_groups": N // 2}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "experiment.yaml").write_text(as_yaml(experiment))
    facts = {"seconds": 120.0, "commit": "abc", "data": {"train": {"synthetic": {"fingerprint": print_}}}}
    (folder / "provenance.json").write_text(json.dumps(facts | {"labels": ["synthetic: drawn"]}))
    return folder


def kappa(folder: Path) -> float:
    """Mean over seeds, by scikit-learn."""
    table = pd.read_parquet(folder / "predictions.parquet")
    each = [cohen_kappa_score(s["dr"], s["dr_grade"], weights="quadratic") for _, s in table.groupby("seed")]
    return float(np.mean(each))


def test_methods_are_ordered_and_compared_with_the_reference(two: list[Candidate], tmp_path: Path) -> None:
    name, read = read_board(str(tmp_path / "two.yaml"))
    narrow, wide = write_run(two[0], wrong=0.6), write_run(two[1], wrong=0.1, seed=1)
    found = standings(name, read, two, resamples=200)
    assert [row.key for row in found.rows] == ["wide", "narrow"]
    best = found.rows[0]
    assert best.difference is not None
    assert best.difference["difference"] is not None
    assert best.difference["difference"] == pytest.approx(kappa(wide) - kappa(narrow), abs=1e-9)
    assert best.figures is not None
    assert best.figures["dr/kappa"]["value"] == pytest.approx(kappa(wide))
    assert found.rows[1].difference is None
    assert best.minutes == 2.0
    assert best.commit == "abc"
    assert [one.title for one in found.baselines] == ["without the retina"]
    assert dict(found.about)["Tested on"] == "40 photographs of 20 patients"


def test_what_was_spent_is_steps_times_batch_times_pixels(two: list[Candidate], tmp_path: Path) -> None:
    name, read = read_board(str(tmp_path / "two.yaml"))
    for one in two:
        write_run(one, wrong=0.3, steps=50)
    found = standings(name, read, two, resamples=50)
    # the file's batches of 8 photographs at 192 pixels a side; each seed by itself
    assert [row.megapixels for row in found.rows] == [pytest.approx(50 * 8 * 192**2 / 1e6)] * 2


def test_more_than_the_budget_is_refused(two: list[Candidate], tmp_path: Path) -> None:
    name, read = read_board(str(tmp_path / "two.yaml"))
    write_run(two[0], wrong=0.3)
    write_run(two[1], wrong=0.3, steps=1000)
    with pytest.raises(RetinalabError, match=r"budget of 100 megapixels: wide on 295\."):
        standings(name, read, two)


def test_other_photographs_are_refused(two: list[Candidate], tmp_path: Path) -> None:
    name, read = read_board(str(tmp_path / "two.yaml"))
    write_run(two[0], wrong=0.3)
    write_run(two[1], wrong=0.3, print_="f2")
    with pytest.raises(RetinalabError, match="Different photographs or labels of set synthetic"):
        standings(name, read, two)


def test_the_newest_finished_run_counts(two: list[Candidate], tmp_path: Path) -> None:
    name, read = read_board(str(tmp_path / "two.yaml"))
    write_run(two[0], wrong=0.3)
    newest = write_run(two[0], wrong=0.3, number=10)
    unfinished = write_run(two[0], wrong=0.3, number=11)
    (unfinished / "metrics.json").unlink()
    found = standings(name, read, two)
    assert found.rows[0].run == newest
    assert [row.key for row in found.missing] == ["wide"]
    assert found.missing[0].command.startswith("retinalab exp baseline synthetic name=leaderboard-two-wide")
    assert any("Wide is not measured" in line for line in standings_lines(found))
    assert any("not measured" in line for line in markdown(found, "x"))


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("protocol.validation=0.3", "protocol.validation is 0.15 in the first and 0.3"),
        ("data.options={photographs: 300}", "data.options is"),
        ("seeds=5", r"seeds is \(0, 2\) in the first and \(0, 5\)"),
        ("protocol.diseases={dr: referable}", "protocol.diseases.dr is icdr5 in the first and referable"),
    ],
)
def test_entries_under_other_conditions_are_refused_before_anything_runs(
    tmp_path: Path, override: str, what: str
) -> None:
    path = board(tmp_path)
    content = yaml.safe_load(path.read_text())
    content["entries"]["wide"]["overrides"].append(override)
    path.write_text(yaml.safe_dump(content))
    name, read = read_board(str(path))
    with pytest.raises(RetinalabError, match=f"narrow and wide cannot be compared: {what}"):
        candidates(name, read)


def test_text_fits_a_terminal_and_markdown_is_a_table(two: list[Candidate], tmp_path: Path) -> None:
    name, read = read_board(str(tmp_path / "two.yaml"))
    for one, wrong in zip(two, (0.6, 0.1), strict=True):
        write_run(one, wrong)
    found = standings(name, read, two, resamples=50)
    lines = standings_lines(found)
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("  ! synthetic: drawn") for line in lines)
    rows = [line for line in markdown(found, "retinalab leaderboard two") if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert "code abc" in markdown(found, "c")[-1]


def test_a_document_gets_the_table_between_its_marks() -> None:
    text = "before\n<!-- leaderboard two -->\nold\n<!-- end of leaderboard two -->\nafter\n"
    assert into(text, "two", ["a", "b"]) == text.replace("old", "a\nb")
    assert into(text, "three", ["a"]) is None


def test_a_board_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RetinalabError, match="synthetic"):
        read_board("synthetik")
    path = board(tmp_path, reference="nobody")
    with pytest.raises(RetinalabError, match="nobody"):
        read_board(str(path))
    path = board(tmp_path, budget=0)
    with pytest.raises(RetinalabError, match="budget"):
        read_board(str(path))
    (tmp_path / "broken.yaml").write_text("[1, 2")
    with pytest.raises(RetinalabError, match="cannot be read"):
        read_board(str(tmp_path / "broken.yaml"))


@pytest.mark.parametrize("name", sorted(file.stem for file in BOARDS.glob("*.yaml")))
def test_the_boards_that_come_along_resolve(name: str) -> None:
    _, read = read_board(name)
    assert len(candidates(name, read)) == len(read.entries)
