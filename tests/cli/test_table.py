"""``retinalab table``: what it lists and prints, what it runs and refuses."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from retinalab.cli import main
from retinalab.experiment import as_yaml, load_experiment

CLAIMS = """
paper: canet
tables:
  "4":
    label: Table IV
    title: Networks
    data: messidor
    public: true
    experiment: messidor
    columns: {Ac: {metric: test/dr/accuracy, factor: 0.01}}
    rows:
      ours: {values: {Ac: 92.6}}
      joint: {overrides: [train.task.variant=joint], values: {Ac: 89.1}}
      quoted: {why_not: another method, values: {Ac: 80.0}}
  fig-5:
    label: Figure 5
    title: Elsewhere
    data: idrid
    experiment: idrid
    columns: {Ac: {metric: test/dr/accuracy, factor: 0.01}}
    rows: {ours: {values: {Ac: 60.0}}}
"""


class Workplace:
    """A folder with a claims file; ``retinalab table`` run there, every run that it starts noted and pretended."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.started: list[list[str]] = []
        self.statuses: list[int] = []
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        status = main(["table", "canet", "--claims", "claims.yaml", "--kept", "kept", *words])
        self.out, self.err = self.capsys.readouterr()
        return status

    def start(self, words: Sequence[str], check: bool) -> SimpleNamespace:
        """Stands for the process: leaves the folder of a finished run, or ends with the next status."""
        assert Path(words[0]).name == "retinalab" or words[1] == "-m"
        self.started.append(["retinalab", *words[words.index("exp") :]])
        status = self.statuses.pop(0) if self.statuses else 0
        if status == 0:
            self.finish(words[words.index("exp") + 2], words[words.index("exp") + 3 :])
        return SimpleNamespace(returncode=status)

    def finish(self, name: str, overrides: Sequence[str]) -> None:
        experiment = load_experiment("canet", name, overrides)
        place = self.folder / experiment.output / "canet" / name / f"aaaa-{len(self.started)}"
        place.mkdir(parents=True)
        (place / "experiment.yaml").write_text(as_yaml(experiment), encoding="utf-8")
        (place / "metrics.json").write_text(
            '{"test/dr/accuracy": {"value": 0.875, "low": 0.8, "high": 0.9, "n": 1200}}'
        )


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Workplace:
    (tmp_path / "claims.yaml").write_text(CLAIMS, encoding="utf-8")
    (tmp_path / "kept").mkdir()
    monkeypatch.chdir(tmp_path)
    workplace = Workplace(tmp_path, capsys)
    monkeypatch.setattr(subprocess, "run", workplace.start)
    return workplace


COMMANDS = [
    "retinalab exp canet messidor roots.messidor=m",
    "retinalab exp canet messidor train.task.variant=joint roots.messidor=m",
]


def test_it_lists_and_prints(work: Workplace) -> None:
    assert work() == 0
    assert [line.split()[0] for line in work.out.splitlines()[1:3]] == ["4", "fig-5"]
    for name in ("4", "Table IV", "iv", "table iv"):
        assert work(name) == 0
        assert "canet, Table IV: Networks" in work.out
        assert "92.6" in work.out
    assert work("figure 5") == 0
    assert "retinalab exp canet idrid roots.idrid=FOLDER" in work.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["fig5"],
            "Unknown table 'fig5'. Did you mean 'fig-5'? Choices: 4, fig-5. See: retinalab table canet",
        ),
        (["4", "5"], "Unexpected '5'. Give one table, then folders as roots.SET=FOLDER."),
        (["4", "--fast"], "Unexpected '--fast'. Give one table, then folders as roots.SET=FOLDER."),
        (["--data", "messidr=x"], "Unknown data set 'messidr'. Did you mean 'messidor'?"),
        (
            ["--data", "messidor"],
            "--data 'messidor' is not of the form SET=FOLDER, such as idrid=data/idrid.",
        ),
        (["--format", "html"], "A page is written to a file. Add --out FILE.html."),
        (["--out", "nowhere/a.md"], "Cannot write nowhere/a.md. Name a file in a folder that exists."),
        (["--runs", "nowhere"], "No folder nowhere. Give a folder that runs were written to."),
        (["--kept", "nowhere"], "No folder nowhere. Give a folder of kept figures (*.json)."),
        (["--dry-run"], "--dry-run prints what --run would run. Give both, or neither."),
        (
            ["--run", "train.trainer.max_epochs=1"],
            "These overrides make another protocol of a row than the one published "
            "(train.trainer.max_epochs 1000 → 1). Leave them out, or run it by itself: retinalab exp canet messidor.",
        ),
    ],
)
def test_a_fault_is_one_line_and_status_2(work: Workplace, words: list[str], message: str) -> None:
    assert work(*words) == 2
    (line,) = work.err.splitlines()
    assert line.startswith(f"retinalab: {message}")
    assert work.started == []


