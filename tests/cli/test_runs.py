"""retinalab runs: what is printed of made-up run folders, and that nothing goes unless it is told to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from retinalab.cli import main


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A finished run with checkpoints of 1 and 2 MB, and an unfinished one of two seeds."""
    for name, finished, seeds in (
        ("canet/synthetic/01234567-1", True, 1),
        ("canet/synthetic/01234567-2", False, 2),
    ):
        folder = tmp_path / name
        place = folder / ("checkpoints/train" if finished else "seed-0/checkpoints/train")
        place.mkdir(parents=True)
        (place / "best.ckpt").write_bytes(bytes(1_000_000))
        (place / "last.ckpt").write_bytes(bytes(2_000_000))
        described = {"folds": 1, "fold": None, "seeds": seeds, "seed": 0, "stages": {"train": {}}}
        (folder / "experiment.yaml").write_text(yaml.safe_dump(described))
        command = f"retinalab exp canet synthetic seeds={seeds} " + "train.task.specific_weight=0.5 " * 4
        known = {"command": command, "started": "2026-01-02T03:04:05+00:00", "labels": ["synthetic: drawn"]}
        (folder / "provenance.json").write_text(json.dumps(known))
        steps = ["train"] if finished else ["seed-0/train"]
        (folder / "state.json").write_text(json.dumps({"stages": steps, "finished": finished}))
    metrics = {"test/dr/accuracy": {"value": 0.25}, "test/dr/kappa": {"value": 0.6543}}
    (tmp_path / "canet/synthetic/01234567-1/metrics.json").write_text(json.dumps(metrics))
    return tmp_path


def told(words: list[str], output: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["runs", *words, "--output", str(output)] if words[:1] != ["show"] else ["runs", *words]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("words", [[], ["list"]])
def test_a_list_has_a_line_for_each_run(
    words: list[str], output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heads, group, first, second, total, units = told(words, output, capsys)
    assert heads.split() == ["run", "state", "trained", "main", "figure", "size", "date", "(UTC)"]
    for head, cell in (
        ("run", "01234567-1"),
        ("state", "finished"),
        ("main figure", "dr/kappa"),
        ("date", "2026-01-02"),
    ):
        assert heads.index(head) == first.index(cell)
    for head, cell in (("trained", "1/1"), ("size", "3.0 MB")):
        assert heads.index(head) + len(head) == first.index(cell) + len(cell)
    assert group == "canet/synthetic"
    assert first.split() == ["01234567-1", "finished", "1/1", "dr/kappa", "0.654", "3.0", "MB", "2026-01-02"]
    assert second.split() == ["01234567-2", "unfinished", "1/2", "3.0", "MB", "2026-01-02"]
    assert max(map(len, (heads, first, second, units))) <= 80
    assert total == f"2 runs in {output}"
    assert units == "trained: folds and seeds done/all; date: when it ended, else when it began"


def test_a_list_of_no_run_has_no_heads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(["list"], tmp_path, capsys) == [f"0 runs in {tmp_path}"]


def test_one_run_is_shown_within_the_terminal(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(["show", str(output / "canet/synthetic/01234567-2")], output, capsys)
    assert max(len(line) for line in lines if str(output) not in line) <= 80
    text = "\n".join(lines)
    assert "unfinished, 1 of 2 folds and seeds trained" in text
    assert "began:    2026-01-02 03:04:05 UTC" in text
    assert "label:    synthetic: drawn" in text


def test_disk_sums_what_can_go(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(["disk"], output, capsys)
    assert lines[1].split() == ["canet/synthetic", "2", "6.0", "MB", "5.0", "MB"]
    assert lines[2].split() == ["in", "all", "2", "6.0", "MB", "5.0", "MB"]
    assert lines[-1].endswith("retinalab runs clean --unfinished")


def test_clean_removes_only_when_told(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (output / f"canet/synthetic/01234567-{k}" for k in (1, 2))
    lines = told(["clean"], output, capsys)
    assert lines[0].split() == ["2.0", "MB", "canet/synthetic/01234567-1"]
    assert lines[-1] == "2.0 MB in all can go. Nothing was removed; --yes removes it."
    told(["clean", "--unfinished"], output, capsys)
    assert (first / "checkpoints/train/last.ckpt").is_file()
    assert second.exists()
    assert told(["clean", "--yes"], output, capsys)[-1] == "2.0 MB removed."
    assert not (first / "checkpoints/train/last.ckpt").exists()
    assert (first / "checkpoints/train/best.ckpt").is_file()
    assert second.exists()
    assert told(["clean", str(first), "--unfinished", "--yes"], output, capsys) == ["Nothing can go."]
    assert told(["clean", "--unfinished", "--yes"], output, capsys)[-1].endswith("MB removed.")
    assert not second.exists()
    assert first.exists()


def test_a_removal_that_was_interrupted_is_ended(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = output / "canet/synthetic/01234567-2"
    half = half.rename(half.with_name(f".removed-{half.name}"))
    assert "its removal was interrupted" in "\n".join(told(["clean"], output, capsys))
    assert half.exists()
    told(["clean", "--yes"], output, capsys)
    assert not half.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "absent"], "No folder absent of runs: nothing was run from here yet"),
        (["show", "."], "is no run's folder"),
        (["lst"], "Did you mean 'list'?"),
        (["list", "--yes"], "Unknown option '--yes'."),
    ],
)
def test_what_is_wrong_is_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["runs", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_run_of_another_folder_is_not_cleaned(
    output: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path_factory.mktemp("other")
    assert main(["runs", "clean", str(output / "canet/synthetic/01234567-1"), "--output", str(other)]) == 2
    assert "does not lie below" in capsys.readouterr().err
