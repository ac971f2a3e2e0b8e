"""Every command and every block of Python in the README and its pages runs; every message quoted is the real one."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

import retinalab.runner
from retinalab.cli import main
from retinalab.experiment import resolve
from retinalab.smoke import smoke
from retinalab.testing import write_fake_set

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
APART = {"add-a-paper.md", "troubleshooting.md"}
"""Pages with tests of their own, in ``docs``; the plugins' are in ``test_plugin_readmes``."""
PAGES = [path for path in sorted((REPOSITORY / "docs").glob("*.md")) if path.name not in APART]
TEXT = "\n".join([README, *(path.read_text(encoding="utf-8") for path in PAGES)])
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)

ELSEWHERE = {
    "make install": "the environment that these tests run in",
    ". .venv/bin/activate": "the environment that these tests run in",
    "pip install . ./plugins/canet": "test_packaging: the same two, from their wheels",
    "pip wheel --no-deps -w wheels . ./plugins/canet": "test_packaging",
    "pip install --find-links wheels retinalab-canet": "test_packaging",
    "make test": "these tests",
    "make lint": "ruff and mypy, which the tests do not start",
    "wandb sweep experiments/canet/sweep.yaml": "test_sweeps: against a server on this machine",
    "retinalab export runs/canet/synthetic/latest --to onnx": "export/test_write: each format of several networks",
    "retinalab weights fetch canet messidor --out FOLDER": "tasks/test_pretrained: without a network",
    "RETINALAB_WEIGHTS=FOLDER retinalab exp canet messidor data.root=FOLDER": "tasks/test_pretrained",
    "wandb agent USER/retinalab/ID": "test_sweeps: against a server on this machine",
}


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


JOINED = re.sub(r" *\\\n *", " ", "\n".join(blocks("sh")))
SHELL = list(dict.fromkeys(line for line in JOINED.splitlines() if line and not line.startswith("#")))
COMMANDS = [line for line in SHELL if line not in ELSEWHERE]
MESSAGES = [
    (lines[0].removeprefix("$ "), lines[1:]) for text in blocks("console") if (lines := text.splitlines())
]


def test_the_rounds_are_an_experiment() -> None:
    pytest.importorskip("retinalab_ellg")
    (text,) = (block for block in blocks("yaml") if block.startswith("stages:"))
    raw = {"name": "readme", "paper": "ellg", "protocol": {"diseases": {"dr": "icdr5"}}} | yaml.safe_load(
        text
    )
    stages = resolve(raw).stages
    assert [name for name in stages if stages[name].kind == "make_data"] == [
        f"round-{k}.generate" for k in (1, 2, 3, 4)
    ]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README supposes it: drawn copies of data sets, a table of predictions, an experiment file."""
    folder = tmp_path_factory.mktemp("readme")
    write_fake_set("idrid", folder / "FOLDER", 40)
    write_fake_set("dr600", folder / "dr600", 40)
    write_fake_set("deepdrid", folder / "deepdrid", 40)
    write_fake_set("folders", folder / "graded", 40)
    write_fake_set("table", folder / "photographs", 40)
    records = pd.read_csv(folder / "photographs/records.csv")
    names = {"image": "file", "patient": "person", "dr": "retinopathy", "dme": "edema"}
    records.rename(columns=names).to_csv(folder / "photographs/labels.csv", index=False)
    (folder / "photographs/records.csv").unlink()
    truth = [0, 1, 2, 3, 4] * 6
    answers = {
        "image": [f"{i}.jpg" for i in range(30)],
        "truth": truth,
        "answer": [max(0, g - 1) for g in truth],
    }
    pd.DataFrame(answers).to_csv(folder / "predictions.csv", index=False)
    (folder / "readers.csv").write_text("disease,reader,sensitivity,specificity\ndr,Reader A,0.92,0.95\n")
    (text,) = (block for block in blocks("yaml") if block.startswith("# "))
    (folder / text.splitlines()[0].removeprefix("# ")).write_text(text, encoding="utf-8")
    for paper in ("canet", "baseline"):
        (folder / "runs" / paper).mkdir(parents=True)
        (folder / "runs" / paper / "synthetic").symlink_to("synthetic-smoke")
    (folder / "cache").mkdir()
    prepared = tmp_path_factory.getbasetemp() / "prepared"
    prepared.mkdir(exist_ok=True)
    (folder / "cache/retinalab").symlink_to(prepared)
    return folder


@pytest.fixture
def at_work(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """Run the command line there; what was run before is not run again."""
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))

    def command(words: list[str]) -> int:
        if words[0] == "exp" and "--show" not in words:
            words = [*words, "--smoke"]
        done = workplace / f"{abs(hash(tuple(words)))}.done"
        if words[0] == "exp" and done.exists():
            return 0
        status = main(words)
        if status == 0:
            done.touch()
        return status

    return command


def as_words(line: str) -> list[str]:
    """The arguments of ``retinalab``; for make, those that the Makefile's recipe ends with."""
    words = shlex.split(line)
    if words[0] == "make":
        dry = ["make", "-n", "-C", str(REPOSITORY), "--no-print-directory", *words[1:]]
        recipe = subprocess.run(dry, capture_output=True, text=True, check=True).stdout
        words = shlex.split(recipe.strip().splitlines()[-1])
    words = [word.replace("../shared/data/", "") for word in words]
    assert Path(words[0]).name == "retinalab"
    return words[1:]


