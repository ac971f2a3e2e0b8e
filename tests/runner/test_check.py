"""What would fail only after an earlier stage was trained is refused before anything is read or written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from retinalab.config import Experiment, StartFrom
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.runner import run
from retinalab.runner.check import ancestors, idle
from retinalab.runner.weights import fitting
from retinalab.smoke import smoke

Make = Callable[..., Experiment]

TWO = """
protocol:
  diseases: {dr: icdr5}
data: {set: synthetic, size: 64}
stages:
  first:
    task: {name: baseline, backbone: resnet10t}
  second:
    task: {name: baseline, backbone: resnet10t}
    start_from: {stage: first}
"""


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("second.task.backbone=resnet10q", ["Unknown backbone 'resnet10q'", "Did you mean"]),
        ("second.task.backbone=resnet18", ["Weights of stage 'first' do not fit", "start_from.strict=false"]),
        ("second.task.weights=/no/such.pth", ["Weights file /no/such.pth does not exist"]),
        ("second.task.output=severity", ["network.heads.dr.weight 5x512, here 1x512"]),
        ("second.start_from.map={network.nothing.: network.}", ["none has a prefix of start_from.map"]),
    ],
)
def test_a_later_stage_is_judged_before_the_first_is_trained(
    tmp_path: Path, override: str, words: list[str]
) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(TWO)
    experiment = load_experiment("baseline", str(file), [f"output={tmp_path / 'runs'}", override])
    with pytest.raises(RetinalabError) as raised:
        run(experiment)
    said = str(raised.value)
    assert said.startswith("Stage 'second': ")
    assert "\n" not in said
    for word in words:
        assert word in said
    assert [path.name for path in tmp_path.iterdir()] == ["two.yaml"]


def test_what_fits_is_found_under_its_name_here() -> None:
    own = {"a.x": torch.zeros(2), "a.y": torch.zeros(3), "b": torch.zeros(1)}
    there = {"c.x": torch.ones(2), "c.y": torch.ones(4), "d": torch.ones(1)}
    loose = StartFrom(stage="s", map={"c.": "a."}, strict=False)
    assert {name: value.tolist() for name, value in fitting(own, there, loose).items()} == {"a.x": [1.0, 1.0]}
    with pytest.raises(
        RetinalabError, match=r"1 find no place of their shape, 0 are not given \(a.y 4, here 3\)"
    ):
        fitting(own, there, StartFrom(stage="s", map={"c.": "a."}))
    with pytest.raises(RetinalabError, match=r"3 find no place of their shape, 3 are not given"):
        fitting(own, there, StartFrom(stage="s", strict=False))
    assert list(fitting(own, own, StartFrom(stage="s"))) == list(own)


def test_stages_that_lead_to_nothing(make: Make) -> None:
    whole = make("whole")
    assert ancestors(whole, "severity") == ["marks"]
    assert idle(whole) == ["patches"]
    assert idle(make("whole", "test={stages: [patches]}")) == ["marks", "severity"]
    assert idle(make("whole", "test={stages: [patches, severity]}")) == []
    assert list(make("whole", "patches=null").stages) == ["marks", "severity"]


def test_a_stage_trained_for_nothing_is_said(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "retinalab"):
        run(smoke(make("apart", "test.stages=[dr]")))
    said = [record.getMessage() for record in caplog.records if "leave it out" in record.getMessage()]
    assert said == [
        "stage 'dme' is not evaluated, nor is any stage that comes from it; leave it out with dme=null"
    ]
