"""A sweep file is held against its experiment: each fault is one line with the nearest match."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinalab.errors import RetinalabError
from retinalab.sweeps import check_sweep

REPOSITORY = Path(__file__).resolve().parent.parent
SWEEPS = sorted(REPOSITORY.glob("experiments/*/sweep.yaml"))
GOOD = """
name: ours
program: retinalab
command: ["${env}", "${program}", exp, baseline, synthetic, logger=wandb, "${args_no_hyphens}"]
method: random
metric: {name: val/dr/kappa, goal: maximize}
parameters:
  train.task.learning_rate: {distribution: log_uniform_values, min: 1.0e-4, max: 1.0e-2}
  train.task.output: {values: [classes, severity]}
"""


def test_four_papers_and_the_baseline_have_one() -> None:
    assert [path.parent.name for path in SWEEPS] == ["baseline", "canet", "clpi", "ellg", "sian"]


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.parent.name)
def test_those_of_the_repository_are_right(sweep: Path) -> None:
    if sweep.parent.name != "baseline":
        pytest.importorskip(f"retinalab_{sweep.parent.name}")
    check_sweep(sweep)


def written(folder: Path, old: str = "", new: str = "") -> Path:
    assert old in GOOD
    file = folder / "sweep.yaml"
    file.write_text(GOOD.replace(old, new) if old else GOOD, encoding="utf-8")
    return file


def test_a_right_one_is_accepted(tmp_path: Path) -> None:
    check_sweep(written(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train.task.output:", "train.task.outptu:", "parameters.train.task.outptu: synthetic.yaml: "
         "stages.train.task.outptu='classes': unknown option; did you mean stages.train.task.output?"),
        ("train.task.output:", "trian.task.output:", "parameters.trian.task.output: synthetic.yaml: "
         "trian={'task': {'output': 'classes'}}: unknown option; did you mean train?"),
        ("severity]", "severty]", "parameters.train.task.output: synthetic.yaml: stages.train.task.output='severty': "),
        ("max: 1.0e-2", "max: -1", "parameters.train.task.learning_rate: synthetic.yaml: "
         "stages.train.task.learning_rate='-1': Input should be greater than 0"),
        ("val/dr/kappa", "val/dr/kapa", "metric.name: Unknown metric 'val/dr/kapa'. Did you mean 'val/dr/kappa'?"),
        ("val/dr/kappa", "test/dr/kappa", "metric.name: Unknown metric 'test/dr/kappa'. Did you mean 'val/dr/kappa'?"),
        ("maximize", "minimize", "metric.goal='minimize': val/dr/kappa is to be maximized. Write goal: maximize."),
        ("{name: val/dr/kappa, goal: maximize}", "val/dr/kappa", "metric: names no figure."),
        ("{values: [classes, severity]}", "[classes]", "parameters.train.task.output: ['classes']: a parameter has"),
        ("method:", "metod:", "Unknown key 'metod'. Did you mean 'method'?"),
        ("logger=wandb, ", "", "command has no logger=wandb"),
        (", \"${args_no_hyphens}\"", "", "command ['${env}', "),
        ("exp, baseline, synthetic, ", "exp, ", "command names no paper."),
        ("synthetic,", "sinthetic,", "Unknown experiment 'sinthetic'. Did you mean 'synthetic'?"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_with_the_nearest_match(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RetinalabError) as caught:
        check_sweep(written(tmp_path, old, new))
    (line,) = str(caught.value).splitlines()
    assert message in line
    assert line.startswith((str(tmp_path), "Unknown experiment"))


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "train.task.output:", "train.task.outptu:")
    file.write_text(file.read_text().replace("val/dr/kappa", "val/dr/kapa"), encoding="utf-8")
    with pytest.raises(RetinalabError) as caught:
        check_sweep(file)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(("text", "message"), [("a: [", "cannot be read"), ("- 1", "holds no mapping")])
def test_what_is_no_sweep_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RetinalabError, match=message):
        check_sweep(file)
    with pytest.raises(RetinalabError, match="No such file"):
        check_sweep(tmp_path / "absent.yaml")
