"""Every command and every block of Python in the plugins' READMEs: experiments resolve, networks give the shapes said.

``make exp`` with a data set that nobody may pass on is resolved here as the page writes it, folders apart; that every
experiment file trains for a step, on drawn copies of its data sets, is shown in ``test_papers``.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch

from retinalab.cli import main

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = {
    path.parent.name: path.read_text(encoding="utf-8") for path in REPOSITORY.glob("plugins/*/README.md")
}
BLOCKS = [
    (paper, kind, text)
    for paper, page in sorted(PAGES.items())
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
]
COMMANDS = [
    (paper, line)
    for paper, kind, text in BLOCKS
    if kind == "sh"
    for line in text.splitlines()
    if line.strip()
]
ELSEWHERE = {
    "retinalab predict RUN demo/infer_file_demo.csv --out predicted --labels FILE --cam": "cli/test_predict",
    "python experiments/bench/sian_figure5.py RUN_OF_SIAN --abn RUN_OF_ABN --out FOLDER": "two trainings",
}
SHAPES = {
    "canet": (2, 3, 64, 64),
    "clpi": (1, 3, 512, 512),
    "ellg": (2, 3, 448, 448),
    "sian": (1, 3, 96, 96),
}
GIVEN = {
    "canet": "logits.refined['dr'].shape == (2, 5) and logits.refined['dme'].shape == (2, 3)",
    "clpi": "given.logits['dr'].shape == (1, 5) and given.lesions.shape == (1, 4, 8, 8)",
    "ellg": "severity.shape == (2, 1)",
    "sian": "given.logits['dr'].shape == (1, 5) and maps.shape == given.lesions.shape == (1, 8, 96, 96)",
}


def words_of(line: str) -> list[str]:
    """The arguments of ``retinalab``; for make, those that the Makefile's recipe ends with."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        dry = ["make", "-n", "-C", str(REPOSITORY), "--no-print-directory", *words[1:]]
        recipe = subprocess.run(dry, capture_output=True, text=True, check=True).stdout
        words = shlex.split(recipe.strip().splitlines()[-1])
    assert Path(words[0]).name == "retinalab"
    return words[1:]


def test_every_page_has_what_one_looks_for() -> None:
    assert set(ELSEWHERE) <= {line for _, line in COMMANDS}
    assert {kind for _, kind, _ in BLOCKS} <= {"sh", "python", "mermaid"}
    for paper, page in PAGES.items():
        kinds = [kind for name, kind, _ in BLOCKS if name == paper]
        assert {"sh", "python", "mermaid"} <= set(kinds), paper
        headings = re.findall(r"^## (.*)$", page, flags=re.MULTILINE)
        assert "Commands" in headings
        assert any(one.startswith("Differs from the paper") for one in headings)
        assert any(one.startswith(("Results", "On drawn photographs")) for one in headings)
        for path in re.findall(r"`(?:python )?(experiments/[\w/-]+\.(?:py|yaml))", page):
            assert (REPOSITORY / path).is_file(), path


@pytest.mark.parametrize(("paper", "line"), [one for one in COMMANDS if one[1] not in ELSEWHERE])
def test_a_command_is_an_experiment_that_resolves(
    paper: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(f"retinalab_{paper}")
    words = words_of(line)
    assert words[:2] == ["exp", paper]
    assert main([*words, "--show"]) == 0
    assert f"paper: {paper}" in capsys.readouterr().out


@pytest.mark.parametrize("paper", sorted(SHAPES))
def test_a_network_alone_gives_what_the_page_says(paper: str) -> None:
    pytest.importorskip(f"retinalab_{paper}")
    (code,) = (text for name, kind, text in BLOCKS if name == paper and kind == "python")
    known = {"photographs": torch.rand(SHAPES[paper], generator=torch.Generator().manual_seed(0))}
    with torch.no_grad():
        exec(compile(code, f"plugins/{paper}/README.md", "exec"), known)
    assert eval(GIVEN[paper], known)