def test_an_unknown_paper_is_one_line(work: Workplace) -> None:
    assert main(["table", "canett"]) == 2
    assert work.capsys.readouterr().err.startswith("retinalab: Unknown paper 'canett'. Did you mean 'canet'?")


def test_a_dry_run_prints_the_commands_alone(work: Workplace) -> None:
    assert work("4", "--run", "--dry-run", "--data", "messidor=m") == 0
    assert work.out.splitlines() == COMMANDS
    assert work("4", "--run", "--dry-run") == 0
    assert work.out.splitlines() == [line.replace("=m", "=FOLDER") for line in COMMANDS]
    assert work.started == []


def test_what_is_missing_is_run_once_and_then_shown(work: Workplace) -> None:
    assert work("4", "--run", "roots.messidor=m") == 0
    assert [shlex.join(words) for words in work.started] == COMMANDS
    assert work.out.count("87.5 [80.0, 90.0]") == 2
    assert work("4", "--run", "roots.messidor=m") == 0
    assert len(work.started) == 2
    assert "No row is missing that an experiment could fill." in work.out


def test_a_failure_lets_the_next_begin_and_is_in_the_status(work: Workplace) -> None:
    work.statuses = [2, 0]
    assert work("4", "--run", "roots.messidor=m") == 2
    assert len(work.started) == 2
    assert work.out.count("87.5 [80.0, 90.0]") == 1
    assert work("4", "--run", "roots.messidor=m") == 0
    assert shlex.join(work.started[2]) == COMMANDS[0]


def test_an_interruption_ends_it_and_the_same_command_goes_on(work: Workplace) -> None:
    work.statuses = [0, 130]
    assert work("4", "--run", "roots.messidor=m") == 130
    assert "the same command goes on where it stopped" in work.err
    assert work("4", "--run", "roots.messidor=m") == 0
    assert [shlex.join(words) for words in work.started] == [*COMMANDS, COMMANDS[1]]


def test_rows_without_a_folder_are_left_out_and_told(work: Workplace) -> None:
    assert work("--run", "--data", "idrid=i") == 2
    assert [shlex.join(words) for words in work.started] == ["retinalab exp canet idrid roots.idrid=i"]
    assert work.err.count("left out, roots.messidor=FOLDER not given") == 2


def test_runs_go_to_the_first_folder_and_are_looked_for_in_all(work: Workplace) -> None:
    assert work("4", "--run", "--runs", "here", "roots.messidor=m", "seeds=2") == 0
    assert len(work.started) == 2
    assert all({"output=here", "seeds=2"} <= set(words) for words in work.started)
    (work.folder / "there").mkdir()
    assert work("4", "--runs", "there", "--runs", "here") == 0
    assert work.out.count("87.5 [80.0, 90.0]") == 2
    assert work("4", "--runs", "there") == 0
    assert "87.5" not in work.out


@pytest.mark.parametrize(
    ("name", "begins"), [("a.md", "### Table IV"), ("a.csv", "paper,"), ("a.html", "<!doctype html>")]
)
def test_files_are_written_in_the_format_of_their_name(work: Workplace, name: str, begins: str) -> None:
    assert work("4", "--out", name) == 0
    assert work.out == f"{name}\n"
    assert (work.folder / name).read_text(encoding="utf-8").lstrip().startswith(begins)


@pytest.mark.parametrize("paper", ["canet", "clpi", "sian", "ellg"])
def test_every_table_of_every_paper_is_printed(paper: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(f"retinalab_{paper}")
    from retinalab.claims import load_claims
    from retinalab.reproduction import filled, way_of
    from retinalab.reproduction.text import table_lines

    claims = load_claims(paper)
    tables = filled(claims, [])
    assert sum(len(table.cells) for table in tables) == len(claims)
    for table in tables:
        lines = table_lines(table)
        assert max(map(len, lines)) <= 80
        missing = {cell.recipe.name for cell in table.cells if way_of(cell.claim) == "run" and cell.recipe}
        assert all(f"retinalab exp {paper} {name}" in "\n".join(lines) for name in missing)


def test_overrides_that_no_experiment_knows_are_refused(work: Workplace) -> None:
    """Whether the commands are printed or run."""
    for more in ([], ["--run", "--dry-run"]):
        assert work("4", "foo=1", *more) == 2
        assert "foo" in work.err
        assert work.err.count("\n") == 1
