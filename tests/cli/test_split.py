"""``retinalab data split``: what it prints, and lists that a run reads back to exactly the same split."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retinalab.cli import main
from retinalab.config import DataConfig
from retinalab.data.parts import read_records
from retinalab.data.sets.fake import fake_photograph, write_csv
from retinalab.data.splits import Split, split
from retinalab.protocol import Protocol
from retinalab.testing import write_fake_set

MESSIDOR = {"dr": "messidor4", "dme": "risk3"}


@pytest.fixture(scope="module")
def messidor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_set("messidor", tmp_path_factory.mktemp("messidor"), 36)


def printed(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["data", "split", *map(str, words)]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["data", "split", *map(str, words)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: ")]
    assert len(lines) == 1
    return lines[0]


def run_split(name: str, root: Path, protocol: Protocol, fold: int | None = None, folds: int = 1) -> Split:
    """The split as a run makes it."""
    _, records, _ = read_records(DataConfig(set=name, root=root), protocol, {})
    return split(records, protocol, fold=fold, folds=folds)


def same(one: Split, other: Split) -> None:
    for part, rows in one.parts.items():
        np.testing.assert_array_equal(rows, other.parts[part])


def cells(text: str, part: str) -> list[int]:
    line = next(line for line in text.splitlines() if re.match(rf"{part} +\d+ +\d+ ", line))
    return [int(cell) for cell in line.removeprefix(part).split()]


def test_counts_by_part_and_grade(messidor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "messidor", "--root", messidor, "test=0.25", "validation=0.2", "split_seed=3")
    protocol = Protocol(diseases=MESSIDOR, test=0.25, validation=0.2, split_seed=3)
    made = run_split("messidor", messidor, protocol)
    table = made.records.table
    for part, rows in made.parts.items():
        dr, dme = (np.bincount(table[d].iloc[rows], minlength=n) for d, n in (("dr", 4), ("dme", 3)))
        assert cells(text, part) == [len(rows), len(rows), *dr, *dme]
    assert made.origin in text
    assert "leak" not in text


def test_lists_of_parts_read_back(messidor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lists"
    text = printed(capsys, "messidor", "--root", messidor, "--out", out, "protocol.split_seed=4")
    assert f"protocol.lists={out}" in text
    assert sorted(path.name for path in out.iterdir()) == ["test.csv", "train.csv", "val.csv"]
    made = run_split("messidor", messidor, Protocol(diseases=MESSIDOR, split_seed=4))
    same(made, run_split("messidor", messidor, Protocol(diseases=MESSIDOR, lists=str(out))))


def test_lists_of_folds_read_back(messidor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lists"
    text = printed(
        capsys, "messidor", "--root", messidor, "--out", out, "split=folds", "folds=3", "validation=0.4"
    )
    assert f"protocol.lists={out} folds=3" in text
    protocol = Protocol(diseases=MESSIDOR, split="folds", validation=0.4)
    reading = Protocol(diseases={"dme": "risk3"}, split="folds", lists=str(out))
    for fold in range(3):
        made = run_split("messidor", messidor, protocol, fold, 3)
        same(made, run_split("messidor", messidor, reading, fold, 3))
        assert cells(text, f"{fold + 1} val")[0] == len(made.val)
    again = printed(capsys, "messidor", "--root", messidor, f"lists={out}")
    assert re.findall(r"^\d .*$", again, re.M) == re.findall(r"^\d .*$", text, re.M)


def test_one_table(messidor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "messidor", "--root", messidor, "--out", tmp_path / "split.csv")
    table = pd.read_csv(tmp_path / "split.csv")
    made = run_split("messidor", messidor, Protocol(diseases=MESSIDOR))
    assert table["part"].value_counts().to_dict() == {part: len(rows) for part, rows in made.parts.items()}
    printed(capsys, "messidor", "--root", messidor, "--out", tmp_path / "folds.csv", "split=folds")
    folds = pd.read_csv(tmp_path / "folds.csv")
    assert folds[folds["part"] == "test"]["image"].nunique() == (folds["part"] == "test").sum() == 36
    assert sorted(folds["fold"].unique()) == list(range(5))


def test_split_of_an_experiment(
    messidor: Path, tmp_path: Path, made_up: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its protocol, not the set's own scales: folds are made in proportion of its grades."""
    (tmp_path / "mine.yaml").write_text(
        "paper: madeup\nprotocol: {diseases: {dr: referable}, split: folds, split_seed: 2}\nfolds: 4\n"
        "data: {set: messidor}\nstages: {train: {task: {name: madeup-severity}}}\n"
    )
    given = ["messidor", "--root", messidor, "--experiment", f"madeup/{tmp_path / 'mine.yaml'}"]
    text = printed(capsys, *given)
    protocol = Protocol(diseases={"dr": "referable"}, split="folds", split_seed=2)
    for fold in range(4):
        made = run_split("messidor", messidor, protocol, fold, 4)
        counts = np.bincount(made.records.table["dr"].iloc[made.test], minlength=2)
        assert cells(text, f"{fold + 1} test") == [len(made.test), len(made.test), *counts]
    assert "reads messidor, not 'table'" in refused(capsys, "table", *given[1:])


def leaky(root: Path) -> Path:
    rows = [("a.png", "1", "train"), ("b.png", "1", "test"), ("c.png", "2", "train"), ("d.png", "3", "val")]
    for seed, (image, _, _) in enumerate(rows):
        fake_photograph(root / image, seed)
    write_csv(root / "records.csv", [{"image": i, "patient": p, "part": q, "dr": 0} for i, p, q in rows])
    return root


def test_leaks_are_refused_or_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = leaky(tmp_path / "set")
    line = refused(capsys, "table", "--root", root, "--out", tmp_path / "lists")
    assert "1 patient is both in train and in test: set/1 (a | b)" in line
    assert "as-published" in line
    assert not (tmp_path / "lists").exists()
    text = printed(capsys, "table", "--root", root, "split=as-published", "--out", tmp_path / "lists")
    assert "leak: 1 patient is both in train and in test: set/1 (a | b)" in text
    assert cells(text, "train")[:2] == [2, 2]
    chosen = printed(capsys, "table", "--root", root, "split=as-published", "select_on=test")
    assert "optimistic: the test part chooses the checkpoint" in chosen


def test_what_is_wrong_is_one_line(
    messidor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ("messidor", "--root", messidor)
    assert "Did you mean 'split'?" in refused(capsys, *base, "splt=folds")
    assert "folds=x is no whole number" in refused(capsys, *base, "folds=x")
    assert "needs protocol.split=folds" in refused(capsys, *base, "folds=3")
    assert "never written to" in refused(capsys, *base, "--out", messidor / "lists")
    assert "never written to" in refused(capsys, *base, "--out", messidor / "split.csv")
    assert "Unknown option" in refused(capsys, *base, "options.duplicate=drop")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    assert "holds other files (1, first: 'notes.txt')" in refused(capsys, *base, "--out", tmp_path / "full")
    (tmp_path / "file").touch()
    assert "Cannot write lists into" in refused(capsys, *base, "--out", tmp_path / "file")
    assert "Unknown data set 'mesidor'" in refused(capsys, "mesidor", "--root", messidor)
    assert not (messidor / "lists").exists()