def test_the_lists_above_are_the_readmes() -> None:
    assert set(ELSEWHERE) <= set(SHELL)
    assert len(COMMANDS) > 12
    assert len(MESSAGES) > 5
    assert {kind for kind, _ in BLOCKS} <= {"sh", "bash", "python", "yaml", "console", "text"}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_runs(line: str, at_work: Callable[[list[str]], int]) -> None:
    words = as_words(line)
    for paper in ("canet", "baseline"):
        if f"runs/{paper}/synthetic/latest" in line:
            assert at_work(["exp", paper, "synthetic"]) == 0
    found_faults = {1} if words[:2] == ["data", "check"] or words[0] == "audit" else set()
    assert at_work(words) in {0} | found_faults


@pytest.mark.parametrize(("line", "expected"), MESSAGES, ids=[line for line, _ in MESSAGES])
def test_a_message_is_the_real_one(
    line: str,
    expected: list[str],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    assert main(as_words(line)) == 2
    shown = [text for text in capsys.readouterr().err.splitlines() if text.startswith("retinalab: ")]
    assert len(shown) == len(expected)
    for got, quoted in zip(shown, expected, strict=True):
        assert re.fullmatch(re.escape(quoted).replace("…", ".*"), got)


def test_the_blocks_of_python_run(
    at_work: Callable[[list[str]], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at_work(["exp", "canet", "synthetic"]) == 0
    whole = retinalab.runner.run
    monkeypatch.setattr(retinalab.runner, "run", lambda experiment: whole(smoke(experiment)))
    code = blocks("python")
    assert len(code[0].strip().splitlines()) == 5
    capsys.readouterr()
    for text in code:
        exec(compile(text, "README.md", "exec"), {})
    shown = capsys.readouterr().out
    assert "torch.Size([2, 5]) torch.Size([2, 3])" in shown
    assert "'low'" in shown


def test_the_saved_experiment_is_the_same_experiment(
    at_work: Callable[[list[str]], int], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at_work(["exp", "canet", "synthetic"]) == 0
    saved = workplace / "runs/canet/synthetic/latest/experiment.yaml"
    capsys.readouterr()
    assert main(["exp", "canet", str(saved), "--show"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(saved.read_text(encoding="utf-8"))


def test_the_files_named_are_there() -> None:
    for path in ("LICENSE", "CITATION.cff", "experiments/canet/sweep.yaml", "experiments/results/keep.py"):
        assert path in TEXT
        assert (REPOSITORY / path).is_file()
    for path in re.findall(r"`(retinalab/\w+(?:\.py|/))`|`(?:python )?(experiments/[\w/-]+\.\w+)", TEXT):
        assert (REPOSITORY / "".join(path)).exists(), path
    assert not re.search(r"(?<![.\w])/(?:work|home|root|tmp)/|simple/", TEXT)


@pytest.mark.parametrize(
    "page", [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")], ids=lambda p: p.name
)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", prose):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, (
                target
            )


def test_the_readme_leads_to_every_page() -> None:
    for path in (REPOSITORY / "docs").glob("*.md"):
        assert f"(docs/{path.name})" in README
